//! What is to be merged: the run records of all ledgers, and what they make together.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use watertight_report::ledger::{Envelope, Kind, Lines};
use watertight_report::model::{Canary, Resource, Run, Shard};

use crate::exit::Usage;
use crate::shards::Shards;

/// How a trial begins as it is written. Such a line is no run record, and needs no look before its turn.
const TRIAL: &[u8] = br#"{"type":"trial","#;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 256 << 10;

/// One ledger to be merged.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Its length when it was surveyed: what is written meanwhile is not merged.
    pub(super) bytes: u64,
    /// Which shard it says that it is, if one.
    pub(super) shard: Option<Shard>,
    runs: Vec<Run>,
    /// Of its length, its first line and its run records.
    digest: u64,
}

/// All ledgers to be merged.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) parts: Vec<Part>,
    /// The id of the whole.
    pub(super) id: String,
    /// The record of the whole; none where no part has one.
    pub(super) run: Option<Run>,
    /// What is wrong with the parts.
    pub(super) faults: Vec<String>,
}

impl Survey {
    /// Looks at the ledgers at `paths`.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(super) fn of(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut faults = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        for part in look_at_all(paths)? {
            match parts.iter().find(|known| known.is_same(&part)) {
                Some(known) => faults.push(format!(
                    "{} holds the same as {}: it is taken once; name every ledger once",
                    part.path.display(),
                    known.path.display()
                )),
                None => parts.push(part),
            }
        }
        let mut shards = Shards::default();
        parts.iter().flat_map(|part| &part.runs).for_each(|run| shards.add(run));
        faults.extend(shards.incomplete());
        faults.extend(shards.differences());
        faults.extend(parts.iter().filter(|part| part.runs.is_empty()).map(|part| {
            format!(
                "{} has no run record, so nobody knows whether its probes could see: give the whole ledger",
                part.shown()
            )
        }));
        let id = id(&parts);
        let run = whole(&parts, &id, shards.are_whole());
        Ok(Self { parts, id, run, faults })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// Two threads look at every other ledger each; what they find is in the order of `paths`.
fn look_at_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Part>> {
    let look = |first: usize| {
        paths.iter().skip(first).step_by(2).map(|path| Part::look_at(path)).collect::<Vec<_>>()
    };
    let (even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| look(1));
        (look(0), odd.join())
    });
    let odd = odd.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (mut even, mut odd) = (even.into_iter(), odd.into_iter());
    (0..paths.len()).filter_map(|at| if at % 2 == 0 { even.next() } else { odd.next() }).collect()
}

impl Part {
    fn look_at(path: &Path) -> anyhow::Result<Self> {
        let unread =
            || format!("cannot read the ledger {}; leave it out, or see who may", path.display());
        let data = fs::metadata(path).with_context(unread)?;
        if !data.is_file() {
            // It is read twice.
            let what = "is no regular file; write what it gives to one, and name that";
            return Err(Usage(format!("{} {what}", path.display())).into());
        }
        let bytes = data.len();
        let mut digest = DefaultHasher::new();
        bytes.hash(&mut digest);
        let mut runs = Vec::new();
        let file = File::open(path).with_context(unread)?;
        let mut lines = Lines::new(BufReader::with_capacity(READ_BYTES, file.take(bytes)));
        let mut line = Vec::new();
        let mut is_first = true;
        while let Some(read) = lines.read_next(&mut line) {
            // What is broken is said when its turn comes.
            if std::mem::take(&mut is_first) || !line.starts_with(TRIAL) {
                line.hash(&mut digest);
            }
            if let Ok(number) = read
                && !line.starts_with(TRIAL)
                && let Ok(envelope) = Envelope::read(&line, number)
                && let Kind::Run(run) = envelope.kind()
            {
                runs.push(Run::clone(run));
            }
            line.clear();
        }
        let shard = runs.iter().find_map(|run| run.shard);
        Ok(Self { path: path.to_owned(), bytes, shard, runs, digest: digest.finish() })
    }

    /// Whether both hold the same, to the byte. The digest is only a reason to look.
    fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && same_bytes(&self.path, &other.path).unwrap_or(false)
    }
}

fn same_bytes(a: &Path, b: &Path) -> std::io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        of_a.clear();
        of_b.clear();
        let read = (&mut a).take(READ_BYTES as u64).read_to_end(&mut of_a)?;
        (&mut b).take(READ_BYTES as u64).read_to_end(&mut of_b)?;
        if of_a != of_b || read == 0 {
            return Ok(of_a == of_b);
        }
    }
}

/// The id of the whole: the same parts, in whatever order, make the same.
fn id(parts: &[Part]) -> String {
    let mut digests: Vec<u64> = parts.iter().map(|part| part.digest).collect();
    digests.sort_unstable();
    let mut hasher = DefaultHasher::new();
    digests.hash(&mut hasher);
    format!("merged-{:016x}", hasher.finish())
}

/// The record of the whole: the first part's facts, and the canaries of all.
fn whole(parts: &[Part], id: &str, are_whole: bool) -> Option<Run> {
    let mut runs = parts.iter().flat_map(|part| &part.runs);
    let mut whole = runs.next()?.clone();
    for run in runs {
        whole.started_ms = whole.started_ms.min(run.started_ms);
        whole.swept.extend_from_slice(&run.swept);
    }
    id.clone_into(&mut whole.run);
    whole.canaries = canaries(parts);
    if are_whole {
        // What is not whole stays the shard that it was: whoever judges it must not take it for all.
        whole.shard = None;
    } else if whole.shard.is_none() {
        whole.shard = parts.iter().find_map(|part| part.shard);
    }
    Some(whole)
}

/// A probe has seen its canary only where it has in every part; else the reason names those where it has not.
fn canaries(parts: &[Part]) -> Vec<Canary> {
    let mut blind: BTreeMap<Resource, Vec<String>> = BTreeMap::new();
    for run in parts.iter().flat_map(|part| &part.runs) {
        for canary in &run.canaries {
            blind.entry(canary.probe).or_default();
        }
    }
    for (probe, reasons) in &mut blind {
        for part in parts {
            let mut why = |why: &str| reasons.push(format!("{}: {why}", part.shown()));
            if part.runs.is_empty() {
                why("it has no run record, so its canaries did not run");
            }
            for run in &part.runs {
                match run.canaries.iter().find(|canary| canary.probe == *probe) {
                    Some(canary) if canary.seen => {}
                    Some(canary) => why(canary.reason.as_deref().unwrap_or("not seen")),
                    None => why("its canaries did not include this one"),
                }
            }
        }
    }
    let canary = |(probe, reasons): (Resource, Vec<String>)| match reasons.is_empty() {
        true => Canary::seen(probe),
        false => Canary::blind(probe, reasons.join("; ")),
    };
    blind.into_iter().map(canary).collect()
}
