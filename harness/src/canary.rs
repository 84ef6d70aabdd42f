//! Canaries: at the start of every run each probe is shown a planted leak in a throw-away child. The
//! check that the check ran: a probe that does not see its plant is blind, and blind is never clean.

pub(crate) mod holder;

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use watertight_report::model::{Canary, Resource, Unmeasured};

use crate::case::{Case, Net};
use crate::evidence::{OWN_ALLOCATOR, evidence};
use crate::explain::Namer;
use crate::failed::Failed;
use crate::judge::{Evidence, Growth, classify, heap_growth};
use crate::observe::{Observation, Purpose, Script, observe};
use crate::run::Run;
use crate::trial::Part;

/// The canary's number in place of a case's.
const CASE: u32 = u32::MAX;
/// Rounds of planting: heap needs one to warm up and three that agree.
const ROUNDS: u32 = 4;
/// How often everything was planted.
static PLANTED: AtomicI64 = AtomicI64::new(0);
/// Size of the planted mapping.
const MAPPED_BYTES: usize = 4096;
/// Size of the planted heap block, through the program's own allocator.
const BLOCK_BYTES: usize = 64;

/// The canary that a number stands for in place of a case's.
pub(crate) fn of(number: u32) -> Option<Case> {
    match number {
        CASE => Some(case()),
        holder::CASE => Some(holder::case()),
        _ => None,
    }
}

/// A case that leaks one of everything in every round.
fn case() -> Case {
    let mut case = declared();
    case.special = Some(CASE);
    case.allow(Resource::TimeWait, 0).rss_max(1)
}

#[cfg(feature = "tokio")]
fn declared() -> Case {
    Case::new_async("canary", 0, |_cx| {
        Box::pin(async {
            plant_task();
            plant()
        })
    })
}

#[cfg(not(feature = "tokio"))]
fn declared() -> Case {
    Case::new("canary", |_cx| plant())
}

#[cfg(feature = "tokio")]
#[expect(clippy::disallowed_methods, reason = "the planted leak")]
fn plant_task() {
    drop(tokio::spawn(std::future::pending::<()>()));
}

#[expect(clippy::disallowed_methods, reason = "the planted leaks")]
fn plant() -> Result<(), Failed> {
    PLANTED.fetch_add(1, Ordering::Relaxed);
    crate::gauge::gauge("canary", || PLANTED.load(Ordering::Relaxed));
    std::mem::forget(std::fs::File::open("/dev/null")?);
    std::mem::forget(std::net::UdpSocket::bind("127.0.0.1:0")?);
    std::mem::forget(vec![0u8; BLOCK_BYTES]);
    std::thread::Builder::new().name("canary".to_owned()).stack_size(64 * 1024).spawn(|| {
        loop {
            std::thread::park();
        }
    })?;
    plant_waiting_pair()?;
    plant_zombie();
    plant_kept()
}

/// What only stays or changes: a mapping, a locked and watched file, shared memory, a variable.
#[expect(clippy::disallowed_methods, reason = "the planted leaks")]
fn plant_kept() -> Result<(), Failed> {
    let path = path(std::process::id());
    // One that a killed run has left under the same number would only be opened.
    let _ = std::fs::remove_file(&path);
    let file = std::fs::File::create(&path).map_err(|error| {
        Failed::new(format!(
            "{}: {error}; set TMPDIR to a directory that can be written",
            path.display()
        ))
    })?;
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    watch.add_watch(&path, AddWatchFlags::IN_MODIFY)?;
    std::mem::forget(watch);
    // The locks of earlier rounds are on other descriptions of the same file.
    file.lock_shared()?;
    std::mem::forget(file);
    // SAFETY: a new anonymous mapping overwrites nothing.
    let map = unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), MAPPED_BYTES, prot, flags, -1, 0)
    };
    if map == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().into());
    }
    let _ = shm_unlink(&*shm_name(std::process::id()));
    drop(shm_open(
        &*shm_name(std::process::id()),
        OFlag::O_CREAT | OFlag::O_RDWR,
        Mode::S_IRUSR | Mode::S_IWUSR,
    )?);
    // SAFETY: the canary's other threads are parked and read no variable.
    unsafe { std::env::set_var("WATERTIGHT_CANARY", PLANTED.load(Ordering::Relaxed).to_string()) };
    Ok(())
}

/// The planted file, one for each process.
fn path(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{NAME}{pid}"))
}

/// The planted shared memory object.
fn shm_name(pid: u32) -> String {
    format!("/{NAME}{pid}")
}

/// Removes what the canary has left lying about on purpose, whatever was seen of it.
fn clear(seen: &Observation) {
    // The next canary has another name; one that stays is only untidy.
    let pid = seen.control.main.load(Ordering::Acquire);
    let _ = std::fs::remove_file(path(pid));
    let _ = shm_unlink(&*shm_name(pid));
}

/// How the names of planted files begin.
const NAME: &str = "watertight-canary-";

/// A connection that its client closes first.
fn plant_waiting_pair() -> Result<(), Failed> {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    drop(client);
    server.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A child that ends and is never waited for.
fn plant_zombie() {
    // SAFETY: the child calls only _exit, which is async-signal-safe.
    unsafe {
        if libc::fork() == 0 {
            libc::_exit(0);
        }
    }
}

/// Shows every probe its plant.
pub(crate) fn sing(run: &Run) -> Vec<Canary> {
    let mut case = case();
    if !run.subjects.may_be_private() {
        // The probes are shown their plants where the tests will be.
        case = case.net(Net::Host);
    }
    let seen = match observe(run, Script::Case(&case), Purpose::Canary { rounds: ROUNDS }) {
        Ok(seen) => seen,
        Err(error) => {
            let reason = format!("the canary's process could not be started: {error}");
            return PROBES.iter().map(|probe| Canary::blind(*probe, reason.clone())).collect();
        }
    };
    let part = Part::whole(&seen);
    let evidence = evidence(run, &case, &part, &Namer::silent());
    clear(&seen);
    let probes = PROBES.iter().filter(|probe| **probe != Resource::Task || cfg!(feature = "tokio"));
    probes
        .map(|probe| match saw(*probe, &evidence) {
            true => Canary::seen(*probe),
            false => Canary::blind(*probe, reason(*probe, &evidence, seen.message.as_deref())),
        })
        .collect()
}

const PROBES: [Resource; 15] = [
    Resource::Fd,
    Resource::Socket,
    Resource::Thread,
    Resource::Process,
    Resource::Heap,
    Resource::TimeWait,
    Resource::Memory,
    Resource::Task,
    Resource::Gauge,
    Resource::Mapping,
    Resource::File,
    Resource::Shm,
    Resource::InotifyWatch,
    Resource::Lock,
    Resource::State,
];

/// Whether a probe saw what was planted for it.
fn saw(probe: Resource, evidence: &Evidence) -> bool {
    let population = |resource: Resource| {
        evidence.populations.iter().any(|population| {
            population.resource == resource && classify(&population.series, 0, 1) == Growth::Leak
        })
    };
    match probe {
        Resource::Socket => {
            let fds =
                evidence.populations.iter().find(|population| population.resource == Resource::Fd);
            fds.is_some_and(|fds| fds.things.iter().any(|thing| thing.resource == Resource::Socket))
        }
        Resource::Process | Resource::File | Resource::Shm => {
            evidence.remains.iter().any(|remain| remain.resource == probe)
        }
        Resource::Lock | Resource::InotifyWatch | Resource::State => {
            evidence.kept.iter().any(|kept| kept.resource == probe)
        }
        Resource::Heap => {
            let budget = crate::case::Budget::default();
            evidence.heap.as_ref().is_some_and(|heap| heap_growth(heap, &budget) == Growth::Leak)
        }
        Resource::Memory => evidence.peak_bytes.is_some_and(|peak| peak > 1),
        other => population(other),
    }
}

/// Why a probe saw nothing.
fn reason(probe: Resource, evidence: &Evidence, message: Option<&str>) -> String {
    if let Some(known) = evidence.unmeasured.iter().find(|unmeasured| unmeasured.probe == probe) {
        return known.reason.clone();
    }
    if probe == Resource::Heap && evidence.heap.is_some() {
        return format!(
            "{OWN_ALLOCATOR}: the program's allocator bypasses malloc, so its blocks cannot be counted"
        );
    }
    let said = message.map_or_else(String::new, |message| format!("; its process said: {message}"));
    format!("its planted leak was not seen{said}")
}

/// Probes that did not see their plant are blind for the whole run.
pub(crate) fn believe(run: &Run, canaries: &[Canary]) {
    let mut blind = run.blind.lock().unwrap_or_else(PoisonError::into_inner);
    for canary in canaries.iter().filter(|canary| !canary.seen) {
        let reason = canary.reason.clone().unwrap_or_else(|| "its canary was not seen".to_owned());
        if !blind.iter().any(|known| known.probe == canary.probe) {
            blind.push(Unmeasured::new(canary.probe, reason));
        }
    }
}
