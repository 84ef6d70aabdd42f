//! The schemas below `schema/`, made from the types, and the check that they are up to date.
//!
//! `WATERTIGHT_SCHEMA=write cargo test -p watertight-report -p watertight schema` writes them anew.

use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};

use crate::baseline::{Baseline, Entry};
use crate::model::Record;
use crate::render::json::Document;
use crate::watch::Line;

/// The acceptance file, `.config/watertight-accepted.toml`.
#[derive(JsonSchema)]
#[schemars(title = "watertight-accepted.toml", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is made")]
struct AcceptanceFile {
    /// Leaks that are accepted for a while.
    #[schemars(default)]
    accepted: Vec<Entry>,
}

/// A number of things or bytes, or a size with its unit.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is made")]
pub(crate) enum Amount {
    /// Things or bytes.
    Number(u64),
    /// Bytes.
    Size(#[schemars(regex(pattern = r"^[0-9]+ *(B|[KMG]iB|kB|MB|GB)$"))] String),
}

/// Compares a schema with its file, or writes it there where that is asked for.
#[track_caller]
fn assert_up_to_date(name: &str, schema: &Schema) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    let mut made = serde_json::to_string_pretty(schema).expect("a schema is JSON");
    made.push('\n');
    if std::env::var_os("WATERTIGHT_SCHEMA").is_some_and(|asked| asked == "write") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for schemas");
        std::fs::write(&path, &made).expect("the schema can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{} is not what the types say; write it anew with\n  WATERTIGHT_SCHEMA=write cargo test -p watertight-report schema",
        path.display()
    );
}

#[test]
fn the_ledger() {
    assert_up_to_date("record.schema.json", &schema_for!(Record));
}

#[test]
fn the_report() {
    assert_up_to_date("report.schema.json", &schema_for!(Document));
}

#[test]
fn the_lines_of_a_watch() {
    assert_up_to_date("watch.schema.json", &schema_for!(Line));
}

#[test]
fn the_acceptance_file() {
    assert_up_to_date("accepted.schema.json", &schema_for!(AcceptanceFile));
}

/// The keys of an object in a schema.
fn keys(schema: &Schema) -> Vec<&str> {
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_acceptance_file_is_read_as_its_schema_says() {
    let text = "[[accepted]]\ncase = 'a'\nresource = 'fd'\nsite = 'a.rs'\nmax = 1\nreason = 'b'\n\
                expires = '2027-01-01'\nzzz = 1\n";
    let (_, unknown) = Baseline::parse(Path::new("a.toml"), text).expect("it can be read");
    let mut known = unknown[0].known.clone();
    known.sort_unstable();
    assert_eq!(known, keys(&schema_for!(Entry)));
}
