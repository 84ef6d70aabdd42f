use std::os::unix::fs::PermissionsExt as _;

use watertight_report::model::{Frame, Mode, Part, Resource};
use watertight_report::trend::Trend;

use crate::project::{ACCEPTED, LATEST, Project, clean, day, entry, leaky, siteless};

/// `accept WORDS --reason old --expires` in ten days.
fn accept(project: &Project, words: &[&str]) -> crate::project::Said {
    let expires = day(10).to_string();
    let why = ["--reason", "old", "--expires", &expires];
    project.watertight(&[&["accept"], words, &why].concat())
}

#[test]
fn what_leaks_today_is_accepted_and_nothing_more() {
    let project = Project::after([clean("a"), leaky("b", 2), leaky("c", 1)]);
    assert_eq!(project.watertight(&["gate"]).code, 1);
    let said = accept(&project, &["--all"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    assert!(
        said.err.contains("2 entries are written to .config/watertight-accepted.toml"),
        "{}",
        said.err
    );
    let text = project.read(ACCEPTED);
    assert!(text.starts_with("#:schema https://"), "{text}");
    let wanted = format!(
        "\n[[accepted]]\ncase = \"app::b\"\nresource = \"fd\"\nsite = \"src/store.rs\"\nfunction = \"app::store::open\"\nmax = 2\nreason = \"old\"\nexpires = \"{}\"\n",
        day(10)
    );
    assert!(text.contains(&wanted), "{text}");
    assert_eq!(project.watertight(&["gate"]).code, 0);

    // A new leak fails, and so does more of the old one.
    for worse in [leaky("new", 1), leaky("b", 3)] {
        let project = Project::after([worse]);
        project.write(ACCEPTED, &text);
        assert_eq!(project.watertight(&["gate"]).code, 1);
    }
}

#[test]
fn a_second_time_there_is_nothing_to_write() {
    let project = Project::after([leaky("b", 2)]);
    accept(&project, &["--all"]);
    let before = project.read(ACCEPTED);
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 0);
    assert!(said.err.contains("nothing is left to accept"), "{}", said.err);
    assert_eq!(project.read(ACCEPTED), before);
}

#[test]
fn a_pattern_chooses_cases() {
    let project = Project::after([leaky("store::a", 1), leaky("sync::a", 1)]);
    assert_eq!(accept(&project, &["store::*"]).code, 0);
    let text = project.read(ACCEPTED);
    assert!(text.contains("app::store::a") && !text.contains("sync"), "{text}");
    assert_eq!(project.watertight(&["gate"]).code, 1);
    assert_eq!(accept(&project, &["app::sync::?"]).code, 0);
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

/// One fixture that leaks in many cases is one entry, and one that leaks in some of them is not.
#[test]
fn cases_with_one_leak_share_an_entry_where_a_pattern_fits() {
    let three = || ["store::a", "store::b", "store::c"].map(|case| leaky(case, 1));
    let project = Project::after(three().into_iter().chain([clean("sync::a")]));
    accept(&project, &["--all"]);
    let text = project.read(ACCEPTED);
    assert_eq!(text.matches("[[accepted]]").count(), 1, "{text}");
    assert!(text.contains("case = \"app::store::*\""), "{text}");
    assert_eq!(project.watertight(&["gate"]).code, 0);

    for other in [clean("store::d"), leaky("store::d", 2)] {
        let project = Project::after(three().into_iter().chain([other]));
        accept(&project, &["--all"]);
        let text = project.read(ACCEPTED);
        assert!(!text.contains('*') && text.contains("case = \"app::store::a\""), "{text}");
        assert_eq!(project.watertight(&["gate"]).code, 0);
    }
}

#[test]
fn every_part_of_a_finding_has_its_entry_and_several_findings_of_one_site_share_it() {
    let mut trial = leaky("a", 1);
    trial.findings[0].parts =
        vec![Part::new(Resource::Fd, "/tmp/app.db", 1), Part::new(Resource::Heap, "3 blocks", 700)];
    let mut other = trial.findings[0].clone();
    other.subject = "appd --serve".to_owned();
    trial.findings.push(other);
    let project = Project::after([trial]);
    accept(&project, &["--all"]);
    let text = project.read(ACCEPTED);
    assert_eq!(text.matches("[[accepted]]").count(), 2, "{text}");
    assert!(text.contains("max = 2\n") && text.contains("max = 1400\n"), "{text}");
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn only_what_no_active_entry_covers_is_written() {
    let mut trial = leaky("a", 1);
    trial.findings[0].parts =
        vec![Part::new(Resource::Fd, "/tmp/app.db", 1), Part::new(Resource::Heap, "3 blocks", 700)];
    let project = Project::after([trial]);
    project.write(ACCEPTED, entry("a", 1, day(3)));
    accept(&project, &["--all"]);
    let text = project.read(ACCEPTED);
    assert_eq!(text.matches("resource = \"fd\"").count(), 1, "{text}");
    assert_eq!(text.matches("resource = \"heap\"").count(), 1, "{text}");
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn what_is_in_the_file_stays_to_the_byte() {
    let project = Project::after([leaky("a", 1), leaky("b", 1)]);
    let old = format!("# ours  \r\n\n{}  # the last one", entry("a", 1, day(3)).trim_end());
    project.write(ACCEPTED, &old);
    let file = project.path(ACCEPTED);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(accept(&project, &["--all"]).code, 0);
    let text = project.read(ACCEPTED);
    assert!(text.starts_with(&format!("{old}\n\n[[accepted]]\ncase = \"app::b\"")), "{text}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let folder = std::fs::read_dir(file.parent().unwrap()).unwrap();
    assert_eq!(folder.count(), 1, "no temporary file is left");
}

#[test]
fn a_file_that_takes_no_entries_is_left_alone() {
    let project = Project::after([leaky("a", 1)]);
    project.write(ACCEPTED, "accepted = []\n");
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("write what is there as [[accepted]] tables"), "{}", said.err);
    assert_eq!(project.read(ACCEPTED), "accepted = []\n");
}

#[test]
fn what_has_no_line_cannot_be_accepted() {
    let project = Project::after([siteless("a")]);
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 0);
    assert!(said.err.contains("fd of app::a cannot be accepted"), "{}", said.err);
    assert!(said.err.contains("it was made by a raw system call"), "{}", said.err);
    assert!(!project.path(ACCEPTED).exists());

    // A function will do.
    let mut trial = leaky("a", 1);
    trial.findings[0].site = Some(Frame::new("", 0, "app::store::open"));
    let project = Project::after([trial]);
    accept(&project, &["--all"]);
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn without_a_choice_it_lists_what_there_is() {
    let project = Project::after([leaky("a", 1)]);
    let said = project.watertight(&["accept"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.out,
        "fd of app::a, at most 1 a round, made at src/store.rs in app::store::open\n"
    );
    assert!(said.err.contains("cargo watertight accept --all --reason"), "{}", said.err);
    assert!(!project.path(ACCEPTED).exists());
}

#[test]
fn a_dry_run_prints_what_would_be_written() {
    let project = Project::after([leaky("a", 1)]);
    let said = accept(&project, &["--all", "--dry-run"]);
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with("[[accepted]]\ncase = \"app::a\""), "{}", said.out);
    assert!(!project.path(ACCEPTED).exists());
    project.write(ACCEPTED, said.out);
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn wrong_usage_is_said_and_nothing_is_written() {
    let project = Project::after([leaky("a", 1)]);
    let (later, today, over) = (day(9).to_string(), day(0).to_string(), day(-1).to_string());
    let wrong: [(&[&str], &str); 9] = [
        (&["--all", "--reason", "r"], "--expires"),
        (&["--all", "--expires", &later], "--reason"),
        (&["--reason", "r", "--expires", &later], "--all"),
        (&["--dry-run"], "--all"),
        (&["--all", "--reason", " ", "--expires", &later], "say why"),
        (&["--all", "--reason", "r", "--expires", &over], "that day is over"),
        (&["--all", "--reason", "r", "--expires", "31.12.2099"], "YYYY-MM-DD"),
        (&["nobody::*", "--reason", "r", "--expires", &later], "no case of the run"),
        (&[LATEST, "--reason", "r", "--expires", &later], "--all or a pattern"),
    ];
    for (words, why) in wrong {
        let said = project.watertight(&[&["accept"], words].concat());
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?}: {said:?}");
        assert!(said.err.contains(why), "{words:?}: {}", said.err);
    }
    assert!(!project.path(ACCEPTED).exists());
    let last_day = ["accept", "--all", "--reason", "r", "--expires", &today];
    assert_eq!(project.watertight(&last_day).code, 0);
    assert_eq!(project.watertight(&["gate"]).code, 0);
}

#[test]
fn entries_that_have_to_go_are_said() {
    let project = Project::after([leaky("a", 1), clean("b")]);
    project.write(ACCEPTED, entry("a", 1, day(-1)) + &entry("b", 1, day(5)));
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 0);
    assert!(
        said.err.contains("watertight-accepted.toml:1 accepted fd of `a` until"),
        "{}",
        said.err
    );
    assert!(said.err.contains("watertight-accepted.toml:8 accepts fd of `b`"), "{}", said.err);
}

#[test]
fn a_broken_line_costs_no_other() {
    let project = Project::after([leaky("a", 1)]);
    project.write(LATEST, format!("{{\n{}", project.read(LATEST)));
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains("line 1: cut short"), "{}", said.err);
    assert!(project.read(ACCEPTED).contains("app::a"));
}

#[test]
fn the_pace_of_a_watched_program_is_accepted_with_room() {
    let mut watched = leaky("my-daemon", 40);
    watched.mode = Mode::Watch;
    watched.findings[0].trend = Some(Trend::Flat { level: 12.0 });
    let project = Project::after([watched]);
    let said = accept(&project, &["--all"]);
    assert_eq!(said.code, 0, "{said:?}");
    let accepted = project.read(ACCEPTED);
    assert!(accepted.contains("max = 51\n"), "{accepted}");
}
