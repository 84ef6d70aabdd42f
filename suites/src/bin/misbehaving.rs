//! Cases that end as no test should, between others that do. Run by `tests/misbehaving.rs`.

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use watertight::{Case, Context, Failed, Suite};

/// What the one that hangs is given.
const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes that the loud one prints.
const LOUD_BYTES: usize = 10 << 20;
/// Descriptors that the greedy one may open.
const FDS_MAX: u64 = 200;

fn main() -> ExitCode {
    let case = |name: &str, body: fn(&Context) -> Result<(), Failed>| {
        Case::new(name, body).package(env!("CARGO_MANIFEST_DIR"))
    };
    Suite::new("misbehaving")
        .case(case("aborts", |_cx| std::process::abort()))
        .case(case("behaves_first", behaves))
        .case(case("blocks_its_second_round", blocks_its_second_round))
        .case(case("closes_everything", closes_everything))
        .case(case("daemonizes", daemonizes))
        .case(case("exhausts_descriptors", exhausts_descriptors))
        .case(case("exits", exits))
        .case(case("faults", faults))
        .case(case("hangs", hangs).deadline(DEADLINE))
        .case(case("hangs_loudly", hangs_loudly).deadline(DEADLINE))
        .case(case("killed", |_cx| Ok(raise(Signal::SIGKILL)?)))
        .case(case("leaves_a_survivor_on_stdout", leaves_a_survivor_on_stdout))
        .case(case("overflows_its_stack", |_cx| {
            std::hint::black_box(overflows(1));
            Ok(())
        }))
        .case(case("panics", |_cx| panic!("on purpose")))
        .case(case("prints_10_megabytes", prints))
        .case(case("prints_and_fails", |cx| {
            prints(cx)?;
            Err(Failed::new("after 10 MB"))
        }))
        .case(case("stops", stops).deadline(DEADLINE))
        .case(case("yet_another_behaves", behaves))
        .main()
}

fn behaves(_cx: &Context) -> Result<(), Failed> {
    File::open("/dev/null")?;
    Ok(())
}

fn exits(_cx: &Context) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "the misbehaviour")]
    std::process::exit(0)
}

/// Reads a page that must not be read. A signal sent by hand would not do: the standard library's
/// handler expects the fault to happen again.
fn faults(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let page = unsafe {
        mmap_anonymous(None, NonZeroUsize::MIN, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE)?
    };
    // SAFETY: the address is mapped and the read has no effect but the fault.
    let byte = unsafe { page.cast::<u8>().read_volatile() };
    Err(Failed::new(format!("it could be read: {byte}")))
}

fn hangs(_cx: &Context) -> Result<(), Failed> {
    loop {
        std::thread::park();
    }
}

fn hangs_loudly(_cx: &Context) -> Result<(), Failed> {
    loop {
        println!("still here");
    }
}

fn stops(_cx: &Context) -> Result<(), Failed> {
    Ok(raise(Signal::SIGSTOP)?)
}

fn overflows(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { overflows(depth + 1) + frame[1] }
}

/// Closes every descriptor, the harness's and the standard ones among them if it has any here.
fn closes_everything(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: nothing in this process uses a descriptor after this line.
    match unsafe { nix::libc::close_range(0, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// Keeps a lock that it will want again.
fn blocks_its_second_round(_cx: &Context) -> Result<(), Failed> {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| tempfile::tempfile().expect("a temporary file"));
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?; // LEAK lock
    again.lock()?;
    #[expect(clippy::disallowed_methods, reason = "the misbehaviour")]
    std::mem::forget(again);
    Ok(())
}

/// Takes every descriptor there is, and keeps them.
fn exhausts_descriptors(_cx: &Context) -> Result<(), Failed> {
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    setrlimit(Resource::RLIMIT_NOFILE, FDS_MAX, FDS_MAX)?;
    loop {
        let file = File::open("/dev/null")?; // LEAK
        TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(file);
    }
}

fn prints(_cx: &Context) -> Result<(), Failed> {
    let line = [b"0123456789abcde".as_slice(), b"\n"].concat();
    let mut out = std::io::stdout().lock();
    for _ in 0..LOUD_BYTES / line.len() {
        out.write_all(&line)?;
    }
    Ok(())
}

/// Leaves a process behind that holds the test's output open.
fn leaves_a_survivor_on_stdout(_cx: &Context) -> Result<(), Failed> {
    let mut command = Command::new("sleep");
    // `tests/swept.rs` knows its survivor by its argument.
    let seconds = std::env::var("MISBEHAVING_SECONDS").unwrap_or_else(|_| "1000".to_owned());
    command.arg(seconds).stdin(Stdio::null());
    #[expect(clippy::disallowed_methods, reason = "the misbehaviour")]
    command.spawn()?; // LEAK survivor
    Ok(())
}

/// The same in a session of its own, its parent gone: as daemons do.
fn daemonizes(_cx: &Context) -> Result<(), Failed> {
    let mut command = Command::new("setsid");
    command.args(["--fork", "sleep", "1000"]).stdin(Stdio::null());
    let status = command.status()?; // LEAK daemon
    match status.success() {
        true => Ok(()),
        false => Err(Failed::new(format!("setsid ended with {status}"))),
    }
}
