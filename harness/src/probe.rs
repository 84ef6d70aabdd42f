//! Probes: each reads one resource kind of a subject, from outside it.
//!
//! Reading is kept apart from parsing, so that every format is tested from a text. What cannot be
//! looked at is [`Unavailable`], a value: neither an error nor a zero.

pub(crate) mod blocked;
pub(crate) mod cgroup;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod process;
mod reading;
pub(crate) mod sock_diag;
pub(crate) mod shm;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod thread;
pub(crate) mod time_wait;
pub(crate) mod watch;

pub use reading::Unavailable;
use reading::read;
