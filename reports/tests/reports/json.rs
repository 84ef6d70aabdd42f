//! The JSON document is what its committed schema says.

use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use watertight_report::render::json::Json;

use crate::any_record::record;
use crate::ledgers::everything;
use crate::text;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../schema/report.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

/// The first thing in which a document is not what the schema says.
fn complaint(document: &Value) -> Option<String> {
    SCHEMA.iter_errors(document).next().map(|error| format!("{error} at {}", error.instance_path()))
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let mut document: Value =
        serde_json::from_str(&text!(&everything(), |out| Json::new(out, false))).unwrap();
    assert_eq!(complaint(&document), None);
    document["groups"][0]["kind"] = "imagined".into();
    assert!(complaint(&document).is_some_and(|said| said.contains("imagined")));
    document["groups"] = Value::Null;
    assert!(complaint(&document).is_some());
}

#[test]
fn every_finding_of_every_attempt_is_there() {
    let document: Value =
        serde_json::from_str(&text!(&everything(), |out| Json::new(out, false))).unwrap();
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 44);
    assert!(findings.iter().any(|found| found["case"] == "flaky" && found["attempt"] == 1));
    assert_eq!(document["summary"]["cases"], 56);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_report_is_as_the_schema_says(records in vec(record(), 0..5), all in any::<bool>()) {
        let document = text!(&records, |out| Json::new(out, all));
        let document: Value = serde_json::from_str(&document).unwrap();
        prop_assert_eq!(complaint(&document), None);
    }
}
