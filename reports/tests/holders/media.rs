//! Whole reports, in every medium that is told of a holder.

use watertight_report::model::{Finding, Frame, Status, Trial};
use watertight_report::render::folded::{Counted, Folded};
use watertight_report::render::github::Github;
use watertight_report::render::json::Json;
use watertight_report::render::junit::Junit;
use watertight_report::render::markdown::{BYTES_MAX, Markdown};
use watertight_report::render::terminal::{Style, Terminal};

use crate::held::{cycle, heap, registry, thread_local, trial, unmeasured};

/// A leak in two cases, a cycle, and heap of a test that cannot be repeated.
fn trials() -> Vec<Trial> {
    let named = |case: &str, findings: Vec<Finding>| {
        let mut trial = trial(findings);
        trial.case = case.into();
        trial
    };
    let mut nodes = heap(cycle());
    nodes.site = Some(Frame::new("src/lib.rs", 232, "tree::grow"));
    let mut retained = heap(thread_local());
    retained.status = Status::Unconfirmed;
    retained.growth = 70_000;
    let mut unedited = named("fills", vec![retained]);
    unedited.command = Some("cargo watertight test -p app --lib".into());
    unedited.rounds = 1;
    vec![
        named("keeps", vec![heap(registry())]),
        named("keeps_too", vec![heap(registry())]),
        named("grows_a_tree", vec![nodes]),
        unedited,
    ]
}

macro_rules! golden {
    ($name:ident, $make:expr) => {
        #[test]
        fn $name() {
            let text = text!(&trials(), $make);
            let mut settings = insta::Settings::clone_current();
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(text));
        }
    };
}

golden!(terminal, |out| Terminal::new(out, Style::default(), false));
golden!(markdown, |out| Markdown::new(out, BYTES_MAX, false));
golden!(github, Github::new);
golden!(junit, |out| Junit::new(out, false));

#[test]
fn json_has_the_record_itself() {
    let document = text!(&trials(), |out| Json::new(out, false));
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let holder = serde_json::to_value(registry()).unwrap();
    assert_eq!(document["findings"][0]["finding"]["holder"], holder);
    assert_eq!(document["groups"][0]["finding"]["holder"], holder);
    assert_eq!(holder["name"], "hb::registry::REGISTRY");
}

#[test]
fn folded_stacks_are_what_they_were() {
    let mut trials = trials();
    for finding in trials.iter_mut().flat_map(|trial| &mut trial.findings) {
        finding.stack.extend(finding.site.clone());
    }
    let with = text!(&trials, |out| Folded::new(out, Counted::Bytes));
    for finding in trials.iter_mut().flat_map(|trial| &mut trial.findings) {
        finding.holder = None;
    }
    let without = text!(&trials, |out| Folded::new(out, Counted::Bytes));
    assert!(with.contains("hb::registry::add"), "{with}");
    assert_eq!(with, without);
}

/// Two cases may have two holders; one is told, and that it is one.
#[test]
fn a_group_says_whose_holder_it_has() {
    let said = "; the holder is that of one of them";
    let groups =
        |trials: &[Trial]| text!(trials, |out| Terminal::new(out, Style::default(), false));
    let all = trials();
    let both = groups(&all[..2]);
    assert!(both.contains(&format!("engines::keeps and engines::keeps_too{said}\n")), "{both}");
    assert!(!groups(&all[..1]).contains(said));
    let mut blind = all[..2].to_vec();
    for trial in &mut blind {
        trial.findings[0].holder = Some(Box::new(unmeasured()));
    }
    assert!(!groups(&blind).contains(said));
}
