//! The proof that we can see: plants in this very process, looked at as any other is.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;

use watertight_report::model::{Canary, Resource, Run};

use crate::outside::{Snapshot, Subject};
use crate::run::facts;

/// What is planted: enough memory to be told from what a look takes.
const MEMORY: usize = 4 << 20;

/// The first line of a ledger that a watch writes to, with what each probe saw of its plant.
pub fn run_record(id: &str, profile: &str) -> Run {
    let mut record = facts(id, profile);
    record.canaries = sing();
    record
}

/// Shows each probe its plant. Some milliseconds.
fn sing() -> Vec<Canary> {
    let mut subject = match Subject::open(std::process::id()) {
        Ok(subject) => subject,
        Err(error) => {
            return PROBES.iter().map(|it| Canary::blind(it.0, error.to_string())).collect();
        }
    };
    let before = subject.snapshot_whole();
    let _file = tempfile::tempfile().or_else(|_| File::open("/dev/null"));
    let _socket = TcpListener::bind("127.0.0.1:0");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    let mut memory = vec![0u8; MEMORY];
    // The kernel gives pages to those who write.
    memory.iter_mut().step_by(1024).for_each(|byte| *byte = 1);
    let after = subject.snapshot_whole();
    drop(stop);
    let _ = thread.join();
    let _ = std::io::sink().write_all(&memory);
    PROBES.iter().map(|(probe, read)| seen(*probe, read(&before), read(&after))).collect()
}

type Read = fn(&Snapshot) -> Result<u64, String>;

const PROBES: [(Resource, Read); 4] = [
    (Resource::Fd, |snapshot| snapshot.descriptors.clone().map_err(|error| error.reason)),
    (Resource::Socket, |snapshot| {
        let held = snapshot.held.value.as_ref();
        held.map(|held| held.sockets.values().sum()).map_err(|error| error.reason.clone())
    }),
    (Resource::Thread, |snapshot| snapshot.threads.clone().map_err(|error| error.reason)),
    (Resource::Memory, |snapshot| {
        let memory = snapshot.memory.as_ref();
        memory.map(|memory| memory.resident).map_err(|error| error.reason.clone())
    }),
];

fn seen(probe: Resource, before: Result<u64, String>, after: Result<u64, String>) -> Canary {
    match (before, after) {
        (Ok(before), Ok(after)) if after > before => Canary::seen(probe),
        (Ok(before), Ok(after)) => Canary::blind(
            probe,
            format!("its plant was not seen: {before} before it, {after} with it"),
        ),
        (Err(reason), _) | (_, Err(reason)) => Canary::blind(probe, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_sees_its_plant() {
        // Other tests of this process start and end threads meanwhile.
        let sung: Vec<_> = std::iter::repeat_with(sing).take(50).collect();
        assert!(sung.iter().all(|sung| sung.len() == PROBES.len()));
        assert!(sung.iter().any(|sung| sung.iter().all(|canary| canary.seen)), "{sung:?}");
    }

    #[test]
    fn a_plant_that_is_not_seen_is_told() {
        assert!(!seen(Resource::Fd, Ok(3), Ok(3)).seen);
        let blind = seen(Resource::Fd, Ok(3), Err("no".to_owned()));
        assert_eq!(blind.reason.as_deref(), Some("no"));
    }
}
