//! The live lines: they are read back as they were written, and are what their schema says.

use proptest::prelude::*;
use watertight_report::watch::Line;

use crate::any_record::trial;
use crate::programs::leaky;
use crate::samples::{attached, daemon, event, sample, worker};

fn schema() -> jsonschema::Validator {
    let text = include_str!("../../schema/watch.schema.json");
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}

fn lines() -> impl Strategy<Value = Line> {
    prop_oneof![
        4 => sample().prop_map(Line::Sample),
        2 => event().prop_map(Line::Event),
        1 => trial().prop_map(|trial| Line::Trial(Box::new(trial))),
    ]
}

#[test]
fn golden() {
    let all = [
        Line::Event(attached()),
        Line::Sample(daemon(500)),
        Line::Sample(worker(500)),
        Line::Trial(Box::new(crate::programs::flat())),
    ];
    let text: Vec<String> = all.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(text.join("\n")));
}

#[test]
fn a_line_is_what_its_schema_says() {
    let schema = schema();
    let all = [
        Line::Event(attached()),
        Line::Sample(daemon(500)),
        Line::Sample(worker(500)),
        Line::Trial(Box::new(leaky())),
    ];
    for line in all {
        let mut json = serde_json::to_value(&line).unwrap();
        assert!(schema.is_valid(&json), "{json}");
        // And the schema tells: the same of another type is none.
        json["type"] = "other".into();
        assert!(!schema.is_valid(&json), "{json}");
    }
    let mut without = serde_json::to_value(Line::Sample(daemon(500))).unwrap();
    without.as_object_mut().unwrap().remove("pid");
    assert!(!schema.is_valid(&without), "{without}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(line in lines()) {
        let text = serde_json::to_string(&line).unwrap();
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
