//! What the facts about a machine mean for the audit, and what to change. Pure: facts in, remarks out.

use watertight::machine::{
    Barrier, Container, Folder, Hiding, Kernel, Limits, Machine, Network, Ports, Tracing,
};
use watertight_report::metric::bytes;
use watertight_report::model::Canary;

use super::remark::Remark;

/// A suite's supervisor holds some for each trial that runs, and tests bring their own.
const DESCRIPTORS_MIN: u64 = 1024;
/// An explain run of a large heap writes some tens of megabytes into its table; below this much free
/// memory the harness takes the temporary directory.
const SHM_FREE_MIN: u64 = 256 << 20;
/// A client is given one of these for each connection, and each waits for a minute.
const PORTS_MIN: u16 = 10_000;

/// All that is to be said of a machine.
pub(super) fn checkup(machine: &Machine) -> Vec<Remark> {
    let mut remarks = canaries(&machine.canaries);
    remarks.push(agent(machine));
    remarks.push(holders(machine));
    remarks.push(kernel(&machine.kernel));
    remarks.push(network(&machine.network));
    remarks.push(ports(&machine.ports));
    remarks.extend(machine.folders.iter().map(folder));
    remarks.extend(limits(&machine.limits));
    remarks.push(hiding(machine.hiding));
    remarks.push(tracing(&machine.tracing));
    remarks.push(container(machine.container.as_ref()));
    remarks
}

fn canaries(canaries: &Result<Vec<Canary>, String>) -> Vec<Remark> {
    const SUBJECT: &str = "canaries";
    let canaries = match canaries {
        Ok(canaries) => canaries,
        Err(reason) => {
            return vec![Remark::blind(SUBJECT, format!("none could be planted: {reason}"))];
        }
    };
    let (seen, blind): (Vec<_>, Vec<_>) = canaries.iter().partition(|canary| canary.seen);
    let names: Vec<&str> = seen.iter().map(|canary| canary.probe.name()).collect();
    let mut remarks = Vec::new();
    if !names.is_empty() {
        let finding = format!("planted leaks that are seen: {}", names.join(", "));
        remarks.push(Remark::ok(SUBJECT, finding));
    }
    remarks.extend(blind.iter().map(|canary| {
        let reason = canary.reason.as_deref().unwrap_or("its planted leak was not seen");
        Remark::blind(SUBJECT, format!("{} is unmeasured: {reason}", canary.probe.name()))
    }));
    remarks
}

fn agent(machine: &Machine) -> Remark {
    const SUBJECT: &str = "agent";
    if let Some(reason) = &machine.unloadable {
        return Remark::blind(SUBJECT, format!("no test can be preloaded: {reason}"))
            .change("without it nothing inside a process is counted, and no line is named");
    }
    Remark::ok(
        SUBJECT,
        match &machine.preloaded {
            Some(other) => format!("tests are preloaded with it, before {other} (LD_PRELOAD)"),
            None => "tests are preloaded with it".to_owned(),
        },
    )
}

fn holders(machine: &Machine) -> Remark {
    const SUBJECT: &str = "holders";
    match &machine.holders_blind {
        Some(reason) => {
            Remark::weaker(SUBJECT, format!("who holds what leaked is not told: {reason}")).change(
                "a test is stopped and read for it, which takes the right to trace it (ptrace)",
            )
        }
        None => Remark::ok(SUBJECT, "who holds what leaked is told"),
    }
}

fn kernel(kernel: &Kernel) -> Remark {
    const SUBJECT: &str = "kernel";
    let release = &kernel.release;
    if !kernel.has_pidfd() {
        return Remark::weaker(
            SUBJECT,
            format!("{release}: processes are ended by number, descriptors counted one by one"),
        )
        .change("Linux 6.2 has what is missing");
    }
    if !kernel.counts_descriptors() {
        return Remark::weaker(SUBJECT, format!("{release}: descriptors are counted one by one"))
            .change("Linux 6.2 tells their number at once");
    }
    Remark::ok(SUBJECT, format!("{release}: all that is used is there"))
}

fn network(network: &Network) -> Remark {
    const SUBJECT: &str = "private network";
    match network {
        Network::Privileged => Remark::ok(SUBJECT, "each trial may have its own"),
        Network::InUserNamespace => {
            Remark::ok(SUBJECT, "each trial may have its own, in a user namespace")
        }
        Network::Refused { reason, barriers } => {
            let finding = format!("refused ({reason}): TIME_WAIT is counted by port pairs");
            let ways: Vec<String> = barriers.iter().map(way).collect();
            let change = match ways.is_empty() {
                true => "nothing known is in the way; a security module may be".to_owned(),
                false => format!("to have it: {}", ways.join("; ")),
            };
            Remark::weaker(SUBJECT, finding).change(change)
        }
    }
}

fn way(barrier: &Barrier) -> String {
    match barrier {
        Barrier::Sysctl { name, wanted } => format!("sudo sysctl -w {name}={wanted}"),
        Barrier::Seccomp => "a filter of system calls forbids it, in a container start that with \
             `--security-opt seccomp=unconfined` or `--cap-add SYS_ADMIN`"
            .to_owned(),
    }
}

fn ports(ports: &Ports) -> Remark {
    const SUBJECT: &str = "ports";
    let Some((first, last)) = ports.range else {
        return Remark::ok(SUBJECT, "the kernel does not tell their range");
    };
    let range = format!("{first} to {last}");
    if ports.reuse == Some(1) {
        return Remark::weaker(
            SUBJECT,
            format!("{range}: new connections take over waiting pairs, so fewer are seen"),
        )
        .change("sudo sysctl -w net.ipv4.tcp_tw_reuse=2");
    }
    if last.saturating_sub(first) < PORTS_MIN {
        return Remark::weaker(SUBJECT, format!("{range}: few, tests may use them up"))
            .change("sudo sysctl -w net.ipv4.ip_local_port_range='32768 60999'");
    }
    let reuse = match ports.reuse {
        Some(2) => {
            "; over loopback a test with thousands of connections takes over some of its own"
        }
        _ => "",
    };
    Remark::ok(SUBJECT, format!("{range}{reuse}"))
}

fn folder(folder: &Folder) -> Remark {
    const SUBJECT: &str = "folder";
    let path = folder.path.display();
    let in_memory = folder.path.starts_with("/dev/shm");
    let change = match in_memory {
        true => "in a container start that with `--shm-size=1g`",
        false => "set TMPDIR to one that can be written",
    };
    match folder.free {
        Err(ref reason) => Remark::weaker(SUBJECT, format!("{path}: {reason}")).change(change),
        Ok(free) if in_memory && free < SHM_FREE_MIN => {
            let finding = format!("{path}: {} free, too little for tables", bytes(free));
            Remark::weaker(SUBJECT, finding).change(change)
        }
        Ok(free) if folder.forbids_execution => {
            let finding =
                format!("{path}: {} free, noexec: the agent must lie elsewhere", bytes(free));
            Remark::weaker(SUBJECT, finding)
        }
        Ok(free) => Remark::ok(SUBJECT, format!("{path}: {} free", bytes(free))),
    }
}

fn limits(limits: &Limits) -> Vec<Remark> {
    const SUBJECT: &str = "limits";
    let Limits { descriptors, descriptors_max, address_space, memory } = limits;
    let mut remarks = Vec::new();
    if *descriptors < DESCRIPTORS_MIN {
        let finding = format!("{descriptors} descriptors: tests that run at once may need more");
        let change = match *descriptors_max < DESCRIPTORS_MIN {
            true => format!("{descriptors_max} is the hard limit: raise that as root"),
            false => format!("ulimit -n {DESCRIPTORS_MIN}"),
        };
        remarks.push(Remark::weaker(SUBJECT, finding).change(change));
    }
    if let Some(space) = address_space {
        let finding =
            format!("{} of address space: each trial maps a table as well", bytes(*space));
        remarks.push(Remark::weaker(SUBJECT, finding).change("ulimit -v unlimited"));
    }
    if remarks.is_empty() {
        let finding = format!("{descriptors} descriptors, {} of memory", bytes(*memory));
        remarks.push(Remark::ok(SUBJECT, finding));
    }
    remarks
}

fn hiding(hiding: Option<Hiding>) -> Remark {
    const SUBJECT: &str = "/proc";
    let finding = match hiding {
        None => return Remark::ok(SUBJECT, "shows every process"),
        Some(Hiding::Contents) => "hides the contents of other users' processes",
        Some(Hiding::Presence) => "hides other users' processes",
        Some(Hiding::Untraceable) => "hides what we may not trace",
    };
    let meaning = format!("{finding}: a descendant with another user is not looked into");
    Remark::weaker(SUBJECT, meaning).change("sudo mount -o remount,hidepid=0 /proc")
}

fn tracing(tracing: &Tracing) -> Remark {
    const SUBJECT: &str = "tracing";
    if tracing.sees_waits {
        return Remark::ok(SUBJECT, "it can be read what a thread waits for");
    }
    let finding = "what a thread waits for cannot be read: one that leaves by itself after some seconds \
                   may be taken for one that stays";
    let change = match tracing.scope {
        Some(scope) if scope > 1 => "sudo sysctl -w kernel.yama.ptrace_scope=1",
        _ => "in a container start that with `--cap-add SYS_PTRACE`",
    };
    Remark::weaker(SUBJECT, finding).change(change)
}

fn container(container: Option<&Container>) -> Remark {
    let name = match container {
        None => "none",
        Some(Container::Docker) => "Docker",
        Some(Container::Podman) => "Podman",
        Some(Container::Kubernetes) => "Kubernetes",
        Some(Container::Lxc) => "LXC",
        Some(Container::Other(name)) => name,
    };
    Remark::ok("container", name)
}

#[cfg(test)]
mod tests;
