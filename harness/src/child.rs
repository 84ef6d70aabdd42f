//! The trial from the inside: enter, run a round, wait at the boundary, leave.
//!
//! The child runs the body and decides nothing. At each boundary it waits until the supervisor has
//! looked and has said whether there is another round.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use crate::case::{Body, Case};
use crate::context::Context;
use crate::failed::Failed;
use crate::gauge;
use crate::namespace;
use crate::region::{self, ControlMap, write_text};
use crate::rehearsal;
use crate::table::{
    BODY_FAILED, BODY_PASSED, BODY_RUNNING, Control, ENV_MAIN, ENV_TABLE, GO_AGAIN, GO_LEAVE,
    NET_PRIVATE, NET_REFUSED, STAGE_BODY, STAGE_BOUNDARY,
};

/// How often a waiting child checks that its supervisor still lives.
const CHECK: Duration = Duration::from_secs(1);

/// What this process is to the harness.
pub(crate) enum Role {
    /// The main process of a trial.
    Trial(&'static Control),
    /// Started as one, and cut off from its supervisor: it must not pass for anything else.
    Lost,
    /// Started to try something, which it has; with its exit code.
    Rehearsed(ExitCode),
    /// Whatever a person or a test has started.
    Program,
}

/// Tells what this process is, and enters the trial where it is its main process. The first thing in
/// `main`: there must be no other thread yet.
pub(crate) fn enter() -> Role {
    if let Some(code) = rehearsal::enter() {
        return Role::Rehearsed(code);
    }
    let started_by_us = std::env::var_os(ENV_MAIN).is_some();
    // SAFETY: there is no other thread that could read the environment.
    unsafe { std::env::remove_var(ENV_MAIN) };
    let control = region::own_control().or_else(without_agent);
    if !started_by_us {
        return Role::Program;
    }
    let Some(control) = control else { return Role::Lost };
    if control.main.compare_exchange(0, std::process::id(), AcqRel, Acquire).is_err() {
        return Role::Lost;
    }
    // The supervisor ends us by name; this is for the case that it is ended itself.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    if control.net.load(Acquire) == NET_PRIVATE
        && let Err(errno) = namespace::enter()
    {
        control.net_errno.store(errno as u32, Release);
        control.net.store(NET_REFUSED, Release);
    }
    Role::Trial(control)
}

/// Where no agent could be preloaded, the variable is still there and the file is mapped here.
fn without_agent() -> Option<&'static Control> {
    let directory = std::env::var_os(ENV_TABLE)?;
    // SAFETY: the first thing in main, so there is no other thread that could read the environment.
    unsafe { std::env::remove_var(ENV_TABLE) };
    let control = ControlMap::open(Path::new(&directory)).ok()?;
    Some(MAPPED.get_or_init(|| control))
}

/// Lives as long as the process, as the agent's mapping does.
static MAPPED: std::sync::OnceLock<ControlMap> = std::sync::OnceLock::new();

/// Runs rounds of one case until the supervisor has seen enough.
pub(crate) fn run(case: &Case, control: &'static Control) -> ExitCode {
    hook_panics(control);
    warm_up();
    let runtime = match TestRuntime::new(case) {
        Ok(runtime) => runtime,
        Err(failed) => {
            write_text(&control.message, failed.message());
            control.body.store(BODY_FAILED, Release);
            return ExitCode::FAILURE;
        }
    };
    runtime.publish(control);
    while boundary(control, STAGE_BOUNDARY) == GO_AGAIN {
        runtime.round(case, control);
        runtime.publish(control);
    }
    runtime.close();
    ExitCode::SUCCESS
}

/// Runs the cases that the supervisor names, one after the other, in this one process.
pub(crate) fn run_shared(cases: &[Case], control: &'static Control) -> ExitCode {
    hook_panics(control);
    warm_up();
    gauge::publish(control);
    while boundary(control, STAGE_BOUNDARY) == GO_AGAIN {
        let Some(case) = cases.get(control.case.load(Acquire) as usize) else {
            return ExitCode::FAILURE;
        };
        match TestRuntime::new(case) {
            Ok(runtime) => {
                runtime.round(case, control);
                runtime.publish(control);
                runtime.close();
            }
            Err(failed) => {
                write_text(&control.message, failed.message());
                control.body.store(BODY_FAILED, Release);
            }
        }
    }
    ExitCode::SUCCESS
}

/// Has the standard library make what it makes once for the first who asks: a thread's own handle and the
/// buffer of stdout. Nearly every test asks, and would be repeated only to show that it is made once.
fn warm_up() {
    let _ = std::thread::current();
    let _ = std::io::stdout().lock();
}

/// Waits at a boundary until the supervisor has looked; gives its answer.
pub(crate) fn boundary(control: &Control, stage: u32) -> u32 {
    if control.main.load(Acquire) != std::process::id() {
        return GO_LEAVE;
    }
    let number = control.boundary.load(Relaxed) + 1;
    control.stage.store(stage, Release);
    control.boundary.store(number, Release);
    region::tell(control);
    loop {
        let answered = control.answered.load(Acquire);
        if answered == number {
            return control.answer.load(Acquire);
        }
        region::futex_wait(&control.answered, answered, CHECK);
        if std::os::unix::process::parent_id() != control.supervisor.load(Relaxed) {
            return GO_LEAVE;
        }
    }
}

/// What a round runs on.
struct TestRuntime {
    #[cfg(feature = "tokio")]
    runtime: Option<crate::runtime::Runtime>,
}

impl TestRuntime {
    #[cfg_attr(
        not(feature = "tokio"),
        expect(clippy::unnecessary_wraps, reason = "a runtime can fail")
    )]
    fn new(case: &Case) -> Result<Self, Failed> {
        #[cfg(feature = "tokio")]
        return Ok(Self {
            runtime: match &case.body {
                Body::Sync(_) => None,
                Body::Async { workers, .. } => Some(crate::runtime::Runtime::new(*workers)?),
            },
        });
        #[cfg(not(feature = "tokio"))]
        {
            let _ = case;
            Ok(Self {})
        }
    }

    /// One round: body, clean-ups, and what a runtime still has to do.
    fn round(&self, case: &Case, control: &'static Control) {
        let context = Context::new(&case.name, Some(control));
        control.body.store(BODY_RUNNING, Release);
        control.tasks.store(-1, Release);
        control.message.len.store(0, Release);
        control.stage.store(STAGE_BODY, Release);
        let result = self.body(case, &context, control);
        // The child of a fork that returns from the body is none of the trial's business any more.
        if control.main.load(Acquire) != std::process::id() {
            return;
        }
        let cleaned = context.run_cleanups();
        match judge_panic(case, result).and(cleaned) {
            Ok(()) => control.body.store(BODY_PASSED, Release),
            Err(failed) => {
                // The panic hook has written more than the payload says: the place.
                if control.message.len.load(Acquire) == 0 || case.should_panic.is_some() {
                    write_text(&control.message, failed.message());
                }
                control.body.store(BODY_FAILED, Release);
            }
        }
        #[cfg(feature = "tokio")]
        if let Some(runtime) = self.runtime.as_ref().filter(|_| case.special.is_none()) {
            runtime.drain(control.flags.load(Relaxed) & crate::table::FLAG_IMPATIENT == 0);
        }
    }

    /// The body between its two marks: stacks are cut at this frame, so that they are the same in
    /// every round.
    #[inline(never)]
    fn body(
        &self,
        case: &Case,
        context: &Context,
        control: &Control,
    ) -> std::thread::Result<Result<(), Failed>> {
        let mark = 0usize;
        // SAFETY: pthread_self has no failure. On glibc it is the thread pointer.
        let thread = unsafe { libc::pthread_self() } as usize;
        control.body_tp.store(thread, Relaxed);
        control.body_sp.store((&raw const mark) as usize, Release);
        let result = catch_unwind(AssertUnwindSafe(|| match &case.body {
            Body::Sync(body) => body(context),
            #[cfg(feature = "tokio")]
            Body::Async { body, .. } => match &self.runtime {
                Some(runtime) => runtime.block_on(body(context)),
                None => Err(Failed::new("the case has no runtime")),
            },
        }));
        control.body_sp.store(0, Release);
        result
    }

    fn close(self) {
        #[cfg(feature = "tokio")]
        if let Some(runtime) = self.runtime {
            runtime.close();
        }
    }

    /// Writes what only this process knows.
    fn publish(&self, control: &Control) {
        gauge::publish(control);
        #[cfg(feature = "tokio")]
        if let Some(runtime) = &self.runtime {
            control.tasks.store(runtime.tasks(), Release);
        }
    }
}

/// Turns a panic into a result, the right way round for a case that must panic.
pub(crate) fn judge_panic(
    case: &Case,
    result: std::thread::Result<Result<(), Failed>>,
) -> Result<(), Failed> {
    match (result, &case.should_panic) {
        (Ok(ending), None) => ending,
        (Ok(_), Some(_)) => Err(Failed::new("the test did not panic as expected")),
        (Err(payload), None) => Err(Failed::new(panic_message(&*payload))),
        (Err(payload), Some(should)) => {
            let message = panic_message(&*payload);
            match &should.expected {
                Some(expected) if !message.contains(expected.as_str()) => {
                    Err(Failed::new(format!(
                        "the test panicked, but not as expected\n  panic message: {message:?}\n  expected part: {expected:?}"
                    )))
                }
                _ => Ok(()),
            }
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the test panicked with a value that is no text".to_owned())
}

/// Writes the first panic of a round, with its place, where the supervisor finds it even if the
/// process aborts next.
fn hook_panics(control: &'static Control) {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if control.message.len.load(Acquire) == 0 {
            let place = info.location().map_or_else(String::new, |place| {
                format!("\n  at {}:{}", place.file(), place.line())
            });
            write_text(&control.message, &format!("{}{place}", panic_message(info.payload())));
        }
        default(info);
    }));
}
