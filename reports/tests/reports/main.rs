//! Whole reports: what the fold keeps, a golden of every renderer, and readers of each medium that are not ours.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

#[path = "../any/record.rs"]
mod any_record;
mod ledgers;

mod fold;
mod goldens;
mod terminal;
mod json;
mod markdown;
mod junit;
mod jenkins;
mod github;
mod folded;

use watertight_report::model::Record;
use watertight_report::render::Renderer;
use watertight_report::report::{Fold, Report};

/// What the renderer that `make` makes writes of `records`.
fn rendered<'a, R: Renderer>(
    records: &[Record],
    out: &'a mut Vec<u8>,
    make: impl FnOnce(&'a mut Vec<u8>) -> R,
) {
    let mut renderer = make(out);
    for record in records {
        if let Record::Trial(trial) = record {
            renderer.trial(trial).unwrap();
        }
    }
    renderer.finish(&report_of(records)).unwrap();
}

fn report_of(records: &[Record]) -> Report {
    let mut fold = Fold::default();
    records.iter().for_each(|record| fold.add(record));
    fold.finish()
}

/// The text that a renderer writes: `text!(records, |out| Json::new(out, false))`.
macro_rules! text {
    ($records:expr, $make:expr) => {{
        let mut out = Vec::new();
        $crate::rendered($records, &mut out, $make);
        String::from_utf8(out).unwrap()
    }};
}
pub(crate) use text;
