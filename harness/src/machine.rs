//! What a machine lets the harness see: typed facts, and attempts in throw-away processes.
//!
//! ```text
//! examine ─┬─ facts: /proc/sys, mounts, limits, marks of a container      (read)
//!          └─ attempts: this same binary, started again                   (tried)
//!               ├─ the canaries, every probe's planted leak
//!               ├─ a private network
//!               └─ one process that waits, to be looked at from outside
//! ```
//!
//! A program that calls [`examine`] calls [`unedited::enter`](crate::unedited::enter) and [`enter`] first
//! thing in `main`. Nothing here is formatted for people, and nothing is changed.

mod attempt;
mod container;
mod kernel;
mod mount;
mod network;

use std::path::PathBuf;

use watertight_report::model::Canary;

pub use attempt::enter;
pub use container::Container;
pub use kernel::Kernel;
pub(crate) use kernel::port_range;
pub use mount::{Folder, Hiding};
pub use network::{Barrier, Network};

use crate::probe::file::SHM;
use crate::probe::state::limit;

/// All that was found out.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The kernel that runs.
    pub kernel: Kernel,
    /// Whether a trial can have a network of its own.
    pub network: Network,
    /// Why no process can be started with the agent; none where one can.
    pub unloadable: Option<String>,
    /// What each probe saw of its planted leak, or why none could be planted.
    pub canaries: Result<Vec<Canary>, String>,
    /// Why it cannot be told who holds what leaked; none where it can.
    pub holders_blind: Option<String>,
    /// What is preloaded into every process already (`LD_PRELOAD`).
    pub preloaded: Option<String>,
    /// Where the shared table and the agent may lie: in memory, and among temporary files.
    pub folders: Vec<Folder>,
    /// What this process may use.
    pub limits: Limits,
    /// What `/proc` does not show; none where it shows everything.
    pub hiding: Option<Hiding>,
    /// Who may look into a process.
    pub tracing: Tracing,
    /// The container around us, where one is known by its marks.
    pub container: Option<Container>,
    /// What TCP does with its ports.
    pub ports: Ports,
}

/// What this process and its children may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Soft limit on descriptors (RLIMIT_NOFILE).
    pub descriptors: u64,
    /// Hard limit on descriptors.
    pub descriptors_max: u64,
    /// Soft limit on address space in bytes (RLIMIT_AS); none where there is no limit.
    pub address_space: Option<u64>,
    /// Memory for all together in bytes: the control group's limit, or the machine's memory.
    pub memory: u64,
}

/// Who may look into a process (ptrace(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// `kernel.yama.ptrace_scope`; none without that module.
    pub scope: Option<u8>,
    /// Whether we could read what a child of ours waits in (`/proc/PID/syscall`).
    pub sees_waits: bool,
}

/// What TCP does with its ports (ip-sysctl).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// First and last port that a client is given; none where it cannot be read.
    pub range: Option<(u16, u16)>,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub reuse: Option<u8>,
}

/// Looks at everything. It takes some tenths of a second, most of them for the canaries.
pub fn examine() -> Machine {
    let sung = attempt::canaries();
    Machine {
        kernel: Kernel::running(),
        network: network::attempted(),
        unloadable: sung.as_ref().ok().and_then(|sung| sung.unloadable.clone()),
        holders_blind: sung.as_ref().ok().and_then(|sung| sung.holders_blind.clone()),
        canaries: sung.map(|sung| sung.canaries),
        preloaded: std::env::var("LD_PRELOAD").ok().filter(|value| !value.is_empty()),
        folders: [PathBuf::from(SHM), std::env::temp_dir()].map(Folder::read).into(),
        limits: limits(),
        hiding: mount::hiding(),
        tracing: Tracing {
            scope: kernel::number("/proc/sys/kernel/yama/ptrace_scope"),
            sees_waits: attempt::sees_waits(),
        },
        container: container::around(),
        ports: Ports {
            range: port_range(),
            reuse: kernel::number("/proc/sys/net/ipv4/tcp_tw_reuse"),
        },
    }
}

fn limits() -> Limits {
    let own = |number: u32| limit(std::process::id(), number);
    let (soft, hard) = own(libc::RLIMIT_NOFILE).unwrap_or_default();
    let (space, _) = own(libc::RLIMIT_AS).unwrap_or((libc::RLIM_INFINITY, 0));
    Limits {
        descriptors: soft,
        descriptors_max: hard,
        address_space: (space != libc::RLIM_INFINITY).then_some(space),
        memory: crate::run::memory_limit(),
    }
}
