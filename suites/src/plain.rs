//! Plain projects in `suites/projects`, which know nothing of the harness:
//!
//! | project | what its tests do |
//! |---|---|
//! | `leaky` | leave one thing of each kind that can be counted, beside twins that release it |
//! | `habits` | look as if they leaked, and do not |
//! | `outcomes` | end in every way there is; those that end the whole binary are ignored unless asked for |
//! | `held` | leave memory behind, forgotten or still held by somebody |
//! | `targets` | are in every sort of target that cargo tests |
//!
//! Here is what `leaky` leaves, and who removes it from the machine. Each leak has its twin,
//! `<test>_released`; every other test of the project is clean as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::shm_unlink;
use watertight::Resource::{
    self, Fd, File, InotifyWatch, Lock, Mapping, Process, Shm, Socket, State, Thread, TimeWait,
};

use crate::ledger::marked;

/// Where the projects are.
const PROJECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/projects");

/// A project's folder.
pub fn project(name: &str) -> PathBuf {
    Path::new(PROJECTS).join(name)
}

/// One leak in a test of the project `leaky`.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The test as libtest names it.
    pub test: &'static str,
    /// What it leaks; several entries where that is more than one thing.
    pub resource: Resource,
    /// What the name of the leaked thing contains.
    pub what: &'static str,
    /// The source file that makes it, in the project.
    pub file: &'static str,
    mark: &'static str,
}

impl Planted {
    /// The line that makes it.
    ///
    /// # Panics
    /// Where the file cannot be read, or no line or more than one has the mark.
    pub fn line(&self) -> u32 {
        let path = project("leaky").join(self.file);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        marked(&text, &format!("leaks here: {}", self.mark))
    }

    /// The test that does the same and releases it.
    pub fn twin(&self) -> String {
        format!("{}_released", self.test)
    }
}

/// A test, what it leaks, and what the name of that contains.
type Leak = (&'static str, Resource, &'static str);

const DESCRIPTORS: [Leak; 12] = [
    ("descriptors::fd_file", Fd, "leaky/Cargo.toml"),
    ("descriptors::fd_deleted_file", Fd, "(deleted)"),
    ("descriptors::fd_memfd", Fd, "memfd:leaky"),
    ("descriptors::fd_pipe", Fd, "pipe:"),
    ("descriptors::fd_eventfd", Fd, "[eventfd]"),
    ("descriptors::fd_epoll", Fd, "[eventpoll]"),
    ("descriptors::fd_timerfd", Fd, "[timerfd]"),
    ("descriptors::fd_signalfd", Fd, "[signalfd]"),
    ("descriptors::fd_inotify", Fd, "inotify"),
    ("descriptors::fd_received", Fd, "leaky/Cargo.toml"),
    ("descriptors::inotify_watch", InotifyWatch, "inotify watch on /"),
    ("descriptors::inotify_watch's instance", Fd, "inotify"),
];

const SOCKETS: [Leak; 5] = [
    ("sockets::socket_tcp_client", Socket, "tcp 127.0.0.1:"),
    ("sockets::socket_tcp_listener", Socket, "tcp listener 127.0.0.1:"),
    ("sockets::socket_unix", Socket, "unix"),
    ("sockets::socket_close_wait", Socket, "(close_wait)"),
    ("sockets::time_wait", TimeWait, "tcp port "),
];

const MAPPINGS: [Leak; 2] = [
    ("mappings::mapping_anonymous", Mapping, "anonymous"),
    ("mappings::mapping_file", Mapping, "leaky/Cargo.toml"),
];

const PROCESSES: [Leak; 3] = [
    ("processes::thread_parked", Thread, "leaky-parked"),
    ("processes::process_outlives", Process, "sleep 301"),
    ("processes::process_zombie", Process, "true"),
];

const STATE: [Leak; 5] = [
    ("state::environment_variable", State, "LEAKY_LEFT_BEHIND"),
    ("state::working_directory", State, "working directory"),
    ("state::umask", State, "umask"),
    ("state::rlimit", State, "RLIMIT_NOFILE"),
    ("state::signal_handler", State, "SIGUSR1"),
];

const PROGRAM: [Leak; 1] = [("tests::socket_of_the_program", Socket, "udp 127.0.0.1:")];

const FILES: [Leak; 3] = [
    ("files::temporary_file", File, "-file"),
    ("files::temporary_directory", File, "-directory/"),
    ("files::socket_file", File, "-socket"),
];

const LOCKS: [Leak; 3] = [
    ("locks::lock_flock", Lock, "flock"),
    ("locks::lock_record", Lock, "/integration-"),
    ("locks::lock_ofd", Lock, "/integration-"),
];

const SHARED: [Leak; 3] = [
    ("shm::shm_posix", Shm, "/dev/shm/leaky-"),
    ("shm::shm_sysv", Shm, "SysV"),
    ("shm::semaphore", Shm, "/dev/shm/sem.leaky-"),
];

/// Every leak of the project `leaky`.
pub fn planted() -> Vec<Planted> {
    let files: [(&'static str, &[Leak]); 9] = [
        ("src/descriptors.rs", &DESCRIPTORS),
        ("src/sockets.rs", &SOCKETS),
        ("src/mappings.rs", &MAPPINGS),
        ("src/processes.rs", &PROCESSES),
        ("src/state.rs", &STATE),
        ("src/main.rs", &PROGRAM),
        ("tests/integration/files.rs", &FILES),
        ("tests/integration/locks.rs", &LOCKS),
        ("tests/integration/shm.rs", &SHARED),
    ];
    let entry = |file, (name, resource, what): &Leak| {
        // A second thing that a test leaks is marked with the test's name and its own.
        let test = name.split_once('\'').map_or(*name, |(test, _)| test);
        let mark = name.rsplit_once("::").map_or(*name, |(_, mark)| mark);
        Planted { test, resource: *resource, what, file, mark }
    };
    let entries = |(file, leaks): (&'static str, &'static [Leak])| {
        leaks.iter().map(move |leak| entry(file, leak))
    };
    files.into_iter().flat_map(entries).collect()
}

/// The variable that gives the project `leaky` the number of a run.
pub const RUN: &str = "LEAKY_RUN";

/// Removes the shared memory that a run with that number has left on the machine.
///
/// # Errors
/// Where something is there and cannot be removed.
pub fn sweep(run: u32) -> io::Result<()> {
    let prefixes = [format!("leaky-{run}-"), format!("sem.leaky-{run}-")];
    for entry in fs::read_dir("/dev/shm")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            shm_unlink(format!("/{name}").as_str())?;
        }
    }
    for id in segments(&fs::read_to_string("/proc/sysvipc/shm")?, (1 << 20) + run) {
        // SAFETY: this command takes no buffer.
        Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// The segments of that size without a key (proc(5), `/proc/sysvipc/shm`: key, id, permissions, size).
fn segments(text: &str, bytes: u32) -> Vec<i32> {
    let segment = |line: &str| {
        let mut words = line.split_whitespace();
        let (key, id, _, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (key == "0" && size.parse() == Ok(bytes)).then(|| id.parse().ok()).flatten()
    };
    text.lines().filter_map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leak_has_one_marked_line_and_every_mark_is_in_the_table() {
        let planted = planted();
        for leak in &planted {
            assert!(leak.line() > 0, "{leak:?}");
        }
        let mut files: Vec<&str> = planted.iter().map(|leak| leak.file).collect();
        files.dedup();
        let marks = files.into_iter().map(|file| {
            let text = fs::read_to_string(project("leaky").join(file)).unwrap();
            text.matches("// leaks here: ").count()
        });
        assert_eq!(marks.sum::<usize>(), planted.len());
    }

    #[test]
    fn every_leaking_test_has_its_twin() {
        for leak in planted() {
            let text = fs::read_to_string(project("leaky").join(leak.file)).unwrap();
            let (_, test) = leak.test.rsplit_once("::").unwrap();
            let twin = format!("{test}_released");
            for function in [test, &twin] {
                assert!(text.contains(&format!("fn {function}()")), "{function}");
            }
        }
    }

    #[test]
    fn segments_are_known_by_their_size() {
        let text = "       key      shmid perms                  size  cpid\n         0     360497   600               1070566 21990\n1258294491     196611   600               1070566  3291\n";
        assert_eq!(segments(text, 1_070_566), [360_497]);
    }
}
