//! The audit of test programs that have not a line for us: what `cargo watertight test` is made of.
//!
//! Cargo and nextest start every test binary through a *target runner*. The command names itself as that
//! runner, so it is started in place of each binary and starts the binary itself:
//!
//! ```text
//! cargo test ──► runner BINARY ARGUMENTS ──► BINARY --list          what there is (libtest alone is asked)
//!                                       └──► BINARY --exact CASE    each case in a process of its own: a trial
//! nextest ─────► runner BINARY --exact CASE --nocapture             one trial
//! ```
//!
//! What is no libtest binary (doctests, benches, `harness = false`) is replaced by: it runs as if nobody
//! had come between. A test is run once: what it leaves is decided as `judge` says of what cannot be
//! repeated.

mod arguments;
mod listing;
mod naming;
mod printed;
mod program;
mod wrapping;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use libtest_mimic::{Arguments as Mimic, Trial};

use crate::canary;
use crate::case::{Case, Net};
use crate::child::{self, Role};
use crate::config::{Config, Settings};
use crate::failed::Failed;
use crate::run::Subjects;
use crate::session::Session;
use crate::slots::Slots;
use crate::trial::{Tried, try_case};

use arguments::Arguments;
pub(crate) use printed::{own_output, panic_message, reason, verdict_of_libtest};
pub(crate) use program::Program;
pub use wrapping::Wrapping;

/// What libtest exits with where a test has failed, and where it does not take its arguments: cargo passes
/// on whatever it is.
const TESTS_FAILED: u8 = 101;

/// What this process must do instead of its own work; the first thing in `main`. Trials of the library's
/// own (canaries) are processes of the same binary.
pub fn enter() -> Option<ExitCode> {
    match child::enter() {
        Role::Trial(control) => Some(child::run(&canary::case(), control)),
        Role::Lost => {
            eprintln!(
                "watertight: this process was started for a trial and cannot reach its table"
            );
            Some(ExitCode::FAILURE)
        }
        Role::Rehearsed(code) => Some(code),
        Role::Program => program::enter_network(),
    }
}

/// Runs a test binary in the place of cargo or nextest: audits its tests where it is one of libtest's,
/// else becomes it. Gives the exit code that the binary itself would give, or 101 where a test leaked.
pub fn run(binary: &Path, arguments: &[OsString]) -> ExitCode {
    let wrapping = Wrapping::from_env();
    let binary = std::path::absolute(binary).unwrap_or_else(|_| binary.to_owned());
    let program = Program::new(binary, &wrapping);
    let arguments = match Arguments::parse(arguments) {
        Ok(parsed) if program.is_audited() && !parsed.passes_through => parsed,
        // Whatever is wrong with them, libtest itself says best.
        _ => return program.become_it(arguments),
    };
    match audit(program, &wrapping, &arguments) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("watertight: {message}");
            ExitCode::from(TESTS_FAILED)
        }
    }
}

fn audit(program: Program, wrapping: &Wrapping, arguments: &Arguments) -> Result<ExitCode, String> {
    let one = arguments.one_for_nextest();
    let tests = match one {
        Some(name) => vec![listing::Test { name: name.to_owned(), ignored: false }],
        None => listing::list(&program, arguments)?,
    };
    let mut cases: Vec<Case> = tests.iter().map(|test| case(test, wrapping)).collect();
    let suite = naming::suite(&program.path, wrapping);
    let config = Config::load().map_err(|error| error.to_string())?;
    config.apply(&suite.name, &Settings::default(), &mut cases);
    for case in &mut cases {
        case.net.get_or_insert(Net::Host);
    }
    let subjects = Subjects {
        suite: suite.name,
        program: program.path.clone(),
        command: Some(suite.command),
        unedited: Some((program.with_arguments(arguments), Slots::new(arguments.threads()))),
    };
    let session = Arc::new(Session::open(subjects, config, arguments.streams(), None)?);
    let code = match (one, cases.pop()) {
        (Some(_), Some(case)) => run_one(&session, &case),
        (_, last) => {
            cases.extend(last);
            run_all(&session, cases, arguments)
        }
    };
    // The pool's threads have let go of it.
    let cancelled = Arc::into_inner(session).and_then(Session::close);
    Ok(cancelled.unwrap_or(code))
}

/// A test as a case: its body is in the binary.
fn case(test: &listing::Test, wrapping: &Wrapping) -> Case {
    let mut case = Case::new(&test.name, |_| Err(Failed::new("its body is in another program")));
    case.ignored = test.ignored;
    case.net = wrapping.private_net.then_some(Net::Private);
    case.rounds(1)
}

/// For nextest: what the test prints goes straight on, and the code says the rest.
fn run_one(session: &Session, case: &Case) -> ExitCode {
    let tried = try_case(&session.run, case);
    match session.report(case, &tried) {
        Ok(()) => ExitCode::SUCCESS,
        Err(block) => {
            if tried.record.verdict != watertight_report::model::Verdict::Clean {
                eprintln!("\n{block}");
            }
            ExitCode::from(TESTS_FAILED)
        }
    }
}

/// In libtest's manner: a line for each test, failures at the end.
fn run_all(session: &Arc<Session>, cases: Vec<Case>, arguments: &Arguments) -> ExitCode {
    let mimic: Mimic = arguments.mimic(cases.iter().map(|case| case.name.as_str()));
    let show_output = arguments.show_output;
    let trials = cases.into_iter().map(|case| {
        let session = Arc::clone(session);
        let (name, ignored) = (case.name.clone(), case.ignored);
        Trial::test(name, move || {
            let tried = match session.run.cancelled.load(Acquire) {
                true => Tried::cancelled(&session.run, &case),
                false => try_case(&session.run, &case),
            };
            let reported = session.report(&case, &tried);
            if reported.is_ok() && show_output && !tried.output.is_empty() {
                println!("---- {} stdout ----\n{}", case.name, tried.output.trim_end());
            }
            reported.map_err(Into::into)
        })
        .with_ignored_flag(ignored)
    });
    libtest_mimic::run(&mimic, trials.collect()).exit_code()
}
