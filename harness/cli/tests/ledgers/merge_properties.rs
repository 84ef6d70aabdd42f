//! Broken lines anywhere in any ledger cost a merge themselves alone.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use watertight_report::model::Record;

use crate::project::{Project, clean, of_run, run};

/// One line of a ledger: a good trial, or something that is none and how that is said.
#[derive(Debug, Clone)]
enum Line {
    Good,
    Bad(Vec<u8>, &'static str),
}

fn line() -> impl Strategy<Value = Line> {
    let whole = serde_json::to_vec(&of_run("r")(clean("cut"))).unwrap();
    let cut = any::<Index>().prop_map(move |at| {
        Line::Bad(whole[..1 + at.index(whole.len() - 1)].to_vec(), "cut short")
    });
    let bad = select(vec![
        ("running 4 tests", "not a record"),
        ("{\"type\":\"trial\",\"case\":7}", "not a record"),
        ("{\"type\":\"trial\",\"schema\":99,\"case\":\"a\"}", "written with schema 99"),
        ("{\"type\":\"run\",\"schema\":99}", "written with schema 99"),
        ("{\"type\":\"holder\"}", "of the unknown type `holder`"),
    ]);
    let bad = bad.prop_map(|(line, said)| Line::Bad(line.into(), said));
    let noise = vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..20)
        .prop_map(|noise| Line::Bad([b"\xfe".as_slice(), &noise].concat(), "not a record"));
    prop_oneof![4 => Just(Line::Good), 1 => cut, 1 => bad, 1 => noise]
}

proptest! {
    // Each case starts a process.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_line_costs_itself_alone(
        ledgers in vec(vec(line(), 0..8), 1..4),
        is_cut in any::<bool>(),
    ) {
        let project = Project::new();
        let (mut cases, mut faults) = (Vec::new(), Vec::new());
        for (index, lines) in ledgers.iter().enumerate() {
            let mut bytes = serde_json::to_vec(&Record::Run(run("r", None))).unwrap();
            for (at, line) in lines.iter().enumerate() {
                bytes.push(b'\n');
                match line {
                    Line::Good => {
                        let case = format!("{index}/{at}");
                        bytes.extend(serde_json::to_vec(&of_run("r")(clean(&case))).unwrap());
                        cases.push(case);
                    }
                    Line::Bad(line, said) => {
                        bytes.extend(line);
                        faults.push(format!("watertight: {index}: line {}: {said}", at + 2));
                    }
                }
            }
            if !is_cut {
                bytes.push(b'\n');
            }
            project.write(&index.to_string(), bytes);
        }
        let names: Vec<String> = (0..ledgers.len()).map(|index| index.to_string()).collect();
        let mut words = vec!["merge", "-o", "out"];
        words.extend(names.iter().map(String::as_str));
        let said = project.watertight(&words);
        let is_idle = |lines: &Vec<Line>| !lines.iter().any(|line| matches!(line, Line::Good));
        let is_red = !faults.is_empty() || ledgers.iter().any(is_idle);
        prop_assert_eq!(said.code, i32::from(is_red), "{}", said.err);
        let told: Vec<&str> = said.err.lines().filter(|line| line.contains(": line ")).collect();
        prop_assert_eq!(told.len(), faults.len(), "{}", said.err);
        for (told, fault) in told.iter().zip(&faults) {
            prop_assert!(told.starts_with(fault.as_str()), "{told} is not {fault}");
        }
        let mut records = project.records("out").into_iter();
        let Some(Record::Run(whole)) = records.next() else { panic!("no run record") };
        let read: Vec<String> = records
            .map(|record| match record {
                Record::Trial(trial) if trial.run == whole.run => trial.case,
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(read, cases);
    }
}
