//! The acceptance file: what is read, what is said of what cannot be, and which leaks an entry accepts.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::path::Path;

use jiff::civil::{Date, date};
use watertight_report::baseline::{Baseline, Entry, Usage};
use watertight_report::model::{Finding, Frame, Outcome, Part, Resource, Status, Trial, Verdict};

const TODAY: Date = date(2027, 6, 1);

const FILE: &str = ".config/watertight-accepted.toml";

/// An entry that is whole, for one descriptor of `open` in `src/store.rs`.
const WHOLE: [(&str, &str); 6] = [
    ("case", "\"stores::*\""),
    ("resource", "\"fd\""),
    ("site", "\"src/store.rs:31\""),
    ("max", "1"),
    ("reason", "\"issue 123\""),
    ("expires", "\"2027-06-30\""),
];

/// The whole entry with some of its keys replaced or, where their text is empty, left out.
fn entry(changed: &[(&str, &str)]) -> String {
    let mut keys = WHOLE.to_vec();
    for (key, value) in changed {
        keys.retain(|(known, _)| known != key);
        keys.push((key, value));
    }
    let lines = keys.iter().filter(|(_, value)| !value.is_empty());
    let lines: String = lines.map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("[[accepted]]\n{lines}")
}

fn parse(text: &str) -> Baseline {
    let (baseline, unknown) = Baseline::parse(Path::new(FILE), text).unwrap();
    assert_eq!(unknown, [], "{text}");
    baseline
}

fn leak() -> Finding {
    let mut finding = Finding::leak(Resource::Fd, "/tmp/tracker.db", 3);
    finding.per_round = 1;
    finding.site = Some(Frame::new("app/src/store.rs", 31, "app::store::Store::open"));
    finding
}

/// A leak after the entries of `text` have been tried on it.
fn tried(text: &str, mut finding: Finding) -> Finding {
    parse(text).accept("suite", "stores::forgets", std::slice::from_mut(&mut finding), TODAY);
    finding
}

#[test]
fn an_entry_accepts_what_it_names() {
    for changed in [
        &[][..],
        &[("case", "\"suite::stores::forgets\"")],
        &[("case", "\"*\"")],
        &[("case", "'stores::forget?'")],
        &[("site", "\"store.rs\"")],
        &[("site", "\"app/src/store.rs:31\""), ("function", "\"Store::open\"")],
        &[("site", ""), ("function", "\"app::store::Store::open\"")],
        &[("max", "200")],
        &[("expires", "2027-06-30")],
        &[("expires", "\"2027-06-01\"")],
    ] {
        let finding = tried(&entry(changed), leak());
        assert_eq!((finding.status, &finding.note), (Status::Accepted, &None), "{changed:?}");
        let [by] = finding.accepted.as_slice() else { panic!("{:?}", finding.accepted) };
        assert_eq!((by.line, by.reason.as_str()), (1, "issue 123"));
    }
}

#[test]
fn an_entry_accepts_nothing_else() {
    for changed in [
        &[("case", "\"stores\"")][..],
        &[("case", "\"other::stores::forgets\"")],
        &[("resource", "\"socket\"")],
        &[("site", "\"ore.rs:31\"")],
        &[("site", "\"src/store.rs:32\"")],
        &[("function", "\"Store::close\"")],
        &[("function", "\"tore::open\"")],
    ] {
        let finding = tried(&entry(changed), leak());
        assert_eq!((finding.status, finding.note), (Status::Leak, None), "{changed:?}");
    }
    let mut unknown = leak();
    unknown.site = None;
    assert_eq!(tried(&entry(&[]), unknown.clone()), unknown, "no site, no acceptance");
    for status in [Status::Step, Status::Unconfirmed] {
        let mut finding = leak();
        finding.status = status;
        assert_eq!(tried(&entry(&[]), finding.clone()), finding);
    }
}

/// Why an entry that was meant for a leak does not accept it.
#[test]
fn a_leak_says_why_it_is_not_accepted() {
    let mut more = leak();
    more.per_round = 3;
    let mut with_heap = leak();
    let mut heap = Part::new(Resource::Heap, "10 blocks", 3 * 77_012);
    heap.per_round = Some(77_012);
    with_heap.parts = vec![Part::new(Resource::Fd, "/tmp/tracker.db", 1), heap];
    let mut noted = leak();
    noted.note = Some("said before".into());
    let expired = [("expires", "\"2027-05-31\"")];
    let small = entry(&[("resource", "\"heap\""), ("max", "\"64 KiB\"")]);
    let notes = [
        tried(&entry(&[]), more),
        tried(&entry(&expired), noted),
        tried(&entry(&[]), with_heap.clone()),
        tried(&(entry(&[]) + &small), with_heap.clone()),
    ]
    .map(|finding| {
        assert_eq!(finding.status, Status::Leak);
        assert!(finding.accepted.is_empty(), "{:?}", finding.accepted);
        finding.note.unwrap()
    });
    insta::assert_snapshot!(notes.join("\n"));
    let enough = entry(&[("resource", "\"heap\""), ("max", "77012")]);
    let accepted = tried(&(entry(&[]) + &enough), with_heap);
    let lines: Vec<_> = accepted.accepted.iter().map(|by| (by.line, by.resource)).collect();
    assert_eq!(lines, [(1, Resource::Fd), (8, Resource::Heap)]);
}

/// Survivors stand alone, each a finding of one: a cap that held for each would hold for any number.
#[test]
fn a_cap_holds_for_a_whole_trial() {
    let process = |pid: u32| {
        let mut finding = Finding::leak(Resource::Process, format!("sleep {pid}"), 1);
        finding.site = leak().site;
        finding
    };
    let text = entry(&[("resource", "\"process\""), ("max", "2")]);
    for (count, status) in [(2, Status::Accepted), (3, Status::Leak)] {
        let mut findings: Vec<Finding> = (0..count).map(process).collect();
        parse(&text).accept("suite", "stores::forgets", &mut findings, TODAY);
        assert!(findings.iter().all(|finding| finding.status == status), "{findings:#?}");
    }
}

/// The typical growth of a leak may be nothing, and an entry for nothing accepts no leak.
#[test]
fn a_leak_is_one_thing_at_least() {
    let mut finding = leak();
    finding.per_round = 0;
    assert_eq!(tried(&entry(&[("max", "0")]), finding.clone()).status, Status::Leak);
    assert_eq!(tried(&entry(&[("max", "1")]), finding).status, Status::Accepted);
}

/// Another entry may still be active, or have a higher cap.
#[test]
fn the_first_entry_that_holds_is_taken() {
    let text = entry(&[("expires", "\"2020-01-01\"")]) + &entry(&[("max", "0")]) + &entry(&[]);
    assert_eq!(tried(&text, leak()).accepted[0].line, 15);
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let table: &[(&str, &str)] = &[
        ("case", "3"),
        ("case", "\" \""),
        ("case", ""),
        ("resource", "\"fdd\""),
        ("resource", "[]"),
        ("site", "\"store::open\""),
        ("site", "\"src/store.rs:0\""),
        ("site", "{}"),
        ("site", ""),
        ("max", "-1"),
        ("max", "\"4 KiB\""),
        ("max", ""),
        ("reason", "\"\""),
        ("reason", ""),
        ("expires", "\"2027-02-30\""),
        ("expires", "\"20270630\""),
        ("expires", "2027-06-30T10:00:00Z"),
        ("expires", ""),
    ];
    let texts = table.iter().map(|change| entry(&[*change])).chain([
        "accepted = 1".to_owned(),
        "[accepted]".to_owned(),
        "[[accepted]]\ncase = \"a".to_owned(),
        "\n[[accepted]\n".to_owned(),
        entry(&[]) + "max = 2\n",
    ]);
    let said = texts.map(|text| Baseline::parse(Path::new(FILE), &text).unwrap_err().to_string());
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"));
}

#[test]
fn unknown_keys_are_said_in_their_order() {
    let text = entry(&[]) + "expire = 1\n\n" + &entry(&[]) + "owner.name = 'x'\n\n[[acepted]]\n";
    let (baseline, unknown) = Baseline::parse(Path::new(FILE), &text).unwrap();
    assert_eq!(baseline.entries.len(), 2);
    let said: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn an_entry_is_written_as_it_is_read() {
    let mut trial = Trial::default();
    trial.suite = "suite".into();
    trial.case = "says \"why\"".into();
    let mut finding = leak();
    finding.parts =
        vec![Part::new(Resource::Fd, "a", 1), Part::new(Resource::Heap, "1 block", 4_096)];
    let entries = Entry::of(&trial, &finding, "C:\\temp\nissue 123", date(2027, 6, 30));
    let text: Vec<String> = entries.iter().map(Entry::to_toml).collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// A run of some cases of a suite, after which some entries have to go.
#[test]
fn entries_that_have_to_go() {
    let trial = |case: &str, outcome: Outcome, findings: Vec<Finding>| {
        let mut trial = Trial::default();
        (trial.suite, trial.case) = ("suite".into(), case.into());
        trial.outcome = outcome;
        trial.findings = findings;
        trial
    };
    let mut step = leak();
    step.status = Status::Step;
    let case = |case: &'static str| ("case", case);
    let text = [
        entry(&[case("'leaks'")]),
        entry(&[case("'leaks'"), ("max", "0")]),
        entry(&[case("'leaks'"), ("site", "'src/other.rs'")]),
        entry(&[case("'cl*'")]),
        entry(&[case("'c*'")]),
        entry(&[case("'crashes'")]),
        entry(&[case("'filtered'")]),
        entry(&[case("'unknown'")]),
        entry(&[case("'blind'")]),
        entry(&[case("'clean'"), ("expires", "2027-05-31")]),
        entry(&[case("'filtered'"), ("expires", "2027-05-31")]),
    ]
    .concat();
    let baseline = parse(&text);
    let mut usage = Usage::default();
    let mut blind = trial("blind", Outcome::Passed, vec![]);
    blind.verdict = Verdict::Unmeasured;
    for trial in [
        trial("leaks", Outcome::Passed, vec![leak()]),
        trial("clean", Outcome::Passed, vec![step]),
        trial("crashes", Outcome::Crashed, vec![]),
        blind,
    ] {
        usage.add(&baseline, &trial);
    }
    let declared = ["leaks", "clean", "crashes", "filtered", "blind"]
        .map(|case| ("suite".to_owned(), case.to_owned()));
    let remarks = baseline.review(&usage, &declared, TODAY);
    let said: Vec<String> = remarks.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"));
}
