//! Who could not look has not seen that nothing is there.

use watertight_report::model::{Outcome, Resource, Verdict};
use watertight_suites::Ending;

#[test]
fn without_the_agent_nothing_is_green() -> Ending {
    let project = crate::library("blind", "#[test]\nfn passes() {}\n");
    for (profile, code) in [("ci", 101), ("default", 0)] {
        let said = project
            .watertight(["test", "--lib"])
            .env("WATERTIGHT_BLIND", "agent")
            .env("WATERTIGHT_PROFILE", profile)
            .end()?;
        assert_eq!(said.code, Some(code), "{profile}: {said}");
        let trial = said.trial("passes");
        assert_eq!((trial.outcome, trial.verdict), (Outcome::Passed, Verdict::Unmeasured));
        assert!(!trial.unmeasured.is_empty(), "{trial:?}");
        let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
        assert_eq!(gate.code, Some(1), "{profile}: {gate}");
        assert!(gate.out.contains("WATERTIGHT_BLIND"), "it says why: {gate}");
    }
    let sees = project.watertight(["test", "--lib"]).env("WATERTIGHT_PROFILE", "ci").end()?;
    assert_eq!(sees.code, Some(0), "{sees}");
    let gate = project.watertight(["gate"]).ledger(&sees.ledger).end()?;
    assert_eq!(gate.code, Some(0), "{gate}");
    Ok(())
}

/// A run that tests nothing has proven nothing.
#[test]
fn a_run_without_tests_is_no_proof() -> Ending {
    let project = crate::library("empty", "/// Nothing.\npub fn nothing() {}\n");
    let said = project.watertight(["test", "--lib"]).end()?;
    assert_eq!(said.code, Some(0), "cargo is content: {said}");
    assert!(said.err.contains("no test was audited"), "{said}");
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    Ok(())
}

const LEAKS: &str = "
#[test]
fn leaks() {
    std::mem::forget(std::fs::File::open(\"/dev/null\").unwrap());
}
";

/// No agent can be preloaded into it, and it must not pass for clean.
#[test]
fn a_static_program_is_unmeasured() -> Ending {
    let project = crate::library("blind-static", LEAKS);
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = ["test", "--lib", "--target", target.as_str()];
    let is_static = ("RUSTFLAGS", "-C target-feature=+crt-static");
    let plain = project.cargo(arguments).env(is_static.0, is_static.1).end()?;
    if plain.code != Some(0) {
        println!("skipped: the C library cannot be linked statically here\n{plain}");
        return Ok(());
    }
    let call = project.watertight(arguments).env(is_static.0, is_static.1);
    let said = call.env("WATERTIGHT_PROFILE", "ci").end()?;
    assert_eq!(said.code, Some(101), "{said}");
    let trial = said.trial("leaks");
    assert_eq!((trial.outcome, trial.verdict), (Outcome::Passed, Verdict::Unmeasured), "{said}");
    assert!(trial.unmeasured.iter().any(|it| it.probe == Resource::Fd), "{trial:#?}");
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    Ok(())
}

/// Its entry has no name any more, and it is one of libtest's all the same.
#[test]
fn a_program_that_was_optimised_as_a_whole_is_audited() -> Ending {
    let project = crate::library("blind-lto", LEAKS);
    let call = project.watertight(["test", "--lib"]);
    let call = call.env("CARGO_PROFILE_TEST_OPT_LEVEL", "3").env("CARGO_PROFILE_TEST_LTO", "fat");
    let said = call.end()?;
    assert_eq!(said.trial("leaks").verdict, Verdict::Leaked, "{said}");
    Ok(())
}

/// The function is told where the line is not known.
#[test]
fn without_line_tables_the_function_is_the_site() -> Ending {
    let project = crate::library("blind-lines", LEAKS);
    let said = project.watertight(["test", "--lib"]).env("CARGO_PROFILE_TEST_DEBUG", "0").end()?;
    let trial = said.trial("leaks");
    let site = trial.findings.iter().find_map(|finding| finding.site.as_ref());
    assert_eq!(
        site.map(|site| (site.line, site.function.as_str())),
        Some((0, "blind_lines::leaks"))
    );
    assert!(said.out.contains("line-tables-only"), "{said}");
    Ok(())
}
