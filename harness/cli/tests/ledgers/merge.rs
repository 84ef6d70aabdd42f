use watertight_report::model::{Canary, FIXTURES, Record, Resource, Run, Trial};

use crate::project::{Project, Said, clean, ended, leaky, of_run, run};

const OUT: &str = "all.jsonl";

/// A project with the ledgers `1`, `2` ... of as many shards.
fn shards<const N: usize>(trials: [Vec<Trial>; N]) -> Project {
    let project = Project::new();
    for (index, trials) in (1..).zip(trials) {
        let id = format!("job {index}");
        let run = Record::Run(run(&id, Some((index, N as u32))));
        let trials = trials.into_iter().map(of_run(&id));
        project.ledger(&index.to_string(), [run].into_iter().chain(trials));
    }
    project
}

fn merge(project: &Project, ledgers: &[&str]) -> Said {
    let said = project.watertight(&[&["merge", "-o", OUT], ledgers].concat());
    assert_eq!(said.out, "", "the data is in the file");
    said
}

/// The merged ledger: its first line, and its trials.
fn merged(project: &Project) -> (Run, Vec<Trial>) {
    let mut records = project.records(OUT).into_iter();
    let Some(Record::Run(run)) = records.next() else { panic!("the run record comes first") };
    let trials = records.map(|record| match record {
        Record::Trial(trial) => *trial,
        other => panic!("{other:?}"),
    });
    (run, trials.collect())
}

#[track_caller]
fn assert_red(said: &Said, because: &[&str]) {
    assert_eq!(said.code, 1, "{said:?}");
    for because in because {
        assert!(said.err.contains(because), "{because:?} in\n{}", said.err);
    }
    // One line for each, and the one that says what was written.
    assert_eq!(said.err.lines().count(), because.len() + 1, "{}", said.err);
}

#[test]
fn shards_become_one_run() {
    let project = shards([vec![clean("a"), leaky("b", 1)], vec![clean("c")]]);
    let said = merge(&project, &["1", "2"]);
    assert_eq!(said.code, 0, "{said:?}");
    let (whole, trials) = merged(&project);
    assert_eq!((whole.shard, &whole.host), (None, &run("x", None).host));
    assert!(whole.run.starts_with("merged-"), "{}", whole.run);
    let mut wanted = [clean("a"), leaky("b", 1), clean("c")];
    wanted.iter_mut().for_each(|trial| trial.run.clone_from(&whole.run));
    assert_eq!(trials, wanted);
    assert_eq!(
        project
            .watertight(&["accept", "--all", "--reason", "r", "--expires", "2999-01-01", OUT])
            .code,
        0
    );
    assert_eq!(project.watertight(&["gate", OUT]).code, 0);

    // The same parts make the same run, in whatever order.
    merge(&project, &["2", "1"]);
    assert_eq!(merged(&project).0.run, whole.run);
    project.ledger("2", [of_run("job 2")(clean("d"))]);
    merge(&project, &["2", "1"]);
    assert_ne!(merged(&project).0.run, whole.run);
}

#[test]
fn a_probe_has_seen_only_what_it_saw_in_every_shard() {
    let project = shards([vec![clean("a")], vec![clean("b")]]);
    let mut third = run("job 3", None);
    third.canaries =
        vec![Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "own allocator")];
    project.ledger("3", [Record::Run(third), of_run("job 3")(clean("c"))]);
    assert_eq!(merge(&project, &["1", "2", "3"]).code, 0);
    let canaries = merged(&project).0.canaries;
    assert_eq!(
        canaries,
        [Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "3: own allocator")]
    );
    let said = project.watertight(&["gate", OUT]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("did not see its canary: 3: own allocator"), "{}", said.out);
}

#[test]
fn overlapping_shards_are_said_and_nothing_is_lost() {
    let again = || ended(clean("b"), watertight_report::model::Outcome::Passed, 2);
    let project = shards([vec![clean("a"), clean("b"), again()], vec![clean("b"), clean("c")]]);
    let said = merge(&project, &["1", "2"]);
    assert_red(
        &said,
        &[
            "1 trial is in more than one ledger, as `app::b` in shard 1 of 2 (1) and shard 2 of 2 (2)",
        ],
    );
    assert_eq!(merged(&project).1.len(), 5);
}

/// Every process of a suite records its fixtures.
#[test]
fn fixtures_are_no_duplicates() {
    let project = shards([vec![clean("a"), clean(FIXTURES)], vec![clean("b"), clean(FIXTURES)]]);
    assert_eq!(merge(&project, &["1", "2"]).code, 0);
    assert_eq!(merged(&project).1.len(), 4);
}

#[test]
fn a_ledger_that_is_given_twice_is_taken_once() {
    let project = shards([vec![clean("a")], vec![clean("b")]]);
    std::fs::copy(project.path("1"), project.path("copy")).unwrap();
    let said = merge(&project, &["1", "2", "copy", "1"]);
    assert_red(&said, &["copy holds the same as 1: it is taken once", "1 holds the same as 1"]);
    assert_eq!(merged(&project).1.len(), 2);
}

#[test]
fn a_missing_shard_is_said_and_the_whole_stays_red() {
    let project = shards([vec![clean("a")], vec![clean("b")], vec![clean("c")]]);
    assert_red(&merge(&project, &["3", "1"]), &["shard 2 of 3 is not here"]);
    assert_eq!(merged(&project).1.len(), 2);
    let said = project.watertight(&["gate", OUT]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("of 3 is not here"), "{}", said.out);
}

#[test]
fn jobs_that_were_run_in_different_ways_are_said() {
    let project = Project::new();
    let runs = ["0.1.0", "0.2.0"].map(|version| {
        let mut run = run(version, None);
        version.clone_into(&mut run.tool_version);
        run.profile = if version == "0.1.0" { "ci" } else { "default" }.to_owned();
        run
    });
    for (run, case) in runs.into_iter().zip(["a", "b"]) {
        let id = run.run.clone();
        project.ledger(&id, [Record::Run(run), of_run(&id)(clean(case))]);
    }
    let said = merge(&project, &["0.1.0", "0.2.0"]);
    assert_red(
        &said,
        &["different tool versions (`0.1.0`, `0.2.0`)", "different profiles (`ci`, `default`)"],
    );
}

#[test]
fn a_ledger_without_run_record_or_trials_is_said() {
    let project = shards([vec![clean("a")]]);
    project.ledger("bare", [of_run("x")(clean("b"))]);
    project.ledger("idle", [Record::Run(run("y", None))]);
    let said = merge(&project, &["1", "bare", "idle"]);
    assert_red(&said, &["bare has no run record", "idle has no trial"]);
    let said = project.watertight(&["gate", OUT]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("bare: it has no run record, so its canaries did not run"),
        "{}",
        said.out
    );
}

#[test]
fn the_output_is_never_an_input_and_never_a_device() {
    let project = shards([vec![clean("a")], vec![clean("b")]]);
    let before = project.read("1");
    std::fs::hard_link(project.path("1"), project.path(OUT)).unwrap();
    for out in ["1", "./1", OUT, "/dev/null", "."] {
        let said = project.watertight(&["merge", "-o", out, "1", "2"]);
        assert_eq!(said.code, 2, "{out}: {said:?}");
        assert!(said.err.contains("with -o"), "{}", said.err);
    }
    assert_eq!(project.read("1"), before);
}

#[test]
fn where_nothing_can_be_read_nothing_is_written() {
    let project = Project::new();
    project.write("1", "nonsense\n");
    project.write(OUT, "old");
    let said = merge(&project, &["1"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("1: line 1: not a record"), "{}", said.err);
    assert_eq!(project.read(OUT), "old");
    let said = merge(&project, &["1", "gone"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("the ledger gone is not there"), "{}", said.err);
    assert_eq!(
        std::fs::read_dir(project.path("")).unwrap().count(),
        3,
        "no temporary file is left"
    );
}

/// Lines of many lengths, so that they cross the blocks in which they are passed on.
#[test]
fn the_order_is_kept_over_many_blocks() {
    const TRIALS: usize = 3000;
    let trials = |ledger: &str| -> Vec<Trial> {
        (0..TRIALS)
            .map(|number| {
                let mut trial = clean(&format!("{ledger}{number}"));
                trial.notes = vec!["n".repeat(number * 7 % 6000)];
                trial
            })
            .collect()
    };
    let project = shards([trials("a"), trials("b")]);
    assert_eq!(merge(&project, &["1", "2"]).code, 0);
    let (_, merged) = merged(&project);
    let cases: Vec<String> = merged.iter().map(|trial| trial.case.clone()).collect();
    let wanted: Vec<String> = ["a", "b"]
        .iter()
        .flat_map(|it| (0..TRIALS).map(move |number| format!("{it}{number}")))
        .collect();
    assert_eq!(cases, wanted);
    assert!(
        merged.iter().enumerate().all(|(at, trial)| trial.notes[0].len() == at % TRIALS * 7 % 6000)
    );
}
