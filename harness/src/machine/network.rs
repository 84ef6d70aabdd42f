//! Whether a trial can have a network of its own; where not, what on the machine may forbid it.
//!
//! user_namespaces(7), the kernel's doc of `user/*` in sysctl, and Debian's and Ubuntu's own switches.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;

use super::attempt::{Purpose, answer};
use crate::namespace;

/// Whether a trial can have a network of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Yes, by the privilege of this process.
    Privileged,
    /// Yes, inside a user namespace.
    InUserNamespace,
    /// No.
    Refused {
        /// What the kernel said.
        reason: String,
        /// What may be in the way; empty where nothing is known.
        barriers: Vec<Barrier>,
    },
}

/// What may forbid a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barrier {
    /// A switch of the kernel's.
    Sysctl {
        /// As sysctl(8) calls it.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A filter of system calls (seccomp(2)), as containers have it.
    Seccomp,
}

/// What the process that tried it says.
const PRIVILEGED: &str = "privileged";
const IN_USER_NAMESPACE: &str = "in a user namespace";

/// Tries it in a throw-away process.
pub(super) fn attempted() -> Network {
    let said = answer(Purpose::Network, &[]).unwrap_or_else(|error| error);
    match said.as_str() {
        PRIVILEGED => Network::Privileged,
        IN_USER_NAMESPACE => Network::InUserNamespace,
        _ => {
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let sysctl = |path: &str| fs::read_to_string(path).ok();
            Network::Refused { reason: said, barriers: barriers(&status, sysctl) }
        }
    }
}

/// Enters one, inside the process that was started for it, and tells how.
pub(super) fn attempt() -> String {
    let user = || fs::metadata("/proc/self/ns/user").map(|data| data.ino()).ok();
    let before = user();
    match namespace::enter() {
        Ok(()) if user() == before => PRIVILEGED.to_owned(),
        Ok(()) => IN_USER_NAMESPACE.to_owned(),
        Err(errno) => name(errno),
    }
}

/// `EPERM: Operation not permitted`.
fn name(errno: Errno) -> String {
    format!("{errno:?}: {}", errno.desc())
}

/// Switches, the value with which each forbids, and the one with which it does not.
const SWITCHES: [(&str, &str, &str); 4] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
    ("user.max_net_namespaces", "0", "10000"),
];

/// What of the known barriers is up, by the text of `/proc/self/status` and that of a file.
fn barriers(status: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Barrier> {
    let mut barriers = Vec::new();
    for (name, forbids, wanted) in SWITCHES {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        if read(&path).is_some_and(|value| value.trim() == forbids) {
            barriers.push(Barrier::Sysctl { name, wanted });
        }
    }
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    if mode == Some("2") {
        barriers.push(Barrier::Seccomp);
    }
    barriers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosted_runner_is_restricted_by_apparmor() {
        let read = |path: &str| match path {
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => Some("1\n".to_owned()),
            "/proc/sys/kernel/unprivileged_userns_clone" => Some("1\n".to_owned()),
            "/proc/sys/user/max_user_namespaces" => Some("63717\n".to_owned()),
            _ => None,
        };
        let name = "kernel.apparmor_restrict_unprivileged_userns";
        let expected = [Barrier::Sysctl { name, wanted: "0" }];
        assert_eq!(barriers("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n", read), expected);
    }

    #[test]
    fn a_container_is_restricted_by_its_filter() {
        assert_eq!(barriers("Seccomp:\t2\nSeccomp_filters:\t1\n", |_| None), [Barrier::Seccomp]);
    }

    #[test]
    fn limits_of_zero_forbid() {
        let barriers = barriers("", |path| path.contains("/user/").then(|| "0\n".to_owned()));
        assert_eq!(barriers.len(), 2);
    }
}
