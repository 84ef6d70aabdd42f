//! Traces, read as the format says it, and as Perfetto's reader takes it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use watertight_report::render::trace::Trace;
use watertight_report::watch::Line;

use crate::samples::{attached, daemon, event, sample, worker};

/// Keeps every piece that it is given apart.
#[derive(Default)]
struct Pieces(RefCell<Vec<Vec<u8>>>);

impl Write for &Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().push(piece.to_vec());
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pieces(lines: &[Line]) -> Vec<Vec<u8>> {
    let pieces = Pieces::default();
    let mut trace = Trace::new(&pieces).unwrap();
    for line in lines {
        match line {
            Line::Sample(sample) => trace.sample(sample).unwrap(),
            Line::Event(event) => trace.event(event).unwrap(),
            _ => unreachable!("no other line is traced"),
        }
    }
    trace.finish().unwrap();
    pieces.0.into_inner()
}

fn text(lines: &[Line]) -> String {
    String::from_utf8(pieces(lines).concat()).unwrap()
}

fn watch() -> Vec<Line> {
    let mut closed = daemon(5_500);
    closed.sockets.remove("tcp/established");
    let mut execed = worker(5_500);
    execed.subject = "sleep 9".into();
    vec![
        Line::Event(attached()),
        Line::Sample(daemon(500)),
        Line::Sample(worker(500)),
        Line::Sample(daemon(1_000)),
        Line::Sample(closed),
        Line::Sample(execed),
    ]
}

/// Why a reader of traces would refuse the text, or misread it.
fn complaint(text: &str) -> Option<String> {
    // A reader of the format adds the end that is missing.
    let whole = match text.trim_end().ends_with(']') {
        true => text.to_owned(),
        false => format!("{text}]"),
    };
    let events: Vec<Value> = match serde_json::from_str(&whole) {
        Ok(events) => events,
        Err(error) => return Some(error.to_string()),
    };
    let mut named = Vec::new();
    for event in &events {
        let (Some(pid), Some(_)) = (event["pid"].as_u64(), event["ts"].as_u64()) else {
            return Some(format!("no process or no time: {event}"));
        };
        if event["tid"] != event["pid"] || !event["name"].is_string() {
            return Some(format!("no thread or no name: {event}"));
        }
        let args = event["args"].as_object()?;
        let is_right = match event["ph"].as_str() {
            Some("M") => {
                named.push(pid);
                event["name"] == "process_name" && args["name"].is_string()
            }
            Some("C") => !args.is_empty() && args.values().all(Value::is_u64),
            Some("i") => event["s"] == "p" && args["said"].is_string(),
            _ => false,
        };
        if !is_right {
            return Some(format!("not of its phase: {event}"));
        }
        if !named.contains(&pid) {
            return Some(format!("its process has no name: {event}"));
        }
    }
    // What Perfetto reads before it knows the time.
    for line in whole.lines().filter(|line| line.starts_with('{')) {
        let has_escape = line.replace(r"\\", "").contains(r"\u");
        if !line.starts_with("{\"ts\":") || has_escape {
            return Some(format!("Perfetto cannot read the time: {line}"));
        }
    }
    None
}

#[test]
fn golden() {
    let text = text(&watch());
    assert_eq!(complaint(&text), None);
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn defects_are_caught() {
    let text = text(&watch());
    for (right, wrong) in [
        ("},\n{", "}\n{"),
        ("\"ph\":\"C\"", "\"ph\":\"X\""),
        ("\"s\":\"p\",", ""),
        ("\"value\":15", "\"value\":\"15\""),
        ("\"name\":\"process_name\"", "\"name\":\"thread_name\""),
        ("\"tid\":77", "\"tid\":1"),
        ("{\"ts\":500000,\"ph\":\"C\",", "{\"ph\":\"C\",\"ts\":500000,"),
        ("leaky-daemon", "leaky\\u001b"),
    ] {
        let defect = text.replacen(right, wrong, 1);
        assert_ne!(defect, text, "{right} is not in it");
        assert!(complaint(&defect).is_some(), "{right} -> {wrong}");
    }
}

#[test]
fn only_what_changed_is_written() {
    let text = text(&watch());
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |name: &str| -> Vec<(u64, u64)> {
        let counters = events.iter().filter(|event| event["name"] == name && event["pid"] == 4_021);
        let value = |event: &Value| (event["ts"].as_u64(), event["args"]["value"].as_u64());
        counters.map(value).map(|(at, value)| (at.unwrap(), value.unwrap())).collect()
    };
    assert_eq!(of("descriptor"), [(500_000, 12), (5_500_000, 15)]);
    assert_eq!(of("thread"), [(500_000, 4)]);
    assert_eq!(of("ticks"), [(5_500_000, 1)]);
    // A series whose sockets are gone comes down.
    let sockets: Vec<&Value> = (events.iter())
        .filter(|event| event["name"] == "sockets by state")
        .map(|event| &event["args"]["tcp/established"])
        .collect();
    assert_eq!(sockets, [1, 0]);
    let names: Vec<&Value> = events
        .iter()
        .filter(|event| event["ph"] == "M")
        .map(|event| &event["args"]["name"])
        .collect();
    assert_eq!(names, ["leaky-daemon", "git commit -m \"a\\b\"", "sleep 9"]);
}

/// Memory is bounded, however many processes come and go; and what is written stays right.
#[test]
fn a_program_may_fork_for_ever() {
    let lines: Vec<Line> = (0..5_000)
        .flat_map(|fork| {
            let mut child = worker(fork * 10);
            child.pid = 10_000 + fork as u32;
            [Line::Sample(child), Line::Sample(daemon(fork * 10))]
        })
        .collect();
    let text = text(&lines);
    assert_eq!(complaint(&text), None);
    let named = text.lines().filter(|line| line.contains("leaky-daemon")).count();
    assert!((2..=6).contains(&named), "{named}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever a kill comes between two writes, what is there can be read, whatever names hold.
    #[test]
    fn a_cut_trace_can_be_read(
        lines in vec(
            prop_oneof![sample().prop_map(Line::Sample), event().prop_map(Line::Event)],
            0..6,
        ),
    ) {
        let pieces = pieces(&lines);
        // The beginning, the lines, the end.
        prop_assert!(pieces.len() <= lines.len() + 2);
        let mut text = Vec::new();
        for piece in &pieces {
            text.extend_from_slice(piece);
            prop_assert_eq!(complaint(std::str::from_utf8(&text).unwrap()), None);
        }
    }

    /// The last value written of a metric is the last that was sampled.
    #[test]
    fn the_last_value_stands(lines in vec(sample(), 1..6)) {
        let lines: Vec<Line> = lines.into_iter().map(Line::Sample).collect();
        let events: Vec<Value> = serde_json::from_str(&text(&lines)).unwrap();
        let (mut sampled, mut written) = (BTreeMap::new(), BTreeMap::new());
        for line in &lines {
            if let Line::Sample(sample) = line
                && let Some(value) = sample.values.get("rss_bytes")
            {
                sampled.insert(u64::from(sample.pid), *value);
            }
        }
        for event in events.iter().filter(|event| event["name"] == "rss_bytes") {
            let value = event["args"]["value"].as_u64().unwrap();
            written.insert(event["pid"].as_u64().unwrap(), value);
        }
        prop_assert_eq!(written, sampled);
    }
}
