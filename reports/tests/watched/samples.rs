//! Samples and events: some as they are, and any at all.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use watertight_report::metric;
use watertight_report::watch::{Event, Sample};

use crate::any_record::text;

/// A daemon with one of everything, `at_ms` after the watch began.
pub(crate) fn daemon(at_ms: u64) -> Sample {
    let mut sample = Sample::new("leaky-daemon", 4_021);
    sample.at_ms = at_ms;
    sample.unix_ms = 1_760_000_000_000 + at_ms;
    sample.is_main = true;
    sample.started_ms = Some(1_759_999_990_250);
    sample.ticks = at_ms / 5_000;
    sample.cpu_ms = Some(1_204);
    for (metric, value) in [
        (metric::DESCRIPTOR, 12 + at_ms / 5_000 * 3),
        (metric::FD, 10 + at_ms / 5_000 * 3),
        (metric::SOCKET, 2),
        (metric::RSS_BYTES, 5 << 20),
        (metric::VIRTUAL_BYTES, 80 << 20),
        (metric::THREAD, 4),
        (metric::HEAP_BYTES, 77_012),
        (metric::HEAP_BLOCKS, 128),
        (metric::MAPPING, 61),
        (metric::PROCESS, 1),
        (metric::TIME_WAIT, 9),
        ("gauge:open \"stores\"", 3),
    ] {
        sample.values.insert(metric.into(), value);
    }
    sample.sockets.insert("tcp/established".into(), 1);
    sample.sockets.insert("unix/listen".into(), 1);
    sample.limits.insert(metric::DESCRIPTOR.into(), 1_024);
    sample.limits.insert(metric::MAPPING.into(), 65_530);
    sample
}

/// A descendant of it, of which little could be read.
pub(crate) fn worker(at_ms: u64) -> Sample {
    let mut sample = Sample::new("git commit -m \"a\\b\"", 77);
    sample.at_ms = at_ms;
    sample.values.insert(metric::DESCRIPTOR.into(), 4);
    sample
}

pub(crate) fn attached() -> Event {
    let said = "The watch began: `leaky-daemon` (pid 4021) has run for 10 s.";
    let mut event = Event::new("leaky-daemon", 4_021, "attached", said);
    event.unix_ms = 1_760_000_000_000;
    event
}

fn metrics() -> impl Strategy<Value = String> {
    prop_oneof![
        text(),
        text().prop_map(|name| metric::gauge(&name)),
        select(vec![metric::DESCRIPTOR, metric::RSS_BYTES, metric::THREAD, metric::MAPPING])
            .prop_map(str::to_owned),
    ]
}

prop_compose! {
    /// Few processes, so that several samples are of one.
    pub(crate) fn sample()(
        (at_ms, unix_ms, pid, subject) in (any::<u64>(), any::<u64>(), 0..4_u32, text()),
        (is_main, ticks) in (any::<bool>(), any::<u64>()),
        (started_ms, cpu_ms) in (option::of(any::<u64>()), option::of(any::<u64>())),
        values in btree_map(metrics(), any::<u64>(), 0..5),
        sockets in btree_map(text(), any::<u64>(), 0..4),
        limits in btree_map(metrics(), any::<u64>(), 0..3),
    ) -> Sample {
        let mut sample = Sample::new(subject, pid);
        sample.at_ms = at_ms;
        sample.unix_ms = unix_ms;
        sample.is_main = is_main;
        sample.ticks = ticks;
        sample.started_ms = started_ms;
        sample.cpu_ms = cpu_ms;
        sample.values = values;
        sample.sockets = sockets;
        sample.limits = limits;
        sample
    }
}

pub(crate) fn samples() -> impl Strategy<Value = Vec<Sample>> {
    vec(sample(), 0..8)
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    (text(), 0..4_u32, text(), text(), any::<u64>()).prop_map(
        |(subject, pid, kind, said, at_ms)| {
            let mut event = Event::new(subject, pid, kind, said);
            event.at_ms = at_ms;
            event
        },
    )
}
