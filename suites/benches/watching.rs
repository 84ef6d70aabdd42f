//! What it costs to watch a program at one look a second: CPU time of the watcher as a part of a core, and how
//! much slower a busy program is, watched from outside and with the agent in it.
//!
//! The program works for some seconds at a time, plainly and watched, in turn and each time beginning with
//! another way; what is compared is the work done within one turn. `WATCHING_TURNS` sets how many there are.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use memmap2::MmapMut;
use nix::time::{ClockId, clock_gettime};
use watertight_suites::{command, wait_for};

/// How long the watcher's CPU time is measured.
const WATCHED: Duration = Duration::from_secs(40);
/// How long the program works in one way.
const SLICE: Duration = Duration::from_secs(4);
const TURNS: usize = 8;
/// What it holds meanwhile.
const DESCRIPTORS: usize = 100;
/// Two numbers: what it has done, and in how many nanoseconds of CPU time.
const COUNTERS: usize = 16;
/// The target: CPU time of the watcher as a part of one core.
const PART_MAX: f64 = 0.005;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, counter, seconds] = &arguments[..]
        && verb == "busy"
    {
        busy(Path::new(counter), Duration::from_secs(seconds.parse()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(ExitCode::SUCCESS);
    }
    let place = tempfile::tempdir()?;
    // Built before the clock runs.
    binary();
    watcher(place.path())?;
    turns(place.path())?;
    Ok(ExitCode::SUCCESS)
}

/// Opens and closes, allocates and frees, and counts that in a file that somebody else reads.
fn busy(counter: &Path, length: Duration) -> Result<()> {
    let held: Vec<File> =
        (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect::<Result<_, _>>()?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(counter)?;
    file.set_len(COUNTERS as u64)?;
    // SAFETY: nobody cuts the file while it is mapped.
    let mut map = unsafe { MmapMut::map_mut(&file)? };
    let end = Instant::now() + length;
    let mut done = 0_u64;
    while Instant::now() < end {
        for _ in 0..64 {
            drop(black_box(File::open("/dev/null")?));
            (0..16).for_each(|size| drop(black_box(Vec::<u8>::with_capacity(64 << (size % 5)))));
        }
        done += 64;
        let cpu =
            Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?).as_nanos() as u64;
        map[..8].copy_from_slice(&done.to_ne_bytes());
        map[8..].copy_from_slice(&cpu.to_ne_bytes());
    }
    drop(held);
    Ok(())
}

fn words(counter: &Path, length: Duration) -> Result<[String; 4]> {
    let own = std::env::current_exe()?.display().to_string();
    Ok([own, "busy".to_owned(), counter.display().to_string(), length.as_secs().to_string()])
}

fn binary() -> &'static Path {
    command::binary(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn watertight(place: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("watertight")
        .current_dir(place)
        .env("WATERTIGHT_LEDGER", place.join("ledger.jsonl"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A child that is ended and reaped in every case.
struct Ended(Child);

impl Ended {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    fn wait(mut self) -> Result<()> {
        let status = self.0.wait()?;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// CPU time of a process, in nanoseconds (/proc/PID/schedstat).
fn cpu(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let first = text.split_whitespace().next().context("three numbers")?;
    Ok(Duration::from_nanos(first.parse()?))
}

/// Measures the watcher, from its second look to the end.
fn watcher(place: &Path) -> Result<()> {
    let counter = place.join("watched");
    let [program, arguments @ ..] = words(&counter, WATCHED + 2 * SLICE)?;
    let subject = Ended::start(Command::new(program).args(arguments))?;
    let metrics = place.join("metrics");
    let mut command = watertight(place);
    command.args(["watch", &subject.0.id().to_string(), "--openmetrics"]).arg(&metrics);
    let watcher = Ended::start(&mut command)?;
    wait_for("it has looked", || {
        Ok(fs::read_to_string(&metrics).is_ok_and(|text| text.contains("process_open_fds{")))
    })?;
    let (from, begun) = (cpu(watcher.0.id())?, Instant::now());
    pass(WATCHED);
    let used = cpu(watcher.0.id())?.saturating_sub(from);
    let part = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "a watcher of {DESCRIPTORS} descriptors, a look a second for {} s: {used:?} of CPU time, {:.3} % of a core (target {:.1} %)",
        WATCHED.as_secs(),
        part * 100.0,
        PART_MAX * 100.0
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the time that is measured")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

const WAYS: [&str; 3] = ["plain", "watch", "run"];

/// Work done in one slice, in one way: in a second, and in a second of its CPU time, of which others on the
/// machine take nothing.
fn work(place: &Path, way: &str) -> Result<[f64; 2]> {
    let counter: PathBuf = place.join("counter");
    fs::write(&counter, [0; COUNTERS])?;
    let [program, arguments @ ..] = words(&counter, SLICE)?;
    match way {
        "run" => {
            let mut command = watertight(place);
            command.args(["run", "--"]).arg(program).args(arguments);
            Ended::start(&mut command)?.wait()?;
        }
        way => {
            let subject = Ended::start(Command::new(program).args(arguments))?;
            let pid = subject.0.id().to_string();
            let watch =
                (way == "watch").then(|| Ended::start(watertight(place).args(["watch", &pid])));
            let watch = watch.transpose()?;
            subject.wait()?;
            watch.map_or(Ok(()), Ended::wait)?;
        }
    }
    let counters = fs::read(&counter)?;
    let number =
        |at: usize| anyhow::Ok(u64::from_ne_bytes(counters[at..at + 8].try_into()?) as f64);
    Ok([number(0)? / SLICE.as_secs_f64(), number(0)? / number(8)? * 1e9])
}

/// All ways in turn.
fn turns(place: &Path) -> Result<()> {
    let turns = std::env::var("WATCHING_TURNS").ok().and_then(|text| text.parse().ok());
    let mut all: Vec<[[f64; 2]; WAYS.len()]> = Vec::new();
    for turn in 0..turns.unwrap_or(TURNS) {
        let mut rates = [[0.0; 2]; WAYS.len()];
        for step in 0..WAYS.len() {
            let way = (turn + step) % WAYS.len();
            rates[way] = work(place, WAYS[way])?;
        }
        all.push(rates);
    }
    let seconds = SLICE.as_secs();
    println!(
        "{} turns of {seconds} s in each way; an operation is an open, a close and 16 blocks",
        all.len()
    );
    for (unit, name) in ["a second", "a second of CPU time"].into_iter().enumerate() {
        println!("operations in {name}:");
        for (way, name) in WAYS.iter().enumerate() {
            let [_, rate, _] = quartiles(all.iter().map(|rates| rates[way][unit]));
            let [low, ratio, high] =
                quartiles(all.iter().map(|rates| rates[way][unit] / rates[0][unit]));
            println!(
                "  {name:<6} {rate:>9.0}  {ratio:.3} of plain  (half of them {low:.3} to {high:.3})"
            );
        }
    }
    Ok(())
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
