//! One execution of a case, watched from outside: its rounds, what was read at each boundary, how it ended.
//!
//! ```text
//! boundary ─► counts (and, where they moved, an inventory) ─► another round? ─► ... ─► leave ─► held at exit ─► survivors
//! ```
//!
//! Nothing is judged here and no stack is named: the result is what was seen.

mod left;
mod outcome;
mod passes;
mod rounds;
mod single;
mod steady;
mod waits;
mod watch;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use watertight_report::model::{Cleanup, Net as NetRecord, Outcome};

use crate::births::{Birth, Births};
use crate::case::{Case, DEADLINE, Net};
use crate::descendant::Descendants;
use crate::holder::{self, Looked};
use crate::judge::Creation;
use crate::probe::process;
use crate::region::{ControlMap, LiveStack, RegionMap, write_text};
use crate::run::Run;
use crate::settle::SETTLE;
use crate::slots::Slots;
use crate::snapshot::{Counts, Inventory};
use crate::subject::Spawn;
use crate::survivor::Strangers;
use crate::survivor::{self, Survivor};
use crate::table::{
    ENV_MAIN, FLAG_FD_STACKS, FLAG_HEAP_STACKS, FLAG_HOLD_EXIT, FLAG_HOLDERS, FLAG_IMPATIENT,
    FLAG_RAW, FLAG_UNEDITED, NET_PRIVATE, NET_REFUSED,
};
use crate::unedited::ends::End;
use crate::unedited::{Program, own_output, reason, verdict_of_libtest};

pub(crate) use left::{Left, Thing};
pub(crate) use passes::Step;
pub(crate) use steady::Steady;
pub(crate) use waits::Waits;
use watch::{Ended, Watch};

/// Time a process may take from its last boundary to its exit.
const EXIT: Duration = Duration::from_secs(10);
/// How much longer than the first run an explain run may take.
const EXPLAIN_FACTOR: u32 = 5;

/// What a main process runs.
#[derive(Clone, Copy)]
pub(crate) enum Script<'a> {
    /// One case, in rounds.
    Case(&'a Case),
    /// The selected cases of a suite, one after the other, in passes.
    Suite { cases: &'a [Case], selected: &'a [usize], passes: u32 },
    /// One test of a program that has not a line for us, once.
    Unedited { case: &'a Case, program: &'a Program, slots: &'a Slots },
}

impl Script<'_> {
    fn is_private(&self) -> bool {
        match self {
            Self::Case(case) | Self::Unedited { case, .. } => {
                case.net.unwrap_or_default() == Net::Private
            }
            // One process has one network: the machine's, if any case wants it.
            Self::Suite { cases, selected, .. } => {
                selected.iter().all(|index| cases[*index].net.unwrap_or_default() == Net::Private)
            }
        }
    }

    /// How long to wait for what may still be released.
    fn settle(&self) -> Duration {
        let of = |case: &Case| case.settle.unwrap_or(SETTLE);
        match self {
            Self::Case(case) | Self::Unedited { case, .. } => of(case),
            Self::Suite { cases, selected, .. } => {
                selected.iter().map(|index| of(&cases[*index])).max().unwrap_or(SETTLE)
            }
        }
    }

    /// How its main process is started.
    fn command(&self) -> io::Result<Command> {
        match self {
            Self::Unedited { case, program, .. } => program.test(&case.name, self.is_private()),
            Self::Case(_) | Self::Suite { .. } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.env(ENV_MAIN, "1");
                Ok(command)
            }
        }
    }

    /// What the child finds under `Control::case`, and under `Control::case_name`.
    fn label(&self) -> (u32, &str) {
        match self {
            Self::Case(case) | Self::Unedited { case, .. } => {
                (case.special.unwrap_or(0), &case.name)
            }
            Self::Suite { .. } => (crate::shared::CASES, ""),
        }
    }
}

/// How to execute it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Count, and repeat while something still grows.
    Measure,
    /// Run exactly this many rounds with a stack for every heap block.
    Explain {
        rounds: u32,
        /// What waiting has shown the first time.
        waits: Waits,
        /// Whether tasks are worth waiting for.
        patient: bool,
    },
    /// Measure again, alone, with a longer settle time.
    Alone,
    /// Run exactly this many rounds, and settle nothing: every plant is meant to stay.
    Canary { rounds: u32 },
}

/// What an execution has shown.
pub(crate) struct Observation {
    pub(crate) outcome: Outcome,
    pub(crate) message: Option<String>,
    /// Rounds that ran to their end.
    pub(crate) rounds: u32,
    /// Why the repetition ended early, where a later round failed.
    pub(crate) later_failure: Option<String>,
    pub(crate) net: NetRecord,
    /// At each boundary, the first before round 1.
    pub(crate) counts: Vec<Counts>,
    /// Confirmed TIME_WAIT pairs at each boundary (machine's network).
    pub(crate) waiting: Vec<u64>,
    pub(crate) first: Inventory,
    pub(crate) last: Inventory,
    /// Round of birth of what is in `last` and not in `first`.
    pub(crate) born_fds: Vec<(crate::probe::fd::Descriptor, Birth)>,
    pub(crate) born_threads: Vec<(crate::probe::thread::Thread, Birth)>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) zombies: Vec<process::Stat>,
    pub(crate) survivors: Vec<Survivor>,
    /// Files, directories and shared memory that were made and are still there.
    pub(crate) left: Vec<Left>,
    pub(crate) cleanups: Vec<(Cleanup, Option<Creation>)>,
    pub(crate) steady: Vec<Steady>,
    /// The cases that ran, in shared mode, in their order.
    pub(crate) steps: Vec<Step>,
    pub(crate) unsettled: bool,
    /// What waiting has shown.
    pub(crate) waits: Waits,
    /// Connects that were refused, in a private namespace.
    pub(crate) refused_connects: u64,
    pub(crate) region: Option<RegionMap>,
    pub(crate) descendants: Arc<Mutex<Descendants>>,
    pub(crate) control: Arc<ControlMap>,
    pub(crate) output: String,
    /// Whether libtest says that the test should panic.
    pub(crate) should_panic: bool,
    /// From how many bytes on what it keeps on the heap is looked into.
    pub(crate) heap_floor_bytes: i64,
    /// Its heap at the end of an unedited program.
    pub(crate) end: Option<End>,
    /// Whether the program was not ours: it ran once, and its own start is no part of the test.
    pub(crate) unedited: bool,
    /// What lived of each stack at each boundary (explain).
    pub(crate) stacks: Vec<HashMap<u32, LiveStack>>,
    /// Its heap at its end, and who points to whom, or why that could not be had (explain).
    pub(crate) heap: Option<Looked>,
    pub(crate) duration: Duration,
    directory: PathBuf,
}

impl Drop for Observation {
    fn drop(&mut self) {
        // Notes that cannot be removed are swept by the next run.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Executes a script once.
///
/// # Errors
/// Only where the process could not be started at all.
pub(crate) fn observe(run: &Run, script: Script<'_>, purpose: Purpose) -> io::Result<Observation> {
    let directory = run.home.trial_directory()?;
    let control = Arc::new(ControlMap::create(&directory)?);
    let explain = matches!(purpose, Purpose::Explain { .. });
    let impatient = matches!(purpose, Purpose::Explain { patient: false, .. });
    let unedited = match script {
        Script::Unedited { program, .. } => Some(program),
        _ => None,
    };
    let when = |flag: u32, set: bool| if set { flag } else { 0 };
    let flags = when(FLAG_HEAP_STACKS, explain)
        | when(FLAG_HOLDERS, explain && holder::is_wanted())
        | when(FLAG_UNEDITED, unedited.is_some())
        | when(FLAG_RAW, explain && unedited.is_some())
        | when(FLAG_IMPATIENT, impatient);
    control.flags.store(FLAG_FD_STACKS | FLAG_HOLD_EXIT | flags, Relaxed);
    control.program.store(unedited.map_or(0, Program::identity), Relaxed);
    control.warm_round.store(u32::from(explain), Relaxed);
    let (number, name) = script.label();
    control.case.store(number, Relaxed);
    write_text(&control.case_name, name);
    if script.is_private() {
        let refused = run.net_refused().is_some();
        control.net.store(if refused { NET_REFUSED } else { NET_PRIVATE }, Release);
    }
    let descendants =
        Arc::new(Mutex::new(Descendants::new(directory.clone(), Arc::clone(&control))));
    let strangers = Strangers::before(run);
    let command = script.command()?;
    let mut slot = match script {
        Script::Unedited { slots, .. } => Some(slots.take()),
        _ => None,
    };
    if slot.is_some() && run.cancelled.load(Acquire) {
        let _ = std::fs::remove_dir_all(&directory);
        return Err(io::Error::new(io::ErrorKind::Interrupted, "the run was cancelled"));
    }
    let started = Instant::now();
    let subject = run.start(Spawn {
        command,
        agent: run.agent.as_ref().ok(),
        directory: &directory,
        control: &control,
        descendants: &descendants,
        stream: run.stream && !explain,
        adopts: unedited.map(|_| Arc::clone(&run.running)),
    });
    let mut subject = match subject {
        Ok(subject) => subject,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&directory);
            return Err(error);
        }
    };
    let pid = subject.pid;
    let patience = if explain { EXPLAIN_FACTOR } else { 1 };
    let mut watch = Watch {
        purpose,
        patience,
        settle: script.settle(),
        control: &control,
        descendants: &descendants,
        directory: &directory,
        pid,
        deadline: started + DEADLINE,
        region: None,
        network: None,
        counts: Vec::new(),
        stacks: Vec::new(),
        waiting: Vec::new(),
        first: Inventory::default(),
        births: Births::default(),
        steady: Vec::new(),
        steps: Vec::new(),
        waits: if let Purpose::Explain { waits, .. } = purpose { waits } else { Waits::default() },
        settling: Duration::ZERO,
        unsettled: false,
        end: None,
        refused_connects: 0,
    };
    let ended = match script {
        Script::Case(case) => watch.rounds(&subject, case),
        Script::Unedited { case, program, .. } => {
            let is_once =
                |region: &RegionMap, stack: u32| run.is_once(region, &program.path, stack);
            watch.single(&subject, case, &is_once, || slot = None)
        }
        Script::Suite { cases, selected, passes } => {
            watch.passes(&subject, cases, selected, passes)
        }
    };
    let heap = watch.held_heap(&subject);
    let (zombies, peak) = watch.leave(&subject, &ended);
    let status = subject.end(Instant::now() + EXIT);
    run.ended(pid);
    descendants.lock().unwrap_or_else(PoisonError::into_inner).discover();
    let survivors =
        survivor::settle(&directory, watch.network.as_deref(), &strangers, watch.settle);
    for survivor in &survivors {
        survivor.kill();
    }
    let left = left::left(run, watch.region.as_ref(), &descendants);
    let mut output = subject.output();
    let mut should_panic = false;
    let (outcome, message) = match script {
        Script::Unedited { case, .. } => {
            // libtest's own lines are cut out of stdout, where nothing else can come in between.
            let [out, err] = subject.outputs();
            should_panic = out.contains(&format!("test {} - should panic ... ", case.name));
            let verdict = verdict_of_libtest(&out, &case.name);
            let parts = [own_output(&out, &case.name), err.trim().to_owned()];
            let said = [verdict, reason(&parts[1]).or_else(|| reason(&parts[0]))];
            let said: Vec<String> = said.into_iter().flatten().collect();
            let said = said.join("\n");
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            output = parts.join("\n");
            outcome::of_program(&ended, status, started.elapsed(), &said)
        }
        _ => outcome::outcome(&control, &ended, status, started.elapsed()),
    };
    let net = match control.net.load(Acquire) {
        NET_PRIVATE => NetRecord::Private,
        _ => NetRecord::Host,
    };
    let peak_bytes = peak.or_else(|| {
        watch.counts.iter().filter_map(|counts| Some(counts.memory.as_ref().ok()?.peak)).max()
    });
    Ok(Observation {
        outcome,
        message,
        rounds: ended.rounds,
        later_failure: ended.later_failure,
        net,
        counts: watch.counts,
        waiting: watch.waiting,
        stacks: watch.stacks,
        heap,
        first: watch.first,
        born_fds: watch.births.fds(),
        born_threads: watch.births.threads(control.exit_thread.load(Acquire)),
        last: watch.births.last,
        peak_bytes,
        zombies,
        survivors,
        left,
        cleanups: outcome::read_cleanups(&control),
        steady: watch.steady,
        steps: watch.steps,
        unsettled: watch.unsettled,
        waits: watch.waits,
        refused_connects: watch.refused_connects,
        end: watch.end,
        unedited: unedited.is_some(),
        region: watch.region,
        output,
        should_panic,
        heap_floor_bytes: unedited.map_or(0, Program::heap_floor_bytes),
        descendants,
        control,
        duration: started.elapsed(),
        directory,
    })
}
