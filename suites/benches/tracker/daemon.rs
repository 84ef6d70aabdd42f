//! The daemon: how soon it is there, how soon it is gone, and how long an answer takes.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::Criterion;
use serde_json::json;
use watertight_suites::Daemon;
use watertight_tracker::client::Client;

use crate::in_turn::shown;
use crate::place::{FLOOR, Place, USUAL, run, tracker};
use crate::table::Bound;
use crate::{Benches, timed};

/// No tick but the first disturbs the measurement.
const SELDOM: [&str; 2] = ["--interval", "1h"];
/// The bound of the middle one of all round trips.
const ROUND_TRIP_MAX: Duration = Duration::from_micros(100);

pub(crate) fn all(benches: &Benches, criterion: &mut Criterion) {
    for place in benches.places.iter().filter(|place| place.size == USUAL) {
        start_and_stop(benches, place, criterion);
        round_trips(benches, place, criterion);
    }
}

/// The floor is a process that opens a database, reads one row and ends.
fn start_and_stop(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    let root = || place.filled().workspace.root();
    let start = || run(tracker(root()).args(["daemon", "start"]).args(SELDOM));
    let stop = || run(tracker(root()).args(["daemon", "stop"]));
    let floor = |iterations| {
        let table = &place.filled().table;
        let read = |()| run(Command::new(FLOOR).arg("rows").arg(table).arg("1"));
        timed(iterations, || (), read)
    };
    let started = |iterations| {
        // Ended before the next one is started; the last one after all.
        let time = timed(iterations, stop, |()| start());
        stop();
        time
    };
    let stopped = |iterations| timed(iterations, start, |()| stop());
    benches.compare(criterion, "daemon start", USUAL, Bound::Ms(50.0), started, floor);
    benches.compare(criterion, "daemon stop", USUAL, Bound::Ms(100.0), stopped, floor);
}

/// Round trips on one connection, with the client's own work. The floor sends as many bytes to and fro
/// between two threads.
fn round_trips(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    let id = place.id();
    let line = place.issues.line(place.issues.count / 2);
    let answer =
        |result: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":1000,\"result\":{result}}}\n");
    let request = |method: &str, params| {
        format!("{}\n", json!({"jsonrpc": "2.0", "id": 1000, "method": method, "params": params}))
    };
    let calls: [(&str, Call, String, String); 2] = [
        ("round trip, ping", ping, request("ping", json!({})), answer("{}")),
        ("round trip, show", show, request("show", json!({"id": id})), answer(&line)),
    ];
    let served: RefCell<Option<(Daemon, Client)>> = RefCell::default();
    for (name, call, request, answer) in calls {
        let times = RefCell::new(Vec::new());
        let echo = RefCell::new(Echo::new(request.len(), answer));
        benches.compare(
            criterion,
            name,
            USUAL,
            Bound::None,
            |iterations| {
                let mut served = served.borrow_mut();
                let (_, client) = served.get_or_insert_with(|| {
                    let workspace = &place.filled().workspace;
                    let daemon = Daemon::start_with(workspace, &SELDOM).expect("a daemon");
                    (daemon, workspace.client().expect("a client"))
                });
                let mut times = times.borrow_mut();
                let before = times.len();
                for _ in 0..iterations {
                    let begun = Instant::now();
                    call(client, &id);
                    times.push(begun.elapsed());
                }
                times[before..].iter().sum()
            },
            |iterations| timed(iterations, || (), |()| echo.borrow_mut().call(&request)),
        );
        let mut times = times.into_inner();
        times.sort();
        let at = |part: f64| times.get(((times.len() as f64) * part) as usize).copied();
        if let (Some(median), Some(late)) = (at(0.5), at(0.99)) {
            let shown = |time: Duration| shown(time.as_secs_f64() * 1e9);
            let mut table = benches.table.borrow_mut();
            let met = median <= ROUND_TRIP_MAX;
            table.figure(&format!("{name}, p50"), USUAL, shown(median), "100 us", Some(met));
            table.figure(&format!("{name}, p99"), USUAL, shown(late), "", None);
        }
    }
    if let Some((daemon, client)) = served.into_inner() {
        drop(client);
        daemon.stop().expect("it stops");
    }
}

type Call = fn(&mut Client, &str);

fn ping(client: &mut Client, _id: &str) {
    client.ping().expect("an answer");
}

fn show(client: &mut Client, id: &str) {
    client.show(id).expect("an answer");
}

/// A thread that answers every request of that size. It ends with its end of the pair.
struct Echo {
    ours: BufReader<UnixStream>,
    answer: String,
}

impl Echo {
    fn new(request_bytes: usize, answer: String) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let said = answer.clone();
        std::thread::spawn(move || {
            let mut theirs = BufReader::new(theirs);
            let mut line = String::with_capacity(request_bytes);
            while theirs.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                line.clear();
                if theirs.get_mut().write_all(said.as_bytes()).is_err() {
                    break;
                }
            }
        });
        Self { ours: BufReader::new(ours), answer }
    }

    fn call(&mut self, request: &str) {
        self.ours.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut line = String::with_capacity(self.answer.len());
        self.ours.read_line(&mut line).expect("answered");
        assert_eq!(line.len(), self.answer.len());
    }
}
