//! A project in a temporary directory, its ledgers, and the command run in it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use tempfile::TempDir;
use watertight_report::ledger::Ledger;
use watertight_report::model::{
    Canary, Finding, Frame, Outcome, Record, Resource, Run, SCHEMA, Shard, Trial, Verdict,
};

/// Where the acceptance file is looked for.
pub(crate) const ACCEPTED: &str = ".config/watertight-accepted.toml";

/// Where a run leaves its ledger.
pub(crate) const LATEST: &str = "target/watertight/latest";

/// What the command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) struct Project(TempDir);

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("Cargo.lock", "");
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Appends records to a ledger.
    pub(crate) fn ledger(&self, name: &str, records: impl IntoIterator<Item = Record>) {
        let ledger = Ledger::open(self.path(name)).unwrap();
        records.into_iter().for_each(|record| ledger.append(&record).unwrap());
    }

    /// A project whose last run left these trials behind its run record.
    pub(crate) fn after(trials: impl IntoIterator<Item = Trial>) -> Self {
        let project = Self::new();
        project.ledger(LATEST, [Record::Run(run("r", None))]);
        project.ledger(LATEST, trials.into_iter().map(of_run("r")));
        project
    }

    pub(crate) fn records(&self, name: &str) -> Vec<Record> {
        watertight_report::ledger::read(self.path(name)).unwrap().map(Result::unwrap).collect()
    }

    /// `cargo watertight ARGUMENTS`, as cargo starts it, in the project's directory.
    pub(crate) fn watertight(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-watertight"));
        command.arg("watertight").args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("WATERTIGHT_") || name.starts_with("CARGO_") {
                command.env_remove(name);
            }
        }
        let ended = command.env("NO_COLOR", "1").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = ended.status.code().unwrap();
        Said { code, out: text(ended.stdout), err: text(ended.stderr) }
    }
}

/// A run whose probes could see.
pub(crate) fn run(id: &str, shard: Option<(u32, u32)>) -> Run {
    let mut run = Run::default();
    (run.schema, run.run) = (SCHEMA, id.to_owned());
    run.tool_version = "0.1.0".to_owned();
    run.profile = "ci".to_owned();
    run.canaries = vec![Canary::seen(Resource::Fd), Canary::seen(Resource::Heap)];
    run.shard = shard.and_then(|(index, count)| Shard::new(index, count));
    run
}

/// A trial that left nothing.
pub(crate) fn clean(case: &str) -> Trial {
    let mut trial = Trial::default();
    (trial.schema, trial.suite, trial.case) = (SCHEMA, "app".to_owned(), case.to_owned());
    trial.rounds = 2;
    trial
}

/// A trial that left so many descriptors a round, opened in `src/store.rs`.
pub(crate) fn leaky(case: &str, fds: i64) -> Trial {
    let mut finding = Finding::leak(Resource::Fd, "/tmp/app.db", fds * 2);
    finding.per_round = fds;
    finding.site = Some(Frame::new("src/store.rs", 31, "app::store::open"));
    let mut trial = clean(case);
    trial.verdict = Verdict::Leaked;
    trial.findings.push(finding);
    trial
}

/// A trial that left something that nobody knows the line of.
pub(crate) fn siteless(case: &str) -> Trial {
    let mut trial = leaky(case, 1);
    trial.findings[0].site = None;
    trial.findings[0].note = Some("it was made by a raw system call".to_owned());
    trial
}

pub(crate) fn ended(mut trial: Trial, outcome: Outcome, attempt: u32) -> Trial {
    (trial.outcome, trial.attempt) = (outcome, attempt);
    trial
}

/// Makes records of the run `id` of trials.
pub(crate) fn of_run(id: &str) -> impl Fn(Trial) -> Record {
    move |mut trial| {
        trial.run = id.to_owned();
        Record::Trial(Box::new(trial))
    }
}

/// So many days from today, in UTC.
pub(crate) fn day(offset: i64) -> Date {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_add(offset.days()).unwrap()
}

/// An entry of the acceptance file for what [`leaky`] leaves.
pub(crate) fn entry(case: &str, max: u64, expires: Date) -> String {
    format!(
        "[[accepted]]\ncase = \"{case}\"\nresource = \"fd\"\nsite = \"src/store.rs\"\nmax = {max}\nreason = \"r\"\nexpires = \"{expires}\"\n"
    )
}
