//! A whole trial of an empty case (its process spawned, entered, run, read at two boundaries, held at
//! its exit and put down in the ledger) against a process of the same binary that ends at once.
//!
//! Timed as a user has it, from outside: what a run of 101 cases takes more than a run of one, by the
//! hundred. So the start of the suite's own process and its canaries are not in the figure.
//!
//! Then once a suite of 5,000 cases (`many-cases`), as it is: what one of so many costs, and the peak RSS of
//! its supervisor, which must not grow with the number of tests.

mod in_turn;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use tempfile::TempDir;

use in_turn::{Way, in_turn};

/// Cases of `many-cases`, and those whose names begin with `case_00`.
const FIVE_THOUSAND: u32 = 5000;
const HUNDRED: u32 = 100;
/// Cases of a whole run above those of a short one.
const MORE: u32 = 100;

/// Runs what matches `filter`, one after the other, and says how long it took.
fn run(mode: Option<&str>, filter: &str, ledger: &Path) -> Duration {
    let begun = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_bench-trials"))
        .args(mode)
        .args([filter, "--test-threads=1"])
        .env("WATERTIGHT_LEDGER", ledger)
        .env("WATERTIGHT_RUN", "bench")
        .env_remove("WATERTIGHT_MODE")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the suite starts");
    assert!(status.success(), "{filter}: {status}");
    begun.elapsed()
}

/// What one test costs in a run of many.
fn each(mode: Option<&str>, name: &str) -> Duration {
    let dir = TempDir::new().expect("a directory");
    let ledger = dir.path().join("ledger.jsonl");
    // The first process of a run shows every probe its canary. Not timed: it comes once in a run.
    let one = format!("{name}_000");
    if mode.is_none() {
        run(mode, &one, &ledger);
    }
    let short = run(mode, &one, &ledger);
    let whole = run(mode, &format!("{name}_"), &ledger);
    whole.saturating_sub(short) / MORE
}

fn trial(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trial");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(1));
    let way = |title, mode, name| {
        // A sample is a whole run whatever number of iterations is asked for: it is a mean already.
        Way::new(title, move |iterations| each(mode, name) * iterations as u32)
    };
    in_turn(
        &mut group,
        "empty",
        vec![
            way("floor (a process)", Some("processes"), "process"),
            way("trial, machine's network", None, "host"),
            way("trial, private network", None, "private"),
        ],
    );
    group.finish();
}

/// One run of a large suite, which says its own peak RSS at its end.
fn many(_: &mut Criterion) {
    let dir = TempDir::new().expect("a directory");
    let run = |filter: &str| {
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_many-cases"))
            .args([filter, "--test-threads=1"])
            .env("WATERTIGHT_LEDGER", dir.path().join("ledger.jsonl"))
            .env("WATERTIGHT_RUN", "bench")
            .env_remove("WATERTIGHT_MODE")
            .output()
            .expect("the suite starts");
        assert!(output.status.success(), "many-cases: {}", output.status);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary = said.lines().find(|line| line.starts_with("watertight: ")).map(str::to_owned);
        (begun.elapsed(), summary.expect("a summary"))
    };
    // The first process of a run shows the canaries.
    run("case_000");
    let (few, of_few) = run("case_00");
    let (all, of_all) = run("case_");
    let each = all.saturating_sub(few).as_secs_f64() * 1e3 / f64::from(FIVE_THOUSAND - HUNDRED);
    println!("five thousand cases: {each:.2} ms each\n  {of_few}\n  {of_all}\n");
}

criterion_group!(benches, trial, many);
criterion_main!(benches);
