//! Goldens of what `watch` and `run` print at their end.

use proptest::prelude::*;
use watertight_report::metric;
use watertight_report::model::{Status, Trended, Verdict};
use watertight_report::render::terminal::{Style, failure, verdict};

use crate::any_record::trial;
use crate::programs::{flat, from_outside, leaky, per_tick, too_short, trend, with_workers};

macro_rules! golden {
    ($name:ident, $text:expr) => {
        #[test]
        fn $name() {
            let text = $text.replace('\x1b', "\\e");
            let mut settings = insta::Settings::clone_current();
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(text));
        }
    };
}

fn coloured() -> Style {
    Style { colour: true, ..Style::default() }
}

golden!(growing, verdict(&leaky(), &Style::default()));
golden!(growing_in_colour, verdict(&leaky(), &coloured()));
golden!(growing_as_a_failure, {
    let mut trial = leaky();
    trial.command = Some("cargo watertight run -- leaky-daemon --tick 5s".into());
    failure(&trial, &Style { ledger: Some("target/watertight/latest".into()), ..Style::default() })
});
golden!(seen_from_outside, failure(&from_outside(), &Style::default()));
golden!(nothing_grew, verdict(&flat(), &Style::default()));
golden!(nothing_grew_in_colour, verdict(&flat(), &coloured()));
golden!(too_short_to_tell, verdict(&too_short(), &coloured()));
golden!(descendants, verdict(&with_workers(), &Style::default()));
golden!(accepted, {
    let mut trial = leaky();
    trial.findings.iter_mut().for_each(|finding| finding.status = Status::Accepted);
    trial.verdict = Verdict::Tolerated;
    verdict(&trial, &coloured())
});

/// A fork that bears its parent's name has rows of its own.
#[test]
fn a_fork_is_a_descendant() {
    let mut trial = flat();
    let grown = per_tick(metric::THREAD, 600, |ticks| ticks);
    let command = trial.case.clone();
    trial.trends.push(Trended::new(command, 7, metric::THREAD, 40, grown));
    let said = verdict(&trial, &Style::default());
    let (program, fork) = said.split_once("(pid 7)").unwrap();
    assert!(program.contains("flat at 4") && !program.contains("growing"), "{said}");
    assert!(fork.contains("growing, +1 per tick"), "{said}");
}

#[test]
fn every_finding_is_told_once() {
    for trial in [leaky(), from_outside(), with_workers()] {
        let said = verdict(&trial, &Style::default());
        for finding in &trial.findings {
            let told = said.lines().filter(|line| line.ends_with(&format!("  {}", finding.what)));
            assert_eq!(told.count(), 1, "{}: {said}", finding.what);
        }
    }
    // Of a kind that no series counts.
    let mut trial = flat();
    trial.findings = leaky().findings;
    let said = verdict(&trial, &Style::default());
    assert!(said.contains("+240") && said.contains("+120"), "{said}");
}

#[test]
fn rows_fit_a_terminal_where_they_can() {
    let mut trial = leaky();
    let ticking = per_tick(metric::MEMORY_BYTES, 600, |ticks| ticks * 70_001);
    trial.trends[0] = Trended::new("test", 4_021, metric::MEMORY_BYTES, 9 << 20, ticking);
    let stepped = trend(metric::HEAP_BLOCKS, 600, |second| u64::from(second > 9) * 1_234_567);
    trial.trends.push(Trended::new("test", 4_021, metric::HEAP_BLOCKS, 1_234_567, stepped));
    let said = verdict(&trial, &Style::default());
    let rows = said.lines().skip(1).filter(|line| !line.contains("  leaky::"));
    let long: Vec<&str> = rows.filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No name can forge a line of it, move the cursor or reach the terminal's settings.
    #[test]
    fn no_record_upsets_a_terminal(trial in trial(), stacks in any::<bool>()) {
        let said = verdict(&trial, &Style { stacks, ..Style::default() });
        prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'));
        prop_assert!(said.starts_with('`'));
    }
}
