//! Chrome's trace events, which <https://ui.perfetto.dev> and chrome://tracing draw: a counter track for
//! each metric of each process, and a mark for each event.
//!
//! The format is the array form of the "Trace Event Format" (Google, linked from catapult's
//! docs/trace-event-format.md): one object for each event, times in microseconds, here since the
//! watch began. Counters (`"ph":"C"`) with several series in one track are drawn one above the other;
//! instants (`"ph":"i"`) are of a process (`"s":"p"`); metadata (`"ph":"M"`) names the processes. The
//! closing `]` may be missing, so that what a kill has cut can be read: every sample and every event
//! is given to the writer in one piece that holds whole objects, and must not be buffered there.
//!
//! Perfetto's reader knows no `\u` escapes before it has found the time, so the time comes first, and
//! names have none.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use super::text;
use crate::watch::{Event, Sample};

/// Processes of which the last values are kept, to write only what has changed. When there are
/// more all are forgotten, and then written once more: a program may fork for ever.
const PROCESSES_MAX: usize = 1_024;

/// The track of sockets by protocol and state.
const SOCKETS: &str = "sockets by state";

/// Writes a trace as it is sampled, in memory that does not grow with it.
#[derive(Debug)]
pub struct Trace<W> {
    out: W,
    /// What is written next: whole objects.
    piece: Vec<u8>,
    is_first: bool,
    processes: HashMap<u32, Process>,
}

/// What was written last of a process.
#[derive(Debug, Default)]
struct Process {
    subject: String,
    values: BTreeMap<String, u64>,
    sockets: BTreeMap<String, u64>,
}

/// One object of the format.
#[derive(Serialize)]
struct Object<A> {
    ts: u64,
    ph: &'static str,
    pid: u32,
    /// Counters and instants belong to processes; readers find the process by its first thread.
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    name: String,
    args: A,
}

#[derive(Serialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
struct Value {
    value: u64,
}

#[derive(Serialize)]
struct Said {
    said: String,
    unix_ms: u64,
}

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// What the writer said, as everywhere here.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, piece: Vec::new(), is_first: true, processes: HashMap::new() })
    }

    /// Adds a sample: what has changed since the last of the same process.
    ///
    /// # Errors
    /// What the writer said.
    pub fn sample(&mut self, sample: &Sample) -> io::Result<()> {
        let mut known = self.process(sample.at_ms, sample.pid, &sample.subject)?;
        let ticks = Some(sample.ticks).filter(|ticks| *ticks > 0);
        let of_process = [("ticks", ticks), ("cpu_ms", sample.cpu_ms)];
        let of_process = of_process.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let values = sample.values.iter().map(|(name, value)| (name.as_str(), *value));
        for (name, value) in values.chain(of_process) {
            if known.values.insert(name.to_owned(), value) != Some(value) {
                self.push(&counter(sample, text::name(name), Value { value }))?;
            }
        }

        // A state without a socket is not told of any more; its series must come down all the same.
        let gone = known.sockets.keys().map(|state| (state.clone(), 0));
        let sockets: BTreeMap<String, u64> =
            gone.chain(sample.sockets.iter().map(|(state, many)| (state.clone(), *many))).collect();
        if sockets != known.sockets {
            let series: BTreeMap<String, u64> =
                sockets.iter().map(|(state, many)| (text::name(state), *many)).collect();
            self.push(&counter(sample, SOCKETS.to_owned(), series))?;
            known.sockets = sockets;
        }
        self.processes.insert(sample.pid, known);
        self.write()
    }

    /// Adds a mark for an event.
    ///
    /// # Errors
    /// What the writer said.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let known = self.process(event.at_ms, event.pid, &event.subject)?;
        self.processes.insert(event.pid, known);
        self.push(&Object {
            ts: micros(event.at_ms),
            ph: "i",
            pid: event.pid,
            tid: event.pid,
            s: Some("p"),
            name: text::name(&event.kind),
            args: Said { said: text::escape(&event.said), unix_ms: event.unix_ms },
        })?;
        self.write()
    }

    /// Ends the trace, and gives the writer back.
    ///
    /// # Errors
    /// What the writer said.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// What was written of a process, taken out; its name is written first where it is new.
    fn process(&mut self, at_ms: u64, pid: u32, subject: &str) -> io::Result<Process> {
        let mut known = self.processes.remove(&pid);
        if known.as_ref().is_none_or(|known| known.subject != subject) {
            if self.processes.len() >= PROCESSES_MAX {
                self.processes.clear();
            }
            self.push(&Object {
                ts: micros(at_ms),
                ph: "M",
                pid,
                tid: pid,
                s: None,
                name: "process_name".to_owned(),
                args: Name { name: text::name(subject) },
            })?;
            known.get_or_insert_default().subject = subject.to_owned();
        }
        Ok(known.unwrap_or_default())
    }

    fn push(&mut self, object: &impl Serialize) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.is_first, false) { "\n" } else { ",\n" };
        self.piece.extend_from_slice(comma.as_bytes());
        Ok(serde_json::to_writer(&mut self.piece, object)?)
    }

    /// In one piece, so that no object is ever cut.
    fn write(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.out.write_all(&piece)?;
        self.out.flush()?;
        // The room is used again.
        self.piece = piece;
        self.piece.clear();
        Ok(())
    }
}

/// `args` are the values of a track at the time of the sample.
fn counter<A>(sample: &Sample, name: String, args: A) -> Object<A> {
    let (ts, pid) = (micros(sample.at_ms), sample.pid);
    Object { ts, ph: "C", pid, tid: pid, s: None, name, args }
}

fn micros(ms: u64) -> u64 {
    ms.saturating_mul(1_000)
}
