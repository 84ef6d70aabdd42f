//! A ledger with watched programs in it, in every medium.

use watertight_report::model::{Mode, Outcome};
use watertight_report::render::folded::{Counted, Folded};
use watertight_report::render::github::Github;
use watertight_report::render::json::Json;
use watertight_report::render::junit::Junit;
use watertight_report::render::markdown::{BYTES_MAX, Markdown};
use watertight_report::render::terminal::{Style, Terminal};

use crate::programs::{flat, from_outside, leaky, opened, program, too_short, with_workers};

macro_rules! golden {
    ($name:ident, $make:expr) => {
        #[test]
        fn $name() {
            let text = text!(&[leaky(), from_outside(), too_short()], $make);
            let mut settings = insta::Settings::clone_current();
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(text));
        }
    };
}

golden!(terminal, |out| Terminal::new(out, Style::default(), false));
golden!(markdown, |out| Markdown::new(out, BYTES_MAX, false));
golden!(junit, |out| Junit::new(out, true));
golden!(github, Github::new);
golden!(folded, |out| Folded::new(out, Counted::Descriptors));

#[test]
fn json_says_how_it_grows() {
    let text = text!(&[leaky()], |out| Json::new(out, false));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let finding = &document["findings"][1]["finding"];
    assert_eq!(finding["trend"]["trend"], "growing");
    assert_eq!(finding["trend"]["period"]["added"], 2.0);
    let text = text!(&[leaky()], |out| Json::new(out, true));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["trials"][0]["mode"], "watch");
    assert_eq!(document["trials"][0]["trends"][2]["metric"], "descriptor");
}

#[test]
fn every_row_of_a_program_is_among_its_readings() {
    let text = text!(&[with_workers()], |out| Terminal::new(out, Style::default(), true));
    assert!(text.contains("    socket of worker --queue jobs (pid 31)  flat at 2"), "{text}");
}

/// A suite of tests may be called `watch`, and a leak may be in both.
#[test]
fn no_test_is_taken_for_a_program() {
    let mut test = program("cache", 1, vec![opened(3, "/tmp/a", 31)]);
    test.mode = Mode::Trial;
    for trials in [vec![test.clone()], vec![leaky(), test]] {
        let text = text!(&trials, |out| Terminal::new(out, Style::default(), false));
        assert!(text.contains("  leaks, worst first\n") && text.contains("watch::cache"), "{text}");
        let text = text!(&trials, Github::new);
        assert!(text.contains("left behind in"), "{text}");
    }
}

/// How fast it grows holds for one watch; of several only what they come to is said.
#[test]
fn two_watches_of_a_program_are_one_group() {
    let (first, mut second) = (leaky(), leaky());
    second.run = "cd34".into();
    let text = text!(&[first, second], Github::new);
    let said = "480 file descriptors added in 2 cases: watch::leaky-daemon and 1 more%0A/tmp";
    assert!(text.contains(said), "{text}");
}

/// Nothing tells a watched program to run a test again.
#[test]
fn no_medium_speaks_of_tests() {
    let mut crashed = flat();
    crashed.outcome = Outcome::Crashed;
    crashed.message = Some("signal 6 (SIGABRT)\nassertion failed".into());
    for trial in [leaky(), from_outside(), too_short(), with_workers(), crashed] {
        let trials = [trial];
        let all = [
            text!(&trials, |out| Terminal::new(out, Style::default(), true)),
            text!(&trials, |out| Markdown::new(out, BYTES_MAX, false)),
            text!(&trials, |out| Junit::new(out, true)),
            text!(&trials, Github::new),
        ];
        for text in all {
            // The attribute and elements of JUnit, and how the program's own process is called.
            let said = text.replace("<testsuite", "").replace("</testsuite", "");
            let said =
                said.replace("testcase", "").replace(" tests=", "").replace("of test (pid", "");
            for word in ["test", "round", "--exact", "left behind in"] {
                assert!(!said.contains(word), "{word}: {said}");
            }
        }
    }
}
