//! A run: one `cargo test` or `cargo nextest run`, over all its processes. Who we are, where we write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use watertight_report::ledger::{self, Ledger, LedgerError};
use watertight_report::model::{Host, Resource, Run as RunRecord, SCHEMA, Shard, Unmeasured};

use crate::agent::Agent;
use crate::canary;
use crate::config::Config;
use crate::home::{self, Home};
use crate::judge::is_once_initialiser;
use crate::probe::file::Places;
use crate::probe::process;
use crate::region::RegionMap;
use crate::rehearsal;
use crate::slots::Slots;
use crate::subject::{Spawn, Subject};
use crate::symbol::{Symbolizer, workspace};
use crate::unedited::Program;
use crate::unedited::ends::CleanEnds;

/// Whose trials a supervisor runs.
pub(crate) struct Subjects {
    /// The suite's name.
    pub(crate) suite: String,
    /// The test binary.
    pub(crate) program: PathBuf,
    /// What a person types to run the suite again, where it is not cargo's own command.
    pub(crate) command: Option<String>,
    /// The binary, where it has not a line for us, and how many of its tests may run at once.
    pub(crate) unedited: Option<(Program, Slots)>,
}

impl Subjects {
    /// Whether any of them may ask for a network of its own.
    pub(crate) fn may_be_private(&self) -> bool {
        self.unedited.as_ref().is_none_or(|(program, _)| program.is_private())
    }

    /// The cases of this very binary.
    pub(crate) fn own(suite: &str) -> Self {
        let program = std::env::current_exe().unwrap_or_default();
        Self { suite: suite.to_owned(), program, command: None, unedited: None }
    }
}

/// The supervisor's own state for the length of its process.
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) subjects: Subjects,
    pub(crate) ledger: Ledger,
    pub(crate) config: Config,
    /// The day on which it runs, in UTC.
    pub(crate) today: Date,
    /// The agent, or why there is none.
    pub(crate) agent: Result<Agent, String>,
    /// Where its trials have their directories.
    pub(crate) home: Home,
    pub(crate) symbols: Mutex<Symbolizer>,
    /// Trials hold it shared; what must be alone holds it exclusively (explain runs, repeats of
    /// unsettled trials).
    pub(crate) alone: RwLock<()>,
    /// Where things that are left are held against a test.
    pub(crate) places: Places,
    /// Why no trial can have a network of its own; empty before that was tried.
    pub(crate) net_refused: OnceLock<Option<String>>,
    /// Probes that did not see their canary.
    pub(crate) blind: Mutex<Vec<Unmeasured>>,
    /// Why holders cannot be told; empty before that was tried.
    pub(crate) holders_blind: OnceLock<Option<String>>,
    /// How tests end that keep nothing, where the program is not ours.
    pub(crate) clean_ends: Option<CleanEnds>,
    /// Process ids of the main processes that are running now.
    pub(crate) running: Arc<Mutex<Vec<u32>>>,
    /// Set by Ctrl-C or SIGTERM.
    pub(crate) cancelled: AtomicBool,
    /// Print output as it comes.
    pub(crate) stream: bool,
}

impl Run {
    /// Opens this process's part of the run.
    ///
    /// # Errors
    /// A message that says what could not be written and what to set.
    pub(crate) fn open(subjects: Subjects, stream: bool, config: Config) -> Result<Self, String> {
        let id = run_id();
        let ledger = open_ledger(&id, &subjects.program).map_err(|error| {
            format!(
                "the ledger cannot be written: {error}; set WATERTIGHT_LEDGER to a file that can"
            )
        })?;
        let home = Home::open()?;
        Ok(Self {
            id,
            clean_ends: subjects.unedited.as_ref().map(|(program, _)| home.clean_ends(program)),
            places: Places::new(project_directories(&subjects.program), home::own_directories()),
            subjects,
            ledger,
            config,
            today: Timestamp::now().to_zoned(TimeZone::UTC).date(),
            agent: home.agent(),
            home,
            symbols: Mutex::new(Symbolizer::new()),
            alone: RwLock::new(()),
            net_refused: OnceLock::new(),
            blind: Mutex::new(Vec::new()),
            holders_blind: OnceLock::new(),
            running: Arc::default(),
            cancelled: AtomicBool::new(false),
            stream,
        })
    }

    /// Starts a main process and enters it among those that run, at once: whoever reaps orphans
    /// must never meet one that is not entered.
    pub(crate) fn start(&self, spawn: Spawn<'_>) -> io::Result<Subject> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = Subject::spawn(spawn)?;
        running.push(subject.pid);
        Ok(subject)
    }

    /// A main process has ended and was reaped.
    pub(crate) fn ended(&self, pid: u32) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|running| *running != pid);
    }

    /// The run's first line.
    pub(crate) fn record(&self) -> RunRecord {
        let mut record = facts(&self.id, &self.config.profile);
        record.net_refused = self.net_refused().map(str::to_owned);
        record.shard = std::env::var("WATERTIGHT_SHARD").ok().and_then(|text| shard(&text));
        record
    }

    /// Whether a stack passes through a once-initialiser, as the program's symbols tell: cheaper than its
    /// debug information, and in doubt not.
    pub(crate) fn is_once(&self, region: &RegionMap, program: &Path, stack: u32) -> bool {
        let (modules, addresses) = (region.modules(program), region.stack(stack));
        let mut symbols = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let mut functions = addresses.iter().filter_map(|it| symbols.function(&modules, *it));
        functions.any(|function| is_once_initialiser(&function))
    }

    /// Why no trial can have a network of its own: tried by the run's first process, and told to the others by
    /// its record.
    pub(crate) fn net_refused(&self) -> Option<&str> {
        let try_it = || rehearsal::rehearse().map(|errno| errno.to_string());
        self.net_refused.get_or_init(try_it).as_deref()
    }

    /// Why holders cannot be told in this run: tried before the first one is asked for.
    pub(crate) fn holders_blind(&self) -> Option<&str> {
        self.holders_blind.get_or_init(|| canary::holder::sing(self)).as_deref()
    }

    /// What no trial of this run can measure.
    pub(crate) fn blind_probes(&self) -> Vec<Unmeasured> {
        let mut blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(reason) = &self.agent
            && !blind.iter().any(|unmeasured| unmeasured.probe == Resource::Heap)
        {
            blind.push(Unmeasured::new(Resource::Heap, reason.clone()));
        }
        blind
    }
}

/// `2/5`: the second of five.
fn shard(text: &str) -> Option<Shard> {
    let (index, count) = text.split_once('/')?;
    Shard::new(index.parse().ok()?, count.parse().ok()?)
}

/// Whether a probe (or the agent) is switched off by `WATERTIGHT_BLIND`: an internal switch with which
/// the tests prove that a blind probe is never green.
pub(crate) fn is_blinded(name: &str) -> bool {
    std::env::var("WATERTIGHT_BLIND")
        .is_ok_and(|blind| blind.split(',').any(|blinded| blinded == name))
}

/// The run that this process belongs to: nextest's, a given one, cargo's, or this process alone.
fn run_id() -> String {
    for name in ["WATERTIGHT_RUN", "NEXTEST_RUN_ID"] {
        if let Ok(id) = std::env::var(name)
            && !id.is_empty()
        {
            return id;
        }
    }
    let parent = std::os::unix::process::parent_id();
    let of_cargo = process::stat(parent).is_ok_and(|stat| stat.name.starts_with("cargo"));
    let owner = if of_cargo { parent } else { std::process::id() };
    // The start time in ticks since boot is too short to tell apart runs of two boots; the boot does.
    let started = process::stat(owner).map(|stat| stat.started).unwrap_or(0);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = boot.get(..4).unwrap_or("none");
    format!("{boot}-{owner}-{started}")
}

fn open_ledger(id: &str, program: &Path) -> Result<Ledger, LedgerError> {
    if let Some(path) = std::env::var_os("WATERTIGHT_LEDGER").filter(|path| !path.is_empty()) {
        return Ledger::open(PathBuf::from(path));
    }
    let path = ledger::path_in(target_directory(program), id);
    let ledger = Ledger::open(&path)?;
    ledger::point_latest(&path)?;
    if let Some(folder) = path.parent() {
        // Old ledgers that cannot be removed are no reason not to test.
        let _ = ledger::keep_last(folder, ledger::KEPT, &path);
    }
    Ok(ledger)
}

/// cargo's target directory: the binary lies in `<target>/<profile>/deps`.
fn target_directory(program: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let marked = program.ancestors().skip(1).find(|path| path.join("CACHEDIR.TAG").exists());
    marked.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// The workspace that is tested, and where cargo builds it. Files there are the project's own affair.
fn project_directories(program: &Path) -> Vec<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let workspace = package.map(|package| workspace(&package));
    workspace.into_iter().chain([target_directory(program)]).collect()
}

/// A run's first line, as far as it is of any run.
pub(crate) fn facts(id: &str, profile: &str) -> RunRecord {
    let mut record = RunRecord::default();
    record.schema = SCHEMA;
    record.run = id.to_owned();
    record.started_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    record.tool_version = env!("CARGO_PKG_VERSION").to_owned();
    record.profile = profile.to_owned();
    record.host = host();
    record
}

/// Host facts for the record.
fn host() -> Host {
    let mut host = Host::default();
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    host.kernel = sysinfo::System::kernel_version().unwrap_or_default();
    host.os = sysinfo::System::long_os_version().unwrap_or_default();
    host.arch = sysinfo::System::cpu_arch();
    host.cpus = std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u64);
    host.memory_bytes = system.total_memory();
    host.fd_limit = descriptor_limit();
    host.cgroup_memory_bytes = group_memory_limit();
    host
}

/// The control group's memory limit in bytes, where there is one (cgroup v2, `memory.max`).
fn group_memory_limit() -> Option<u64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

/// What memory may be used in all: the control group's limit, or the machine's memory.
pub(crate) fn memory_limit() -> u64 {
    group_memory_limit().unwrap_or_else(|| host().memory_bytes)
}

/// The soft limit on descriptors.
pub(crate) fn descriptor_limit() -> u64 {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .map_or(0, |(soft, _)| soft)
}
