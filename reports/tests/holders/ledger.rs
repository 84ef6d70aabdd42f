//! Ledgers with holders, and those that were written before there were any.

use watertight_report::ledger::{self, Ledger};
use watertight_report::model::{Holder, Record, Trial};

use crate::held::{
    below_a_cycle, below_a_lost_one, cycle, heap, local, lost, possible, pthread_key, registry,
    stack_slot, thread_local, trial, unmeasured,
};

fn written_and_read(trial: Trial) -> Trial {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
    ledger.append(&Record::Trial(Box::new(trial))).unwrap();
    let records: Vec<Record> = ledger::read(ledger.path()).unwrap().map(Result::unwrap).collect();
    let [Record::Trial(trial)] = records.as_slice() else { panic!("{records:?}") };
    (**trial).clone()
}

#[test]
fn a_holder_is_read_as_it_was_written() {
    let holders = vec![
        registry(),
        thread_local(),
        pthread_key(),
        local(),
        stack_slot(),
        cycle(),
        below_a_cycle(),
        lost(),
        below_a_lost_one(),
        possible(lost()),
        unmeasured(),
    ];
    let written = trial(holders.into_iter().map(heap).collect());
    assert_eq!(written_and_read(written.clone()), written);
}

#[test]
fn a_finding_without_one_does_not_name_it() {
    let mut finding = heap(registry());
    finding.holder = None;
    assert!(!serde_json::to_string(&finding).unwrap().contains("holder"));
    let written = trial(vec![finding]);
    assert_eq!(written_and_read(written.clone()), written);
}

/// A line from before there were holders.
#[test]
fn an_old_ledger_is_read() {
    let line = r#"{"type":"trial","schema":1,"case":"x","findings":[{"status":"leak",
        "resource":"heap","what":"3 blocks","growth":3,"per_round":1,"subject":"test","site":null,
        "stack":[],"parts":[],"note":"a note"}]}"#
        .replace('\n', " ");
    let records: Vec<Record> = ledger::Records::new(line.as_bytes()).map(Result::unwrap).collect();
    let [Record::Trial(trial)] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(trial.findings[0].note.as_deref(), Some("a note"));
    assert_eq!(trial.findings[0].holder, None);
}

/// The names and the shape that other programs read.
#[test]
fn the_shape_of_a_holder() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&registry()).unwrap());
    insta::assert_snapshot!(serde_json::to_string_pretty(&unmeasured()).unwrap());
}

/// What a writer may leave out, and what a later one may have added.
#[test]
fn the_shortest_holder_is_read() {
    let text = r#"{"class":"cycle","confidence":"sure","hops":[{"bytes":8}],"things":1,
        "things_per_round":0,"retained_bytes":8,"retained_blocks":1,"rounds":1,"rounds_seen":1,
        "added_later":true}"#;
    let holder: Holder = serde_json::from_str(text).unwrap();
    assert_eq!(holder.hops[0].bytes, 8);
    assert_eq!((holder.ring_blocks, holder.name), (0, None));
}
