//! The schema of `watertight.toml`, made from the types, and the check that it is up to date and that the
//! file is read as it says.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};

use super::allow::NAMES;
use super::profile::{self, Profile};

/// The configuration of Watertight, `.config/watertight.toml`.
#[derive(JsonSchema)]
#[schemars(title = "watertight.toml", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is made")]
struct File {
    /// Profiles by name. `WATERTIGHT_PROFILE` chooses one; all inherit from `default`; `ci` is strict.
    #[schemars(default)]
    profile: BTreeMap<String, Profile>,
}

/// A whole number and a unit.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is made")]
pub(super) struct Duration(#[schemars(regex(pattern = r"^[0-9]+ *(ms|s|m|h)$"))] String);

/// Things or bytes, or a size with its unit.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is made")]
pub(super) enum Amount {
    /// Things or bytes.
    Number(u64),
    /// Bytes.
    Size(#[schemars(regex(pattern = r"^[0-9]+ *(B|[KMG]iB|kB|MB|GB)$"))] String),
}

/// Where sockets live.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is made")]
pub(super) enum Net {
    /// In a network namespace of the trial's own, where the kernel allows it.
    Private,
    /// In the machine's network.
    Host,
}

/// Growth by resource.
pub(super) struct Allow;

impl JsonSchema for Allow {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Allow".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        let (things, amount) =
            (generator.subschema_for::<u64>(), generator.subschema_for::<Amount>());
        let of = |(name, resource): (&str, watertight_report::model::Resource)| {
            let schema = if resource.is_bytes() { &amount } else { &things };
            (name.to_owned(), serde_json::Value::from(schema.clone()))
        };
        let properties: serde_json::Map<_, _> = NAMES.map(of).into_iter().collect();
        schemars::json_schema!({
            "type": "object", "properties": properties, "additionalProperties": false
        })
    }
}

#[test]
fn the_schema_is_up_to_date() {
    // It lies with the others, in the package that knows the record.
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/schema/watertight.schema.json");
    let made = serde_json::to_string_pretty(&schema_for!(File)).unwrap() + "\n";
    if std::env::var_os("WATERTIGHT_SCHEMA").is_some_and(|asked| asked == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == made,
        "{} is not what the types say; write it anew with\n  WATERTIGHT_SCHEMA=write cargo test -p watertight --lib schema",
        path.display()
    );
}

/// The keys of an object in a schema.
fn keys(schema: &serde_json::Value) -> Vec<&str> {
    schema["properties"].as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_file_is_read_as_its_schema_says() {
    let text = "zzz = 1\n[profile.a]\nzzz = 1\nallow.zzz = 1\n[[profile.a.overrides]]\ncase = '*'\nzzz = 1\n";
    let (_, unknown) = profile::parse(Path::new("a.toml"), text).unwrap();
    let schema = serde_json::Value::from(schema_for!(File));
    let of = |name: &str| &schema["$defs"][name];
    for (key, schema) in [
        ("zzz", &schema),
        ("profile.a.zzz", of("Profile")),
        ("profile.a.allow.zzz", of("Allow")),
        ("profile.a.overrides[0].zzz", of("Override")),
    ] {
        let found = unknown.iter().find(|unknown| unknown.key == key).expect("it is unknown");
        let mut known = found.known.clone();
        known.sort_unstable();
        assert_eq!(known, keys(schema), "at {key}");
        assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false), "at {key}");
    }
}
