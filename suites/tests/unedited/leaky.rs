//! The project `leaky`: each planted leak is named with its line, and nothing else is accused. Then what
//! becomes of it: `report`, `gate`, `accept`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use watertight_report::model::{Finding, Outcome, Resource, Trial, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::{Call, Project, Said};
use watertight_suites::ledger::{leaks, resources};
use watertight_suites::plain::{self, Planted, planted};

/// The number of one run of the project, by which what it has left on the machine is found and removed.
pub(crate) struct Number(u32);

impl Number {
    /// One that no other run has now.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Segments without a name are known by their size, a megabyte and this many bytes.
        Self(std::process::id() % 100_000 * 10 + NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn of(&self, call: Call) -> Call {
        call.env(plain::RUN, self.0.to_string())
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let swept = plain::sweep(self.0);
        assert!(swept.is_ok() || std::thread::panicking(), "{swept:?}");
    }
}

/// What a run of the whole project must have found: every planted leak at its line, and nothing else.
pub(crate) fn assert_found(trials: &[Trial], said: &Said) {
    let mut faults = Vec::new();
    for leak in planted() {
        let Some(trial) = trials.iter().find(|trial| trial.case == leak.test) else {
            faults.push(format!("{} has no record", leak.test));
            continue;
        };
        if trial.outcome != Outcome::Passed || trial.verdict != Verdict::Leaked {
            faults.push(format!("{}: {:?}, {:?}", leak.test, trial.outcome, trial.verdict));
        }
        if !leaks(trial).iter().any(|finding| is_told(&leak, finding)) {
            faults.push(format!("{leak:?}, line {}: {:#?}", leak.line(), trial.findings));
        }
        let twin = trials.iter().find(|trial| trial.case == leak.twin());
        if twin.is_none() {
            faults.push(format!("{} has no record", leak.twin()));
        }
    }
    let accused: BTreeSet<&str> = planted().iter().map(|leak| leak.test).collect();
    for trial in trials {
        let known: Vec<Planted> =
            planted().into_iter().filter(|leak| leak.test == trial.case).collect();
        for finding in leaks(trial) {
            if !known.iter().any(|leak| is_told(leak, finding)) {
                faults.push(format!("{} is accused of {finding:#?}", trial.case));
            }
        }
        let is_clean = trial.verdict == Verdict::Clean && trial.outcome == Outcome::Passed;
        if !accused.contains(trial.case.as_str()) && !is_clean {
            faults.push(format!("{}: {:?}, {:?}", trial.case, trial.outcome, trial.findings));
        }
        if !trial.unmeasured.is_empty() {
            faults.push(format!("{}: {:?}", trial.case, trial.unmeasured));
        }
    }
    assert!(faults.is_empty(), "{}\n{said}", faults.join("\n"));
}

/// Whether a finding is that leak: its resource, its name and its line.
fn is_told(leak: &Planted, finding: &Finding) -> bool {
    let site = finding.site.as_ref().map(|site| (site.file.as_str(), site.line));
    let is_named = finding.what.contains(leak.what)
        || finding.parts.iter().any(|part| part.what.contains(leak.what));
    site == Some((leak.file, leak.line()))
        && resources(finding).contains(&leak.resource)
        && is_named
}

#[test]
fn every_planted_leak_is_named_with_its_line_and_nothing_else() -> Ending {
    let number = Number::new();
    let said = number.of(crate::planted("leaky").watertight(["test", "--no-fail-fast"])).end()?;
    assert_eq!(said.code, Some(101), "{said}");
    let trials = said.trials();
    assert_found(&trials, &said);

    let names: BTreeSet<&str> = trials.iter().map(|trial| trial.case.as_str()).collect();
    assert_eq!(names.len(), trials.len(), "each test has one record");
    let special = ["outcomes::ends_with_ok", "outcomes::panics_as_it_should"];
    assert!(special.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(!names.contains("outcomes::is_ignored"), "it was ignored");
    assert_eq!(crate::outcomes::told(&said.out)["outcomes::is_ignored"], "ignored", "{said}");
    assert!(said.err.contains("Doc-tests leaky") && said.out.contains("(line 8) ... ok"), "{said}");

    let run = said.run();
    assert!(!run.canaries.is_empty() && run.canaries.iter().all(|it| it.seen), "{run:?}");
    let shown = format!("{}:{}", planted()[0].file, planted()[0].line());
    assert!(said.out.contains(&shown), "the block of a failure names the line: {said}");
    Ok(())
}

#[test]
fn a_ledger_is_reported_judged_and_accepted() -> Ending {
    let project = Project::copied(crate::tmp(), "leaky", "accepted")?;
    match fs::remove_dir_all(project.folder.join(".config")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let number = Number::new();
    let test = ["test", "--no-fail-fast"];
    let first = number.of(project.watertight(test)).end()?;
    assert_eq!(first.code, Some(101), "{first}");
    let of = |ledger: &Path, words: &[&str]| project.watertight(words).ledger(ledger).end();

    let leaking: BTreeSet<&str> = planted().iter().map(|leak| leak.test).collect();
    let (leaks, cases) = (planted().len(), leaking.len());
    let report = of(&first.ledger, &["report"])?;
    assert_eq!(report.code, Some(0), "{report}");
    let sum = format!("{leaks} leaks in {cases} of {} cases", first.trials().len());
    assert!(report.out.starts_with(&sum), "{report}");
    let report: serde_json::Value =
        serde_json::from_str(&of(&first.ledger, &["report", "--json"])?.out)?;
    for leak in planted() {
        let is_it = |told: &&serde_json::Value| {
            let (case, site) = (&told["case"], &told["finding"]["site"]);
            *case == leak.test && site["file"] == leak.file && site["line"] == leak.line()
        };
        let findings = report["findings"].as_array().into_iter().flatten();
        assert_eq!(findings.filter(is_it).count(), 1, "{leak:?}");
    }
    let gate = of(&first.ledger, &["gate"])?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains(&format!("{cases} cases leak")), "{gate}");

    let accept = ["accept", "--all", "--reason", "there before", "--expires", "2999-12-31"];
    let accepted = of(&first.ledger, &accept)?;
    assert_eq!(accepted.code, Some(0), "{accepted}");
    let file = project.folder.join(".config/watertight-accepted.toml");
    assert!(fs::read_to_string(file)?.contains("there before"));
    let gate = of(&first.ledger, &["gate"])?;
    let second = number.of(project.watertight(test)).end()?;
    assert_eq!(second.code, Some(0), "{second}");
    for trial in second.trials() {
        let expected = match leaking.contains(trial.case.as_str()) {
            true => Verdict::Tolerated,
            false => Verdict::Clean,
        };
        assert_eq!(trial.verdict, expected, "{}: {:#?}", trial.case, trial.findings);
    }
    let after = of(&second.ledger, &["gate"])?;
    assert_eq!(after.code, Some(0), "{after}");
    // The ledger of before is judged by today's file.
    assert_eq!(gate.code, Some(0), "{gate}");
    Ok(())
}

#[test]
fn a_failure_shows_what_leaks_and_the_next_command_finds_it_again() -> Ending {
    let project = crate::planted("leaky");
    let test = "descriptors::fd_memfd";
    let said = project.watertight(["test", "--lib", "--", "--exact", test]).end()?;
    assert_eq!(said.code, Some(101), "{said}");
    let next = said.out.lines().find_map(|line| line.trim().strip_prefix("this again"));
    let next = next.unwrap_or_else(|| panic!("the next command: {said}")).trim();
    let mut words = next.split(' ');
    assert_eq!(words.next(), Some("cargo"), "{next}");
    // Typed as it stands there: cargo finds the command in PATH.
    let folder = watertight_suites::command::binary(crate::tmp()).parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path)))?;
    let again = project.cargo(words).env("PATH", path).end()?;
    assert_eq!(again.code, Some(101), "{again}");
    let trial = again.trial(test);
    assert_eq!(resources(leaks(&trial)[0]), [Resource::Fd]);
    assert_eq!(again.trials().len(), 1);
    Ok(())
}
