//! A target runner of the user's own runs as before, with ours around it.

use watertight_report::model::{Resource, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::{Project, Said};
use watertight_suites::ledger::{leaks, marked};

const TESTS: &str = r#"
#[test]
fn is_chained() {
    assert_eq!(std::env::var("CHAINED").as_deref(), Ok("1"));
}

#[test]
fn leaks_in_the_chain() {
    assert_eq!(std::env::var("CHAINED").as_deref(), Ok("1"));
    std::mem::forget(std::fs::File::open("/dev/null").unwrap()); // leaks here
}
"#;

const CONFIG: &str = "[target.'cfg(unix)']\nrunner = [\"env\", \"CHAINED=1\"]\n";

fn assert_chained(said: &Said) {
    assert_eq!(said.code, Some(101), "{said}");
    assert_eq!(said.trial("is_chained").verdict, Verdict::Clean, "{said}");
    let trial = said.trial("leaks_in_the_chain");
    assert_eq!(trial.outcome, watertight_report::model::Outcome::Passed, "{said}");
    let found = leaks(&trial);
    assert_eq!(found.len(), 1, "{trial:#?}");
    assert_eq!((found[0].resource, found[0].what.as_str()), (Resource::Fd, "/dev/null"));
    let site = found[0].site.as_ref().map(|site| (site.file.as_str(), site.line));
    assert_eq!(site, Some(("src/lib.rs", marked(TESTS, "leaks here"))), "{trial:#?}");
}

#[test]
fn a_runner_of_the_configuration_still_runs() -> Ending {
    let files = [("src/lib.rs", TESTS), (".cargo/config.toml", CONFIG)];
    let project = Project::written(crate::tmp(), "chained-by-file", &files)?;
    assert_eq!(project.cargo(["test", "--lib"]).end()?.code, Some(0), "the runner runs");
    assert_chained(&project.watertight(["test", "--lib"]).end()?);
    Ok(())
}

#[test]
fn a_runner_of_the_environment_still_runs() -> Ending {
    let project = Project::written(crate::tmp(), "chained-by-variable", &[("src/lib.rs", TESTS)])?;
    let host = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace(['-', '.'], "_"));
    let plain = project.cargo(["test", "--lib"]).env(&host, "env CHAINED=1").end()?;
    assert_eq!(plain.code, Some(0), "the runner runs: {plain}");
    let said = project.watertight(["test", "--lib"]).env(&host, "env CHAINED=1").end()?;
    assert_chained(&said);
    Ok(())
}

/// The triple of this machine, as rustc says it.
fn host() -> anyhow::Result<String> {
    let output = std::process::Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("rustc names no host: {text}"))
}

#[test]
fn a_runner_on_the_command_line_is_refused_with_what_to_do() -> Ending {
    let project = crate::library("refused-runner", "#[test]\nfn passes() {}\n");
    let words = ["test", "--config", "target.'cfg(unix)'.runner='env'"];
    let said = project.watertight(words).end()?;
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.err.contains(".cargo/config.toml"), "{said}");
    Ok(())
}
