//! The harness's own probes, which the crate keeps to itself.

#[path = "../../harness/src/probe/fd.rs"]
pub(crate) mod fd;
#[path = "../../harness/src/probe/memory.rs"]
pub(crate) mod memory;
#[path = "../../harness/src/probe/network.rs"]
mod network;
#[path = "../../harness/src/probe/reading.rs"]
mod reading;
#[path = "../../harness/src/probe/sock_diag.rs"]
pub(crate) mod sock_diag;
#[path = "../../harness/src/probe/socket.rs"]
pub(crate) mod socket;
#[path = "../../harness/src/probe/state.rs"]
pub(crate) mod state;
#[path = "../../harness/src/probe/thread.rs"]
pub(crate) mod thread;
#[path = "../../harness/src/probe/time_wait.rs"]
pub(crate) mod time_wait;

pub(crate) use reading::{Unavailable, read};
