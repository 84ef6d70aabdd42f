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
mod console;
pub(crate) mod ends;
mod listing;
mod naming;
mod printed;
mod program;
mod wrapping;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{self, Sender};

use watertight_report::model::Verdict;

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
use console::{Console, Ending};
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
        Role::Trial(control) => Some(match canary::of(control.case.load(Acquire)) {
            Some(canary) => child::run(&canary, control),
            None => ExitCode::FAILURE,
        }),
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
        Some(name) => vec![listing::Test { name: name.to_owned(), ignored: None }],
        None => listing::list(&program, arguments)?,
    };
    let taken: Vec<&listing::Test> = tests
        .iter()
        .filter(|test| one.is_some() || arguments.takes(&test.name, test.ignored.is_some()))
        .collect();
    let mut cases: Vec<Case> = taken.iter().map(|test| case(test, wrapping)).collect();
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
    let session = Session::open(subjects, config, arguments.streams(), None)?;
    let is_good = match (one, cases.as_slice()) {
        (Some(_), [case]) => run_one(&session, case),
        _ => {
            let filtered_out = tests.len() - taken.len();
            let ignored = taken.iter().map(|test| match arguments.runs_ignored() {
                true => None,
                false => test.ignored.clone(),
            });
            let planned: Vec<Planned> = cases.into_iter().zip(ignored).collect();
            run_all(&session, &planned, filtered_out, arguments)
        }
    };
    let code = if is_good { ExitCode::SUCCESS } else { ExitCode::from(TESTS_FAILED) };
    Ok(session.close().unwrap_or(code))
}

/// A test as a case: its body is in the binary.
fn case(test: &listing::Test, wrapping: &Wrapping) -> Case {
    let mut case = Case::new(&test.name, |_| Err(Failed::new("its body is in another program")));
    case.net = wrapping.private_net.then_some(Net::Private);
    case.rounds(1)
}

/// For nextest: what the test prints goes straight on, and the code says the rest. True where all is well.
fn run_one(session: &Session, case: &Case) -> bool {
    let tried = try_case(&session.run, case);
    let reported = session.report(case, &tried);
    if let Err(block) = &reported
        && tried.record.verdict != Verdict::Clean
    {
        eprintln!("\n{block}");
    }
    reported.is_ok()
}

/// A case, and where it is ignored why.
type Planned = (Case, Option<Option<String>>);

/// What the pool tells of a case, by its number.
enum News {
    Begins(usize),
    Ended(usize, Box<(Tried, Result<(), String>)>),
}

/// All tests, as libtest would run them: as many at once, printed as they end. True where all is well.
fn run_all(
    session: &Session,
    planned: &[Planned],
    filtered_out: usize,
    arguments: &Arguments,
) -> bool {
    /// Tests that are over and only waited for hold a thread of the pool, and no slot.
    const WAITING_MAX: usize = 64;
    let mut console = Console::begin(arguments, planned.len(), filtered_out);
    // One at a time is one after the other, in their order.
    let threads = match arguments.threads() {
        1 => 1,
        threads => (threads + WAITING_MAX).min(planned.len()),
    };
    let next = AtomicUsize::new(0);
    let (tell, news) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let tell = tell.clone();
            scope.spawn(|| run_some(session, planned, &next, tell));
        }
        drop(tell);
        for it in news {
            match it {
                News::Begins(at) => console.started(&planned[at].0.name, &planned[at].0.name),
                News::Ended(at, ended) => {
                    let (case, ignored) = &planned[at];
                    let (tried, reported) = *ended;
                    let title = match tried.should_panic {
                        true => format!("{} - should panic", case.name),
                        false => case.name.clone(),
                    };
                    let ending = match (ignored, reported) {
                        (Some(why), _) => Ending::Ignored(why.clone()),
                        (None, Ok(())) => Ending::Passed(tried.output),
                        (None, Err(block)) => Ending::Failed(block),
                    };
                    console.ended(&case.name, &title, ending);
                }
            }
        }
    });
    console.end()
}

/// One thread's part of the tests: whichever is next.
fn run_some(session: &Session, planned: &[Planned], next: &AtomicUsize, tell: Sender<News>) {
    while let Some((at, (case, ignored))) = {
        let at = next.fetch_add(1, Relaxed);
        planned.get(at).map(|it| (at, it))
    } {
        let ended = if ignored.is_some() {
            (Tried::ignored(&session.run, case), Ok(()))
        } else {
            let _ = tell.send(News::Begins(at));
            let tried = match session.run.cancelled.load(Acquire) {
                true => Tried::cancelled(&session.run, case),
                false => try_case(&session.run, case),
            };
            let reported = session.report(case, &tried);
            (tried, reported)
        };
        // The listener stays until the last of us has gone.
        let _ = tell.send(News::Ended(at, Box::new(ended)));
    }
}
