//! What is to be said of the project in the current directory, and of the tools: who is there, and
//! whether a finding can name a line.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use toml::de::{DeTable, DeValue};

use super::remark::Remark;

/// All of it.
pub(super) fn remarks() -> Vec<Remark> {
    vec![cargo(), nextest(), lines(), flags(&given_flags())]
}

fn cargo() -> Remark {
    const SUBJECT: &str = "cargo";
    match said(&["--version"]) {
        Ok(version) => Remark::ok(SUBJECT, version),
        Err(reason) => Remark::blind(SUBJECT, format!("it cannot be started: {reason}"))
            .change("install it with rustup, or set PATH"),
    }
}

fn nextest() -> Remark {
    const SUBJECT: &str = "cargo-nextest";
    match said(&["nextest", "--version"]) {
        Ok(text) => Remark::ok(SUBJECT, text.lines().next().unwrap_or_default()),
        Err(_) => Remark::ok(
            SUBJECT,
            "not installed: `cargo watertight test` needs none, `cargo watertight nextest` does",
        ),
    }
}

/// What cargo prints, or why it did not.
fn said(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(crate::test::cargo())
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whether tests are built with what names a line.
fn lines() -> Remark {
    const SUBJECT: &str = "line tables";
    let manifest = match said(&["locate-project", "--workspace", "--message-format", "plain"]) {
        Ok(path) => PathBuf::from(path),
        Err(_) => return Remark::ok(SUBJECT, "there is no project here"),
    };
    let text = match fs::read_to_string(&manifest) {
        Ok(text) => text,
        Err(error) => return Remark::weaker(SUBJECT, format!("{}: {error}", manifest.display())),
    };
    // A manifest that is no TOML cargo itself will refuse, with a better message.
    let document = DeTable::parse(&text).ok();
    let variable = |name: &str| std::env::var(name).ok();
    match missing(document.as_ref().map(|document| document.get_ref()), variable) {
        None => Remark::ok(SUBJECT, "tests are built with them: a finding names its line"),
        Some(setting) => Remark::weaker(
            SUBJECT,
            format!("{setting}: a finding names its function only"),
        )
        .change(format!(
            "set debug = \"line-tables-only\" and strip = \"none\" under [profile.test] in {}",
            manifest.display()
        )),
    }
}

/// The setting that leaves line tables out of tests; none where they are in. The profile `test` has
/// what `dev` has unless it says otherwise, and a variable is stronger than the manifest.
fn missing(
    manifest: Option<&DeTable<'_>>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let setting = |key: &str| {
        ["test", "dev"].into_iter().find_map(|profile| {
            let name = format!("CARGO_PROFILE_{}_{}", profile, key).to_uppercase();
            if let Some(value) = variable(&name) {
                return Some((format!("{name}={value}"), value));
            }
            let profiles = manifest?.get("profile")?.get_ref().as_table()?;
            let value = profiles.get(profile)?.get_ref().as_table()?.get(key)?;
            let value = match value.get_ref() {
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                DeValue::String(text) => text.to_string(),
                _ => return None,
            };
            Some((format!("[profile.{profile}] {key} = {value}"), value))
        })
    };
    let is = |value: &str, without: &[&str]| without.contains(&value);
    let without_debug = setting("debug").filter(|(_, value)| is(value, &["false", "0", "none"]));
    let stripped =
        || setting("strip").filter(|(_, value)| is(value, &["true", "symbols", "debuginfo"]));
    without_debug.or_else(stripped).map(|(shown, _)| shown)
}

/// What rustc is given beside the profile.
fn given_flags() -> String {
    let names = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
    let values = names.into_iter().filter_map(|name| std::env::var(name).ok());
    values.collect::<Vec<_>>().join(" ")
}

/// Whether the flags make programs that cannot be preloaded.
fn flags(flags: &str) -> Remark {
    const SUBJECT: &str = "compiler flags";
    if flags.contains("sanitizer=") {
        let finding = "a sanitizer is asked for, which must be the first that is preloaded";
        return Remark::blind(SUBJECT, finding).change("test without it, in a job of its own");
    }
    if flags.contains("+crt-static") || flags.contains("-musl") && !flags.contains("-crt-static") {
        let finding = "programs are linked statically, and nothing can be preloaded into them";
        return Remark::blind(SUBJECT, finding).change("test for a target with glibc");
    }
    Remark::ok(SUBJECT, "tests can be preloaded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::remark::Level;

    fn missing_in(text: &str) -> Option<String> {
        missing(Some(DeTable::parse(text).unwrap().get_ref()), |_| None)
    }

    #[test]
    fn tests_have_line_tables_unless_a_profile_says_no() {
        assert_eq!(missing(None, |_| None), None);
        assert_eq!(missing_in("[package]\nname = \"x\"\n"), None);
        assert_eq!(missing_in("[profile.dev]\ndebug = \"line-tables-only\"\n"), None);
        assert_eq!(missing_in("[profile.release]\ndebug = 0\nstrip = true\n"), None);
        let debug = missing_in("[profile.dev]\ndebug = 0\n");
        assert_eq!(debug.as_deref(), Some("[profile.dev] debug = 0"));
        let strip = missing_in("[profile.test]\nstrip = \"symbols\"\n");
        assert_eq!(strip.as_deref(), Some("[profile.test] strip = symbols"));
    }

    #[test]
    fn the_profile_of_tests_is_stronger_than_that_of_development() {
        assert_eq!(missing_in("[profile.dev]\ndebug = false\n[profile.test]\ndebug = 1\n"), None);
    }

    #[test]
    fn a_variable_is_stronger_than_the_manifest() {
        let variable = |name: &str| (name == "CARGO_PROFILE_TEST_DEBUG").then(|| "0".to_owned());
        let without = missing(None, variable);
        assert_eq!(without.as_deref(), Some("CARGO_PROFILE_TEST_DEBUG=0"));
        let manifest = DeTable::parse("[profile.test]\ndebug = 0\n").unwrap();
        let full = |name: &str| (name == "CARGO_PROFILE_TEST_DEBUG").then(|| "full".to_owned());
        assert_eq!(missing(Some(manifest.get_ref()), full), None);
    }

    #[test]
    fn flags_that_forbid_preloading_are_blind() {
        let level = |text: &str| flags(text).level;
        assert_eq!(level("-Zsanitizer=address"), Level::Blind);
        assert_eq!(level("-C target-feature=+crt-static"), Level::Blind);
        assert_eq!(level("x86_64-unknown-linux-musl"), Level::Blind);
        assert_eq!(level("x86_64-unknown-linux-musl -Ctarget-feature=-crt-static"), Level::Ok);
        assert_eq!(level("-C target-cpu=native"), Level::Ok);
    }
}
