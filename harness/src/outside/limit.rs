//! What a process may still take.

use std::io;

use super::{Reading, Unavailable};
use crate::machine::port_range;
use crate::probe::cgroup::{self, GroupUse};
use crate::probe::{memory, network, state};

/// Limits that a process which grows will meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Descriptors: its soft limit (RLIMIT_NOFILE).
    pub descriptors: Reading<u64>,
    /// Mappings (`vm.max_map_count`).
    pub mappings: Reading<u64>,
    /// Memory of its control group.
    pub memory: Reading<GroupUse>,
    /// What is left of the machine's memory, in bytes.
    pub available: Reading<u64>,
    /// Address space in bytes: its soft limit (RLIMIT_AS); none where there is none.
    pub address_space: Option<u64>,
    /// Threads of its control group, those of its processes included.
    pub threads: Reading<GroupUse>,
    /// First and last port that a connection to one and the same address is given, in its network
    /// (`net.ipv4.ip_local_port_range`).
    pub ports: Reading<(u16, u16)>,
}

impl Limits {
    pub(super) fn read(pid: u32) -> Self {
        let descriptors = state::descriptor_limit(pid)
            .ok_or_else(|| Unavailable::new(format!("/proc/{pid}/limits cannot be read")));
        Self {
            descriptors,
            mappings: mappings(),
            memory: cgroup::memory(pid),
            available: memory::available(),
            address_space: address_space(pid),
            threads: cgroup::threads(pid),
            ports: ports(pid),
        }
    }

    pub(super) fn unavailable(reason: &Unavailable) -> Self {
        let reason = || reason.clone();
        Self {
            descriptors: Err(reason()),
            mappings: Err(reason()),
            memory: Err(reason()),
            available: Err(reason()),
            address_space: None,
            threads: Err(reason()),
            ports: Err(reason()),
        }
    }
}

fn address_space(pid: u32) -> Option<u64> {
    let (soft, _) = state::limit(pid, libc::RLIMIT_AS)?;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}

fn mappings() -> Reading<u64> {
    const PATH: &str = "/proc/sys/vm/max_map_count";
    let text = std::fs::read_to_string(PATH).ok();
    text.and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| Unavailable::new(format!("{PATH} cannot be read")))
}

fn ports(pid: u32) -> Reading<(u16, u16)> {
    let range = || port_range().ok_or_else(|| io::ErrorKind::NotFound.into());
    network::within(pid, range).map_err(|error| {
        Unavailable::new(format!(
            "the ports of the network of process {pid} cannot be read: {error}"
        ))
    })
}
