//! A suite: cases, fixtures, and the `main` that runs them.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use watertight_report::model::{Cleanup, CleanupStatus, Record, Resource};

use crate::case::{Case, Net};
use crate::child::{self, Role};
use crate::config::{Config, Settings};
use crate::context::Context;
use crate::failed::Failed;
use crate::run::Subjects;
use crate::session::Session;
use crate::table::CASE_NAME_MAX;
use crate::trial::{Tried, try_case};
use crate::{canary, shared};

type Fixture = Box<dyn FnOnce() -> Result<(), Failed>>;

/// The cases of one test binary and what surrounds them.
///
/// ```no_run
/// use watertight::{Case, Suite};
/// fn main() -> std::process::ExitCode {
///     Suite::new("corpus")
///         .case(Case::new("opens_and_closes", |_cx| {
///             std::fs::File::open("/dev/null")?;
///             Ok(())
///         }))
///         .main()
/// }
/// ```
#[must_use = "a suite runs only in `main`"]
pub struct Suite {
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
    /// What holds for cases that do not say it themselves.
    pub(crate) declared: Settings,
    shared_passes: Option<u32>,
    setups: Vec<(String, Fixture)>,
    teardowns: Vec<(String, Fixture)>,
}

/// How trials are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A process for each.
    Trial,
    /// One process for all, in several passes.
    Shared { passes: u32 },
    /// In this process, unmeasured.
    Off,
}

impl Suite {
    /// A suite without cases. Its name stands in the ledger; give it the test target's name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cases: Vec::new(),
            declared: Settings::default(),
            shared_passes: None,
            setups: Vec::new(),
            teardowns: Vec::new(),
        }
    }

    /// Adds a case.
    pub fn case(mut self, case: Case) -> Self {
        self.cases.push(case);
        self
    }

    /// Adds cases.
    pub fn cases(mut self, cases: impl IntoIterator<Item = Case>) -> Self {
        self.cases.extend(cases);
        self
    }

    /// Where the sockets of cases live that do not say it themselves.
    pub fn net(mut self, net: Net) -> Self {
        self.declared.net = Some(net);
        self
    }

    /// At most this many rounds, for cases that do not say it themselves.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.declared.rounds = Some(rounds.max(1));
        self
    }

    /// Time for one trial, of cases that do not say it themselves.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.declared.deadline = Some(deadline);
        self
    }

    /// Growth of `resource` that one round may leave, of cases that do not say it themselves: things, or
    /// bytes for [`Resource::Heap`].
    pub fn allow(mut self, resource: Resource, growth: u64) -> Self {
        self.declared.allow.0.insert(resource, growth);
        self
    }

    /// Ceiling on the peak resident memory of each trial's process, in bytes, for cases that do not say it
    /// themselves.
    pub fn rss_max(mut self, bytes: u64) -> Self {
        self.declared.rss_max = Some(bytes);
        self
    }

    /// Runs all cases serially in one process, the whole list this many times: what a registry gathers
    /// over a suite shows only here. `WATERTIGHT_MODE=shared` asks for the same with 4 passes.
    pub fn shared(mut self, passes: u32) -> Self {
        self.shared_passes = Some(passes.max(shared::PASSES_MIN));
        self
    }

    /// Runs before the first trial, in the supervisor. Where it fails no trial runs.
    pub fn setup(
        mut self,
        name: impl Into<String>,
        run: impl FnOnce() -> Result<(), Failed> + 'static,
    ) -> Self {
        self.setups.push((name.into(), Box::new(run)));
        self
    }

    /// Runs after the last trial, in the supervisor, last declared first; also after failures.
    pub fn teardown(
        mut self,
        name: impl Into<String>,
        run: impl FnOnce() -> Result<(), Failed> + 'static,
    ) -> Self {
        self.teardowns.push((name.into(), Box::new(run)));
        self
    }

    /// Runs the suite as the command line says: libtest's options, and nextest's protocol.
    pub fn main(mut self) -> ExitCode {
        match child::enter() {
            Role::Trial(control) => return self.run_child(control),
            Role::Lost => {
                eprintln!(
                    "watertight: this process was started for a trial and cannot reach its table"
                );
                return ExitCode::FAILURE;
            }
            Role::Rehearsed(code) => return code,
            Role::Program => {}
        }
        let arguments = Arguments::from_args();
        self.cases.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = self.cases.windows(2).find(|pair| pair[0].name == pair[1].name) {
            eprintln!("watertight: two cases are named `{}`; rename one", twice[0].name);
            return ExitCode::FAILURE;
        }
        if let Some(long) = self.cases.iter().find(|case| case.name.len() > CASE_NAME_MAX) {
            eprintln!(
                "watertight: the name of a case has {} bytes and may have {CASE_NAME_MAX}: `{}`; give it a shorter one",
                long.name.len(),
                long.name
            );
            return ExitCode::FAILURE;
        }
        match self.mode() {
            Ok(_) if arguments.list => self.list(&arguments),
            Ok(Mode::Off) => self.run_off(&arguments),
            Ok(Mode::Trial) => self.run_measured(&arguments, None),
            Ok(Mode::Shared { passes }) => self.run_measured(&arguments, Some(passes)),
            Err(message) => {
                eprintln!("watertight: {message}");
                ExitCode::FAILURE
            }
        }
    }

    fn mode(&self) -> Result<Mode, String> {
        let asked = std::env::var("WATERTIGHT_MODE").unwrap_or_default();
        let shared =
            |passes: Option<u32>| Mode::Shared { passes: passes.unwrap_or(shared::PASSES) };
        Ok(match asked.as_str() {
            _ if is_traced() => Mode::Off,
            "" if self.shared_passes.is_some() => shared(self.shared_passes),
            "" | "trial" => Mode::Trial,
            "shared" => shared(self.shared_passes),
            "off" => Mode::Off,
            other => {
                return Err(format!(
                    "WATERTIGHT_MODE={other} is unknown; use trial, shared or off"
                ));
            }
        })
    }

    /// Inside a trial's main process.
    fn run_child(mut self, control: &'static crate::table::Control) -> ExitCode {
        self.cases.sort_by(|a, b| a.name.cmp(&b.name));
        let index = control.case.load(Acquire);
        if let Some(canary) = canary::of(index) {
            return child::run(&canary, control);
        }
        if index == shared::CASES {
            return child::run_shared(&self.cases, control);
        }
        // The name decides: a list that is made anew in every process may come in another order.
        let name = crate::region::read_text(&control.case_name);
        match self.cases.iter().find(|case| case.name == name) {
            Some(case) => child::run(case, control),
            None => {
                eprintln!(
                    "watertight: the case `{name}` is not declared in its own process; a suite's cases must not depend on the environment"
                );
                ExitCode::FAILURE
            }
        }
    }

    fn list(self, arguments: &Arguments) -> ExitCode {
        let trials = self
            .cases
            .into_iter()
            .map(|case| Trial::test(case.name, || Ok(())).with_ignored_flag(case.ignored));
        libtest_mimic::run(arguments, trials.collect()).exit_code()
    }

    /// For debuggers: every body in this process, one after the other or in libtest's threads.
    fn run_off(self, arguments: &Arguments) -> ExitCode {
        let mut notes = Vec::new();
        let mut fixtures_failed = run_fixtures(self.setups, &mut notes);
        let trials = self.cases.into_iter().map(|case| {
            let ignored = case.ignored;
            Trial::test(case.name.clone(), move || {
                run_in_process(&case).map_err(|failed| failed.message().into())
            })
            .with_ignored_flag(ignored)
        });
        let conclusion = libtest_mimic::run(arguments, trials.collect());
        fixtures_failed |= run_fixtures(self.teardowns.into_iter().rev(), &mut notes);
        if fixtures_failed { ExitCode::FAILURE } else { conclusion.exit_code() }
    }

    fn run_measured(mut self, arguments: &Arguments, passes: Option<u32>) -> ExitCode {
        let opened = Config::load().map_err(|error| error.to_string()).and_then(|config| {
            config.apply(&self.name, &self.declared, &mut self.cases);
            let subjects = Subjects::own(&self.name);
            Session::open(subjects, config, arguments.nocapture, target())
        });
        let session = match opened {
            Ok(session) => Arc::new(session),
            Err(message) => {
                eprintln!("watertight: {message}");
                return ExitCode::FAILURE;
            }
        };
        let run = &session.run;
        let mut notes = Vec::new();
        let mut fixtures_failed = run_fixtures(self.setups, &mut notes);
        let declared: Vec<(String, String)> =
            self.cases.iter().map(|case| (self.name.clone(), case.name.clone())).collect();
        let conclusion = if fixtures_failed {
            eprintln!("watertight: no test ran, because a set-up failed");
            None
        } else {
            let cases: Arc<Vec<Case>> = Arc::new(self.cases);
            let shared = passes.map(|passes| {
                let selected = shared::selected(arguments, &cases);
                Arc::new(shared::SharedRun::new(passes, selected))
            });
            let trials = (0..cases.len()).map(|index| {
                let (session, cases, shared) =
                    (Arc::clone(&session), Arc::clone(&cases), shared.clone());
                let ignored = cases[index].ignored;
                Trial::test(cases[index].name.clone(), move || {
                    let (run, case) = (&session.run, &cases[index]);
                    let tried = match &shared {
                        _ if run.cancelled.load(Acquire) => Tried::cancelled(run, case),
                        Some(shared) => shared.result(run, &cases, index),
                        None => try_case(run, case),
                    };
                    session.report(case, &tried).map_err(Into::into)
                })
                .with_ignored_flag(ignored)
            });
            Some(libtest_mimic::run(arguments, trials.collect()))
        };
        fixtures_failed |= run_fixtures(self.teardowns.into_iter().rev(), &mut notes);
        if !notes.is_empty() {
            let record = Record::Trial(Box::new(crate::trial::fixtures(run, &notes)));
            if let Err(error) = run.ledger.append(&record) {
                eprintln!("watertight: the ledger cannot be written: {error}");
                fixtures_failed = true;
            }
        }
        session.summarise(&declared);
        // The pool's threads have let go of it.
        let cancelled = Arc::into_inner(session).and_then(Session::close);
        match (conclusion, cancelled) {
            (_, Some(code)) => code,
            (Some(conclusion), None) if !fixtures_failed => conclusion.exit_code(),
            _ => ExitCode::from(101),
        }
    }
}

/// The name of this test target: cargo names its binary `<target>-<16 hex digits>`.
fn target() -> Option<String> {
    const HASH: usize = 16;
    let binary = std::env::current_exe().ok()?;
    let (target, hash) = binary.file_name()?.to_str()?.rsplit_once('-')?;
    let is_hash = hash.len() == HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| target.to_owned())
}

/// Runs fixtures in order, notes what became of each; true where one failed.
fn run_fixtures(
    fixtures: impl IntoIterator<Item = (String, Fixture)>,
    notes: &mut Vec<Cleanup>,
) -> bool {
    let mut failed = false;
    for (name, run) in fixtures {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
            .unwrap_or_else(|payload| Err(Failed::new(child::panic_message(&*payload))));
        let (status, error) = match result {
            Ok(()) => (CleanupStatus::Ran, None),
            Err(error) => (CleanupStatus::Failed, Some(error.message().to_owned())),
        };
        if let Some(error) = &error {
            eprintln!("watertight: the fixture `{name}` failed: {error}");
            failed = true;
        }
        notes.push(Cleanup::new(name, status, error));
    }
    failed
}

/// One body in this process.
fn run_in_process(case: &Case) -> Result<(), Failed> {
    use crate::case::Body;
    let context = Context::new(&case.name, None);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match &case.body {
        Body::Sync(body) => body(&context),
        #[cfg(feature = "tokio")]
        Body::Async { body, workers } => {
            let runtime = crate::runtime::Runtime::new(*workers)?;
            let ending = runtime.block_on(body(&context));
            runtime.close();
            ending
        }
    }));
    let cleaned = context.run_cleanups();
    child::judge_panic(case, result).and(cleaned)
}

/// Whether a debugger holds this process: then nothing may be started behind its back.
fn is_traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}
