//! What it costs to tell who holds what leaked: an explained test with so many live blocks, with the search and
//! without it (`WATERTIGHT_HELD_BY=0`), in turn; the difference is the search. The supervisor's peak of memory
//! is that of its own process, where its figures say so.
//!
//! `HELD_TURNS` sets how many turns there are. Run it with `--release` binaries, as `cargo bench` does.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

const TURNS: usize = 5;
const CASES: [&str; 8] = [
    "vec_1000",
    "vec_10000",
    "vec_100000",
    "vec_1000000",
    "map_1000",
    "map_10000",
    "map_100000",
    "map_1000000",
];

fn main() -> Result<ExitCode> {
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(ExitCode::SUCCESS);
    }
    let turns =
        std::env::var("HELD_TURNS").ok().and_then(|text| text.parse().ok()).unwrap_or(TURNS);
    println!("| case | without | with | the search | supervisor's peak without | with |");
    println!("|---|---|---|---|---|---|");
    for case in CASES {
        let mut runs = [Vec::new(), Vec::new()];
        for turn in 0..turns {
            for at in 0..2 {
                let is_asked = (turn + at) % 2 == 1;
                runs[usize::from(is_asked)].push(run(case, is_asked)?);
            }
        }
        let [without, with] = runs.map(|mut runs| {
            runs.sort_unstable();
            let peak = runs.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
            (runs[runs.len() / 2].0, peak)
        });
        let millis = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        let mebibytes = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
        println!(
            "| {case} | {} | {} | {} | {} | {} |",
            millis(without.0),
            millis(with.0),
            millis(with.0.saturating_sub(without.0)),
            mebibytes(without.1),
            mebibytes(with.1),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// One run of a case: how long it takes, and its supervisor's peak of memory in bytes.
fn run(case: &str, is_asked: bool) -> Result<(Duration, u64)> {
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_bench-held"))
        .args(["--exact", case])
        .env("WATERTIGHT_LEDGER", folder.path().join("ledger.jsonl"))
        .env("WATERTIGHT_HELD_BY", if is_asked { "1" } else { "0" })
        .stdin(Stdio::null())
        .output()
        .context("bench-held cannot be started")?;
    let time = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("1 leaked"), "{case} was not found to leak: {said}");
    ensure!(
        said.contains("bench_held::LEAKED") == is_asked,
        "{case}: asked {is_asked}, but it said {said}"
    );
    let peak = said.split("peak RSS ").nth(1).and_then(|rest| rest.split(", ").nth(1));
    let peak = peak.and_then(|text| text.split(" MiB (supervisor)").next()?.parse::<f64>().ok());
    Ok((time, (peak.context("no peak of the supervisor")? * f64::from(1 << 20)) as u64))
}
