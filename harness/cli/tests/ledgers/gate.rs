use watertight_report::model::{
    CANCELLED, Canary, Mode, Outcome, Record, Resource, SUBJECT_TEST, Trended, Trial, Unmeasured,
    Verdict, WATCH_SUITE,
};
use watertight_report::trend::Trend;

use crate::project::{
    ACCEPTED, LATEST, Project, Said, clean, day, ended, entry, leaky, of_run, run, siteless,
};

fn gate(trials: impl IntoIterator<Item = Trial>) -> Said {
    Project::after(trials).watertight(&["gate"])
}

/// It is red, for this one reason.
#[track_caller]
fn assert_red(said: &Said, because: &str) {
    assert_eq!(said.code, 1, "{said:?}");
    let reasons = said.out.lines().filter(|line| line.starts_with("red: ")).count();
    assert_eq!(reasons, 1, "{}", said.out);
    assert!(said.out.contains(because), "{}", said.out);
}

#[test]
fn a_clean_run_is_green_and_says_what_it_proves() {
    let said = gate([clean("a"), clean("b")]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out, "green: 2 cases leave nothing behind; 2 of 2 probes saw their canary\n");
    assert_eq!(said.err, "");
}

#[test]
fn what_a_budget_allows_is_green() {
    let mut trial = leaky("a", 1);
    trial.verdict = Verdict::Tolerated;
    trial.findings[0].status = watertight_report::model::Status::Accepted;
    assert_eq!(gate([trial]).code, 0);
}

#[test]
fn a_leak_is_red_with_its_line() {
    let said = gate([clean("a"), leaky("b", 1)]);
    assert_red(&said, "1 case leaks; fix what they name");
    assert!(said.out.contains("app: `b` left 1 file descriptor behind"), "{}", said.out);
    assert!(said.out.contains("src/store.rs:31"), "{}", said.out);
}

#[test]
fn the_worst_leaks_come_first_and_the_rest_is_counted() {
    let said = gate((1..=13).map(|fds| leaky(&format!("case_{fds:02}"), fds)));
    assert_red(&said, "13 cases leak");
    assert!(said.out.lines().nth(1).unwrap().contains("case_13"), "{}", said.out);
    assert!(said.out.contains("3 more: cargo watertight report"), "{}", said.out);
    assert!(!said.out.contains("case_03"), "{}", said.out);
}

#[test]
fn the_acceptance_file_of_today_decides() {
    let project = Project::after([leaky("a", 1)]);
    project.write(ACCEPTED, entry("a", 1, day(0)));
    let said = project.watertight(&["gate"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out.contains(&format!("1 finding accepted, the first until {}", day(0))),
        "{}",
        said.out
    );

    // The ledger says that it was accepted; the file does not say so any more.
    let mut accepted = leaky("a", 1);
    accepted.verdict = Verdict::Tolerated;
    accepted.findings[0].status = watertight_report::model::Status::Accepted;
    accepted.findings[0].accepted =
        vec![watertight_report::model::AcceptedBy::new(1, Resource::Fd, "r", day(9))];
    let project = Project::after([accepted]);
    assert_red(&project.watertight(&["gate"]), "1 case leaks");
    project.write(ACCEPTED, entry("a", 1, day(9)));
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn an_entry_that_is_over_is_red_and_so_is_its_leak() {
    let project = Project::after([leaky("a", 1)]);
    project.write(ACCEPTED, entry("a", 1, day(-1)));
    let said = project.watertight(&["gate"]);
    assert_eq!(said.code, 1);
    let until = format!("until {}", day(-1));
    assert!(said.out.contains(&format!("it was accepted {until}")), "{}", said.out);
    assert!(said.out.contains("fix the leak, or renew the entry"), "{}", said.out);
}

#[test]
fn an_entry_that_is_over_is_red_whatever_ran() {
    let project = Project::after([clean("a")]);
    project.write(ACCEPTED, entry("gone", 1, day(-1)));
    assert_red(&project.watertight(&["gate"]), "no such case is in this run: remove it");
}

#[test]
fn an_entry_that_accepts_nothing_is_red() {
    let project = Project::after([clean("a")]);
    project.write(ACCEPTED, entry("a", 1, day(9)));
    assert_red(&project.watertight(&["gate"]), "nothing of it leaks: remove it");
}

#[test]
fn an_acceptance_file_that_cannot_be_read_is_the_users_to_mend() {
    let project = Project::after([clean("a")]);
    project.write(ACCEPTED, "[[accepted]]\nresource = \"fd\"\ncase = 5\n");
    let said = project.watertight(&["gate"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains(".config/watertight-accepted.toml:3:8"), "{}", said.err);
}

#[test]
fn a_blind_probe_is_red_once() {
    let mut blind = clean("a");
    blind.verdict = Verdict::Unmeasured;
    blind.unmeasured = vec![Unmeasured::new(Resource::Heap, "own allocator")];
    assert_red(
        &gate([blind.clone(), clean("b")]),
        "the heap probe could not look in 1 case (`app::a`): own allocator",
    );

    let mut sung = run("r", None);
    sung.canaries =
        vec![Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "own allocator")];
    let project = Project::new();
    project.ledger(LATEST, [Record::Run(sung), of_run("r")(blind)]);
    assert_red(&project.watertight(&["gate"]), "did not see its canary: own allocator");
}

/// An accepted leak must not hide that a probe was blind.
#[test]
fn a_blind_probe_behind_an_accepted_leak_is_red() {
    let mut trial = leaky("a", 1);
    trial.unmeasured = vec![Unmeasured::new(Resource::Heap, "own allocator")];
    let project = Project::after([trial]);
    project.write(ACCEPTED, entry("a", 1, day(9)));
    assert_red(&project.watertight(&["gate"]), "the heap probe could not look");
}

#[test]
fn unsettled_is_red() {
    let mut trial = clean("a");
    trial.verdict = Verdict::Unsettled;
    assert_red(&gate([trial]), "1 case (`app::a`) still gave back");
}

#[test]
fn tests_that_did_not_pass_are_red() {
    for (outcome, did) in [
        (Outcome::Failed, "failed"),
        (Outcome::Crashed, "crashed"),
        (Outcome::Killed, "was killed"),
        (Outcome::TimedOut, "did not end in time"),
    ] {
        let failed = ["b", "c", "d"].map(|case| ended(clean(case), outcome, 0));
        let said = gate([clean("a")].into_iter().chain(failed));
        assert_red(&said, &format!("3 cases (`app::b` and 2 others) {did}"));
    }
}

#[test]
fn the_last_attempt_counts_for_the_test_and_every_attempt_for_leaks() {
    let tries = |first: Trial, second: Trial| {
        gate([ended(first, Outcome::Failed, 1), ended(second, Outcome::Passed, 2)])
    };
    assert_eq!(tries(clean("a"), clean("a")).code, 0);
    assert_red(&tries(leaky("a", 1), clean("a")), "1 case leaks");
    let backwards =
        gate([ended(clean("a"), Outcome::Passed, 2), ended(clean("a"), Outcome::Failed, 1)]);
    assert_eq!(backwards.code, 0, "{backwards:?}");
    let worse =
        gate([ended(clean("a"), Outcome::Passed, 1), ended(clean("a"), Outcome::Failed, 2)]);
    assert_red(&worse, "failed");
}

#[test]
fn a_run_that_proves_nothing_is_red() {
    assert_red(&gate([]), "the run `r` ran no test");
    let skipped = |why: &str| {
        let mut trial = ended(clean("a"), Outcome::Skipped, 0);
        (trial.verdict, trial.message) = (Verdict::Unmeasured, Some(why.to_owned()));
        trial
    };
    assert_red(&gate([skipped("ignored")]), "ran no test (1 skipped)");
    assert_red(&gate([clean("b"), skipped(CANCELLED)]), "was cancelled, and nobody knows");
    assert_eq!(gate([clean("b"), skipped("ignored")]).code, 0);

    let fixtures = clean(watertight_report::model::FIXTURES);
    assert_red(&gate([fixtures]), "ran no test");

    let project = Project::new();
    project.ledger(LATEST, [of_run("r")(clean("a"))]);
    assert_red(&project.watertight(&["gate"]), "has no run record");
    let mut mute = run("r", None);
    mute.canaries.clear();
    project.ledger(LATEST, [Record::Run(mute)]);
    assert_red(&project.watertight(&["gate"]), "was shown no canaries");

    let project = Project::new();
    project.write(LATEST, "");
    assert_red(&project.watertight(&["gate"]), "the ledger holds no record");
}

#[test]
fn every_broken_line_is_said_and_red() {
    let project = Project::after([clean("a")]);
    let ledger = project.read(LATEST);
    project.write(LATEST, format!("not JSON\n{ledger}{{\"type\":\"trial\",\"sch\n"));
    let said = project.watertight(&["gate"]);
    assert_red(&said, "2 lines of the ledgers cannot be read");
    assert!(said.err.contains("latest: line 1: not a record"), "{}", said.err);
    assert!(said.err.contains("latest: line 4: cut short"), "{}", said.err);
    assert_eq!(said.err.lines().count(), 2, "{}", said.err);
}

#[test]
fn a_missing_shard_is_red() {
    let project = Project::new();
    for (index, case) in [(1, "a"), (3, "b")] {
        let id = format!("r{index}");
        let run = Record::Run(run(&id, Some((index, 3))));
        project.ledger(&format!("shard-{index}"), [run, of_run(&id)(clean(case))]);
    }
    assert_red(&project.watertight(&["gate", "shard-1", "shard-3"]), "shard 2 of 3 is not here");
    project.ledger("shard-2", [Record::Run(run("r2", Some((2, 3)))), of_run("r2")(clean("c"))]);
    assert_eq!(project.watertight(&["gate", "shard-1", "shard-2", "shard-3"]).code, 0);
}

#[test]
fn names_do_not_reach_the_terminal() {
    let mut trial = siteless("a\x1b[2J\nred: all is well");
    trial.suite = "su\x1b]0;ite".to_owned();
    let said = gate([ended(trial, Outcome::Failed, 0)]);
    assert_eq!(said.code, 1);
    assert!(
        !said.out.contains('\x1b') && !said.out.contains("\nred: all is well"),
        "{:?}",
        said.out
    );
}

#[test]
fn where_there_is_no_ledger_it_says_how_to_make_one() {
    let project = Project::new();
    for arguments in [["gate"].as_slice(), &["gate", "nowhere.jsonl"]] {
        let said = project.watertight(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""));
        assert!(said.err.contains("cargo watertight test"), "{}", said.err);
    }
}

/// The last run is found from a package of the workspace, and another project's is not.
#[test]
fn the_ledger_is_looked_for_up_to_the_root() {
    let outer = Project::after([clean("a")]);
    outer.write("crates/a/src/lib.rs", "");
    let from = |folder: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_cargo-watertight"))
            .arg("gate")
            .env_remove("WATERTIGHT_LEDGER")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_MANIFEST_DIR")
            .current_dir(outer.path(folder))
            .output()
            .unwrap()
    };
    assert_eq!(from("crates/a").status.code(), Some(0));
    outer.write("crates/a/Cargo.lock", "");
    assert_eq!(from("crates/a").status.code(), Some(2));
}

/// A program that was watched for ten seconds.
fn watched(verdict: Verdict, trend: Trend) -> Trial {
    let mut trial = clean("my-daemon");
    (trial.suite, trial.mode, trial.verdict) = (WATCH_SUITE.to_owned(), Mode::Watch, verdict);
    trial.duration_ms = 10_000;
    trial.trends = vec![Trended::new(SUBJECT_TEST, 7, "descriptor", 12, trend)];
    trial
}

#[test]
fn a_watched_program_is_judged_with_the_tests() {
    let flat = watched(Verdict::Clean, Trend::Flat { level: 12.0 });
    let said = gate([clean("a"), flat.clone()]);
    assert_eq!(
        said.out,
        "green: 1 case leaves nothing behind, 1 watched program does not grow; \
         2 of 2 probes saw their canary\n"
    );
    assert!(gate([flat]).out.starts_with("green: 1 watched program does not grow; "));

    let mut grows = watched(Verdict::Leaked, Trend::Flat { level: 12.0 });
    grows.findings = leaky("a", 1).findings;
    let said = gate([grows]);
    assert_red(&said, "1 case leaks");
    assert!(
        said.out.contains("watch: `my-daemon` grows") && said.out.contains("src/store.rs:31"),
        "{}",
        said.out
    );
}

#[test]
fn a_watch_that_was_too_short_is_red_and_says_what_to_do() {
    let mut short = watched(Verdict::Unmeasured, Trend::TooShort { more_s: 9.0, so_far: None });
    short.unmeasured = vec![Unmeasured::new(Resource::Fd, "too short to tell")];
    let said = gate([short]);
    assert_red(&said, "1 watch could not tell; watch for longer (--for)");
    assert!(said.out.contains("`my-daemon` was watched for 10.0 s"), "{}", said.out);
}
