//! What `merge` costs beside `cat`, which is the floor: so many ledgers of sharded jobs into one.
//!
//! ```text
//! cargo bench -p cargo-watertight --bench merge [-- SHARDS TRIALS]     # 200 of 5,000, about 1 KB each
//! ```
//!
//! Prints both times, their ratio, and the most memory that the merge had.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use watertight_report::metric;
use watertight_report::model::{
    Canary, Finding, Frame, Part, Reading, Record, Resource, Run, Shard, Status, Trial, Verdict,
};

const SHARDS: u32 = 200;
const TRIALS: u32 = 5_000;
/// One trial in so many leaves something, and has a stack.
const LEAVES_SOMETHING: u32 = 20;

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let shards = numbers.next().unwrap_or(SHARDS);
    let trials = numbers.next().unwrap_or(TRIALS);
    let folder = tempfile::tempdir()?;
    let ledgers = (1..=shards)
        .map(|index| write(folder.path(), Shard::new(index, shards), trials))
        .collect::<Result<Vec<PathBuf>>>()?;
    let bytes = ledgers.iter().map(|path| Ok(path.metadata()?.len())).sum::<Result<u64>>()?;
    println!(
        "{} ledgers of {} trials: {}, {} a line",
        metric::count(shards.into()),
        metric::count(trials.into()),
        metric::bytes(bytes),
        metric::bytes(bytes / u64::from(shards * (trials + 1)))
    );
    let merged = folder.path().join("merged.jsonl");
    let mut merge = Command::new(env!("CARGO_BIN_EXE_cargo-watertight"));
    let merge_time = time(merge.arg("merge").arg("-o").arg(&merged).args(&ledgers))?;
    // The largest of all children, and there has been only this one.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as u64 * 1024;
    let joined = File::create(folder.path().join("joined.jsonl"))?;
    let cat_time = time(Command::new("cat").args(&ledgers).stdout(joined))?;
    println!(
        "merge {:.2} s, cat {:.2} s, ratio {:.1}; peak RSS {}",
        merge_time.as_secs_f64(),
        cat_time.as_secs_f64(),
        merge_time.as_secs_f64() / cat_time.as_secs_f64(),
        metric::bytes(peak)
    );
    Ok(())
}

fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status().with_context(|| format!("{command:?}"))?;
    let took = start.elapsed();
    ensure!(status.success(), "{:?} ended with {status}", command.get_program());
    Ok(took)
}

/// A ledger as a job writes it.
fn write(folder: &Path, shard: Option<Shard>, trials: u32) -> Result<PathBuf> {
    let index = shard.map_or(0, |shard| shard.index);
    let path = folder.join(format!("shard-{index:03}.jsonl"));
    let mut out = BufWriter::new(File::create(&path)?);
    let mut run = Run::default();
    run.schema = watertight_report::model::SCHEMA;
    run.run = format!("1f0c-{index}-88231");
    run.tool_version = env!("CARGO_PKG_VERSION").to_owned();
    run.profile = "ci".to_owned();
    run.canaries =
        [Resource::Fd, Resource::Socket, Resource::Thread, Resource::Heap].map(Canary::seen).into();
    run.shard = shard;
    line(&mut out, &Record::Run(run.clone()))?;
    for number in 0..trials {
        line(&mut out, &Record::Trial(Box::new(trial(&run, index, number))))?;
    }
    out.flush()?;
    Ok(path)
}

fn line(out: &mut impl std::io::Write, record: &Record) -> Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    Ok(out.write_all(b"\n")?)
}

fn trial(run: &Run, shard: u32, number: u32) -> Trial {
    let mut trial = Trial::default();
    (trial.schema, trial.run) = (run.schema, run.run.clone());
    trial.suite = format!("suite-{}", number % 40);
    trial.case = format!("module_{}::part_{shard}::behaves_as_it_should_{number}", number % 7);
    (trial.rounds, trial.duration_ms) = (2, u64::from(number % 90));
    for name in [
        metric::FD,
        metric::SOCKET,
        metric::THREAD,
        metric::TASK,
        metric::TIME_WAIT,
        metric::PROCESS,
    ] {
        let mut reading = Reading::new(3, 3 + u64::from(number % 3));
        reading.per_round = vec![i64::from(number % 3), 0];
        trial.readings.insert(name.to_owned(), reading);
    }
    for name in [metric::HEAP_BYTES, metric::HEAP_BLOCKS, metric::RSS_BYTES] {
        let mut reading = Reading::new(48_113, 48_113 + u64::from(number));
        reading.per_round = vec![i64::from(number), 0, 0];
        reading.peak = Some(91_226_112);
        trial.readings.insert(name.to_owned(), reading);
    }
    trial.notes = vec![
        "A private network namespace was refused (EPERM); TIME_WAIT was measured by port pairs."
            .to_owned(),
    ];
    if number.is_multiple_of(LEAVES_SOMETHING) {
        let mut finding = Finding::leak(Resource::Fd, format!("/tmp/.tmp{number}/tracker.db"), 2);
        finding.status = Status::Accepted;
        finding.site = Some(Frame::new("src/store.rs", 31, "app::store::Store::open"));
        finding.stack = (0..12)
            .map(|at| {
                Frame::new(
                    format!("src/layer_{at}.rs"),
                    at + 7,
                    format!("app::layer_{at}::call::{{{{closure}}}}"),
                )
            })
            .collect();
        finding.parts = vec![
            Part::new(Resource::Fd, "/tmp/tracker.db", 2),
            Part::new(Resource::Heap, "12 blocks", 4096),
        ];
        trial.findings.push(finding);
        trial.verdict = Verdict::Tolerated;
    }
    trial
}
