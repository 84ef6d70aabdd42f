//! What a process holds.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::unistd::Uid;
use watertight::outside::{Kind, Snapshot, SocketKind};

use crate::planted::{Planted, runs, until};

#[test]
fn reads_all_of_a_process_that_is_ours() {
    let planted = Planted::sleeper();
    let mut subject = planted.open();
    // Its memory is read before what it runs: the first time it may still have been starting.
    until(&mut subject, |seen| runs(seen, "sleep 600"));
    let seen = until(&mut subject, |seen| runs(seen, "sleep 600"));
    assert!(subject.barred().is_none());
    assert!(seen.image.unwrap().executable.unwrap().is_absolute());
    assert_eq!(seen.user.unwrap().real, Uid::current().as_raw());
    assert_eq!(seen.threads, Ok(1));
    let held = seen.held.value.unwrap();
    assert_eq!(held.kinds.values().sum::<u64>(), seen.descriptors.unwrap());
    assert!(held.kinds[&Kind::Device] >= 2);
    let memory = seen.memory.unwrap();
    assert!(memory.resident <= memory.peak && memory.peak <= memory.mapped);
    // The kernel is exact here, and not in what is resident.
    assert!((1..=memory.mapped).contains(&seen.proportional.value.unwrap()));
    assert!(seen.mappings.value.unwrap() >= 5);
    assert!(seen.family.value.unwrap().descendants.is_empty());
    assert!(seen.limits.descriptors.unwrap() > 0 && seen.limits.mappings.unwrap() > 0);
    let (first, last) = seen.limits.ports.unwrap();
    assert!(first < last);
    let open = subject.descriptors().unwrap();
    assert!(open.iter().any(|open| open.name == "/dev/null" && open.number == 0));
}

#[test]
fn counts_sockets_by_protocol_and_state() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600").stdin(OwnedFd::from(listener)).stdout(OwnedFd::from(client));
    let planted = Planted::start(&mut command);
    drop(command);
    let mut subject = planted.open();
    let count = |seen: &Snapshot, state: &str| {
        let sockets = seen.held.value.as_ref().map(|held| held.sockets.clone()).unwrap_or_default();
        let of = |(kind, count): (SocketKind, u64)| -> Option<u64> {
            (kind.protocol == "tcp" && kind.state == state).then_some(count)
        };
        sockets.into_iter().filter_map(of).sum::<u64>()
    };
    until(&mut subject, |seen| count(seen, "listen") == 1 && count(seen, "established") == 1);
    let listed = subject.descriptors().unwrap();
    assert!(listed.iter().any(|open| open.name == format!("tcp listener {address}")));
    // The peer closes: what the process keeps is a connection that it has not closed.
    drop(accepted);
    until(&mut subject, |seen| count(seen, "close_wait") == 1 && count(seen, "established") == 0);
}
