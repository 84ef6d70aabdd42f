//! What to do about a finding: one line for each kind, and where its holder is known one for that.

use std::borrow::Cow;

use super::holder;
use crate::model::{CleanupStatus, Finding, Mode, ProcessState, Resource, Trial};

/// What to do about `finding`. What else was made under its site goes with it.
pub(super) fn advice(trial: &Trial, finding: &Finding) -> Cow<'static, str> {
    match for_a_holder(finding) {
        Some(advice) => advice.into(),
        None => for_a_kind(trial, finding).into(),
    }
}

/// What to do where it is known who keeps the finding's blocks: whoever lets go of them lets go of the
/// descriptor that they are made with.
fn for_a_holder(finding: &Finding) -> Option<String> {
    let held = || holder::advice(finding.holder.as_deref()?, finding.status);
    match finding.resource {
        Resource::Heap => held(),
        Resource::Fd if finding.growth >= 0 => held()
            .map(|held| format!("close or drop what that line opens, on every path out; {held}")),
        _ => None,
    }
}

fn for_a_kind(trial: &Trial, finding: &Finding) -> &'static str {
    let is_watched = trial.mode == Mode::Watch || finding.trend.is_some();
    if let Some(advice) = for_a_program(finding).filter(|_| is_watched) {
        return advice;
    }
    match finding.resource {
        Resource::Process => match finding.process.as_ref().map(|process| process.state) {
            Some(ProcessState::Zombie) => {
                "wait for every child (`Child::wait`), on the failing paths too: dropping a `Child` does not"
            }
            Some(ProcessState::Outlived) | None => {
                "stop it and wait for it before the test ends, on the failing paths too: dropping a `Child` does neither"
            }
        },
        Resource::Fd if finding.growth < 0 => {
            "find who closes a descriptor that it does not own: a raw fd closed twice, or `from_raw_fd` on one it was lent"
        }
        Resource::Fd => {
            "close or drop what that line opens, on every path out; look for who keeps it: a registry, a static, a task"
        }
        Resource::Socket if finding.what.ends_with("(close_wait)") => {
            "the other side has closed it: drop the connection once reading gives its end, and give up on one that says nothing (a read timeout)"
        }
        Resource::Socket => {
            "close the connection or listener that line makes, on every path out; a client needs its session closed, not only its call ended"
        }
        Resource::Thread => {
            "tell the thread to stop and join it; a dropped `JoinHandle` lets it run on"
        }
        Resource::Task => {
            "cancel the task and await it before shutdown (`CancellationToken`, `TaskTracker`); a dropped `JoinHandle` lets it run on"
        }
        Resource::Heap => {
            "find who keeps what that line allocates: a collection that only grows, a cycle of `Rc`, a `mem::forget`, a C handle never freed"
        }
        Resource::TimeWait => {
            "keep one connection for many calls: the side that closes first keeps the port pair; where that many are meant, declare `allow(time_wait = N)`, or say `allow = { time_wait = N }` in .config/watertight.toml"
        }
        Resource::Memory if finding.budget.is_some() => {
            "lower the peak, or raise the ceiling (`rss_max`) on purpose"
        }
        Resource::Memory => {
            "see which heap findings grow along with it; with none, look at mappings"
        }
        Resource::Mapping => "unmap what that line maps, on every path out",
        Resource::File => {
            "remove what that line creates, or create it in a temporary directory that removes itself (`TempDir`), and let that be dropped"
        }
        Resource::Shm => {
            "remove it on every path out (`shm_unlink`; for System V `shmctl` with `IPC_RMID`): it stays until the machine is started again"
        }
        Resource::InotifyWatch => "remove the watch, or close the inotify descriptor it belongs to",
        Resource::Lock => {
            "release the lock on every path out, or close the file it is held on: the next one who wants it waits for ever"
        }
        Resource::State => {
            "put it back in a guard's `Drop`, so that failing paths do it too; what is meant for a child is set on the child (`Command::env`, `current_dir`)"
        }
        Resource::Gauge => "whatever raises the gauge must lower it again on every path out",
        Resource::Cleanup => match cleanup_status(trial, finding) {
            Some(CleanupStatus::Failed) => {
                "make the clean-up succeed: what it should have removed is still there"
            }
            _ => {
                "declare the clean-up as soon as there is something to clean up, before anything that can fail"
            }
        },
    }
}

/// What to do where a running program was watched and not a test: there is none to change, and from
/// outside no line is seen. None where the advice is the same.
fn for_a_program(finding: &Finding) -> Option<&'static str> {
    let is_zombie =
        finding.process.as_ref().is_some_and(|process| process.state == ProcessState::Zombie);
    Some(match finding.resource {
        Resource::Process if is_zombie => {
            "wait for every child (`Child::wait`), on the failing paths too: a dropped `Child` stays a zombie for as long as the program runs"
        }
        Resource::TimeWait => {
            "keep one connection for many calls: the side that closes first keeps the port pair for a minute"
        }
        Resource::Memory => {
            "start it with `cargo watertight run -- CMD`, which tells heap by its line; where heap stays flat, look at mappings and at the allocator"
        }
        // Whoever was left by the other side needs no line to know what to do.
        Resource::Socket if finding.what.ends_with("(close_wait)") => return None,
        Resource::Fd
        | Resource::Socket
        | Resource::Thread
        | Resource::Task
        | Resource::Process
        | Resource::Heap
        | Resource::Mapping
        | Resource::InotifyWatch
        | Resource::Lock
            if finding.site.is_none() && finding.note.is_none() =>
        {
            "start it with `cargo watertight run -- CMD` to see the line that makes them"
        }
        Resource::Process => {
            "stop it and wait for it on every path, failing ones too: dropping a `Child` does neither"
        }
        _ => return None,
    })
}

/// What became of the clean-up that `finding` names.
pub(super) fn cleanup_status(trial: &Trial, finding: &Finding) -> Option<CleanupStatus> {
    trial.cleanups.iter().find(|cleanup| cleanup.name == finding.what).map(|cleanup| cleanup.status)
}
