use watertight_report::model::Resource;

use super::*;
use crate::doctor::remark::Level;

/// A machine on which all is well.
fn machine() -> Machine {
    let folder =
        |path: &str| Folder { path: path.into(), free: Ok(8 << 30), forbids_execution: false };
    Machine {
        kernel: Kernel { release: "6.18.44".to_owned(), version: (6, 18) },
        network: Network::Privileged,
        unloadable: None,
        canaries: Ok(vec![Canary::seen(Resource::Fd), Canary::seen(Resource::Heap)]),
        holders_blind: None,
        preloaded: None,
        folders: vec![folder("/dev/shm"), folder("/tmp")],
        limits: Limits {
            descriptors: 1024,
            descriptors_max: 4096,
            address_space: None,
            memory: 16 << 30,
        },
        hiding: None,
        tracing: Tracing { scope: Some(1), sees_waits: true },
        container: None,
        ports: Ports { range: Some((32_768, 60_999)), reuse: Some(2) },
    }
}

/// The one remark that is not ok.
fn complaint(machine: &Machine) -> Remark {
    let mut bad: Vec<Remark> =
        checkup(machine).into_iter().filter(|remark| remark.level != Level::Ok).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    bad.remove(0)
}

#[test]
fn a_good_machine_is_ok_in_everything() {
    let remarks = checkup(&machine());
    assert!(remarks.iter().all(|remark| remark.level == Level::Ok), "{remarks:?}");
    assert!(remarks[0].finding.ends_with("fd, heap"), "{:?}", remarks[0]);
}

#[test]
fn a_probe_that_sees_nothing_is_blind_and_says_why() {
    let mut machine = machine();
    machine.canaries = Ok(vec![Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "why")]);
    let remark = complaint(&machine);
    assert_eq!(remark.level, Level::Blind);
    assert_eq!(remark.finding, "heap is unmeasured: why");
}

#[test]
fn canaries_that_could_not_be_planted_are_blind() {
    let mut machine = machine();
    machine.canaries = Err("no room".to_owned());
    assert_eq!(complaint(&machine).level, Level::Blind);
}

#[test]
fn holders_that_cannot_be_told_are_weaker_and_say_why() {
    let mut machine = machine();
    machine.holders_blind = Some("ptrace".to_owned());
    let remark = complaint(&machine);
    assert_eq!((remark.subject, remark.level), ("holders", Level::Weaker));
    assert!(remark.finding.ends_with(": ptrace"), "{remark:?}");
}

#[test]
fn an_agent_that_cannot_be_loaded_is_blind() {
    let mut machine = machine();
    machine.unloadable =
        Some("nothing may be executed in /dev/shm and /tmp; set TMPDIR".to_owned());
    let remark = complaint(&machine);
    assert_eq!((remark.level, remark.subject), (Level::Blind, "agent"));
    assert!(remark.finding.contains("set TMPDIR"), "{remark:?}");
}

#[test]
fn old_kernels_are_weaker() {
    let mut machine = machine();
    machine.kernel = Kernel { release: "5.15.0".to_owned(), version: (5, 15) };
    assert!(complaint(&machine).finding.contains("counted one by one"));
    machine.kernel = Kernel { release: "4.18.0".to_owned(), version: (4, 18) };
    assert!(complaint(&machine).finding.contains("ended by number"));
}

#[test]
fn a_refused_network_names_the_switch() {
    let mut machine = machine();
    let barriers = vec![
        Barrier::Sysctl { name: "kernel.apparmor_restrict_unprivileged_userns", wanted: "0" },
        Barrier::Seccomp,
    ];
    machine.network = Network::Refused { reason: "EPERM".to_owned(), barriers };
    let remark = complaint(&machine);
    assert_eq!(remark.level, Level::Weaker);
    let change = remark.change.unwrap_or_default();
    assert!(
        change.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        "{change}"
    );
    assert!(change.contains("seccomp=unconfined"), "{change}");
}

#[test]
fn little_shared_memory_is_weaker() {
    let mut machine = machine();
    machine.folders[0].free = Ok(64 << 20);
    assert!(complaint(&machine).change.is_some_and(|change| change.contains("--shm-size")));
}

#[test]
fn a_folder_without_execution_is_weaker() {
    let mut machine = machine();
    machine.folders[1].forbids_execution = true;
    assert!(complaint(&machine).finding.contains("noexec"));
}

#[test]
fn limits_and_what_proc_hides_are_weaker() {
    let mut machine = machine();
    machine.limits.descriptors = 64;
    assert_eq!(complaint(&machine).change.as_deref(), Some("ulimit -n 1024"));
    machine.limits.descriptors_max = 64;
    assert!(complaint(&machine).change.is_some_and(|change| change.contains("hard limit")));
    machine.limits = self::machine().limits;
    machine.limits.address_space = Some(1 << 30);
    assert!(complaint(&machine).finding.contains("address space"));
    machine.limits = self::machine().limits;
    machine.hiding = Some(Hiding::Presence);
    assert!(complaint(&machine).finding.contains("other users"));
    machine.hiding = None;
    machine.tracing = Tracing { scope: Some(2), sees_waits: false };
    assert!(complaint(&machine).change.is_some_and(|change| change.contains("ptrace_scope=1")));
}

#[test]
fn ports_that_are_reused_or_few_are_weaker() {
    let mut machine = machine();
    machine.ports.reuse = Some(1);
    assert!(complaint(&machine).change.is_some_and(|change| change.contains("tcp_tw_reuse")));
    machine.ports = Ports { range: Some((32_768, 33_000)), reuse: Some(0) };
    assert!(complaint(&machine).finding.contains("few"));
}
