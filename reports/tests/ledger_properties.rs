//! What holds for every record: it is read back as it was written, and a broken line costs no other.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

#[path = "any/record.rs"]
mod any_record;

use std::fs::{self, File};

use proptest::collection::vec;
use proptest::prelude::*;
use watertight_report::ledger::{self, Ledger};
use watertight_report::model::Record;
use watertight_report::render::Summary;
use watertight_report::render::terminal::{Style, failure};

use any_record::{record, trial};

fn good(path: &std::path::Path) -> Vec<Record> {
    ledger::read(path).unwrap().filter_map(Result::ok).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(records in vec(record(), 0..5)) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
        for record in &records {
            ledger.append(record).unwrap();
        }
        let read: Result<Vec<Record>, _> = ledger::read(ledger.path()).unwrap().collect();
        prop_assert_eq!(read.unwrap(), records);
    }

    #[test]
    fn a_cut_costs_the_last_line_at_most(
        records in vec(record(), 1..5),
        late in record(),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
        let mut ends = Vec::new();
        for record in &records {
            ledger.append(record).unwrap();
            ends.push(fs::metadata(ledger.path()).unwrap().len());
        }
        let length = ends.last().copied().unwrap();
        let cut = cut.index(length as usize + 1) as u64;
        File::options().write(true).open(ledger.path()).unwrap().set_len(cut).unwrap();

        // A line is whole without its newline too.
        let whole = ends.iter().filter(|end| **end - 1 <= cut).count();
        let mut wanted = records[..whole].to_vec();
        prop_assert_eq!(&good(ledger.path()), &wanted);
        let bad = ledger::read(ledger.path()).unwrap().filter(Result::is_err).count();
        prop_assert!(bad <= 1);

        // The next writer loses nothing more, and nothing of its own.
        ledger.append(&late).unwrap();
        wanted.push(late);
        prop_assert_eq!(&good(ledger.path()), &wanted);
    }

    /// No name can forge a line of the block, move the cursor or reach the terminal's settings.
    #[test]
    fn no_record_upsets_a_terminal(trial in trial(), stacks in any::<bool>()) {
        let block = failure(&trial, &Style { stacks, ..Style::default() });
        prop_assert!(!block.chars().any(|c| c.is_control() && c != '\n'));
        prop_assert!(block.starts_with('`'));
        let mut summary = Summary::default();
        summary.add(&trial);
        prop_assert!(!summary.to_string().chars().any(char::is_control));
    }
}
