//! The agent's object itself: what it may ask of the dynamic linker, and what it takes over.

use std::fs;

use object::elf::{DT_NEEDED, DT_TEXTREL, PF_W, PF_X, PT_TLS, SHT_GNU_VERNEED};
use object::read::elf::{
    Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _,
};
use object::{Endianness, Object as _, ObjectSymbol as _};

use crate::preload::Agent;

/// Everything that the agent defines in the place of the C library, by file of `harness/agent`.
/// What is new here was added on purpose.
const HOOKS: &[&[&str]] = &[
    // fd.rs
    &[
        "shm_open",
        "signalfd",
        "dup2",
        "dup3",
        "fcntl",
        "fcntl64",
        "pipe",
        "pipe2",
        "socketpair",
        "fopen",
        "fopen64",
        "tmpfile",
        "tmpfile64",
        "fclose",
        "opendir",
        "closedir",
        "close",
        "close_range",
        "posix_openpt",
        "socket",
        "dup",
        "epoll_create",
        "epoll_create1",
        "eventfd",
        "timerfd_create",
        "inotify_init",
        "inotify_init1",
        "memfd_create",
        "pidfd_open",
        "open",
        "open64",
        "__open_2",
        "__open64_2",
        "openat",
        "openat64",
        "__openat_2",
        "__openat64_2",
        "creat",
        "creat64",
        "mkstemp",
        "mkstemp64",
        "mkostemp",
        "mkostemp64",
        "mkstemps",
        "mkostemps",
    ],
    // heap.rs
    &[
        "malloc",
        "calloc",
        "free",
        "realloc",
        "reallocarray",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
    ],
    // lock.rs
    &["flock", "lockf", "lockf64"],
    // mapping.rs
    &["mmap", "mmap64", "munmap", "mremap"],
    // net.rs
    &["accept", "accept4", "connect", "shutdown", "recvmsg"],
    // path.rs
    &[
        "mkdtemp",
        "bind",
        "sem_open",
        "mkdir",
        "mkdirat",
        "mkfifo",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
    ],
    // process.rs
    &["fork", "posix_spawn", "posix_spawnp", "execve", "execv", "execvp", "execvpe", "dlclose"],
    // shell.rs
    &["system", "popen"],
    // shm.rs
    &["shmget"],
    // state.rs
    &[
        "setenv",
        "unsetenv",
        "clearenv",
        "putenv",
        "chdir",
        "fchdir",
        "umask",
        "setrlimit",
        "setrlimit64",
        "prlimit",
        "prlimit64",
        "sigaction",
        "signal",
        "sigprocmask",
        "pthread_sigmask",
    ],
    // thread.rs
    &["pthread_create"],
    // watch.rs
    &["inotify_add_watch"],
];

/// What the harness and the compiler ask for.
const OTHERS: &[&str] = &["watertight_agent_control", "rust_eh_personality"];

/// What the dynamic linker binds by name: dlsym, by which all else is looked up, and what the compiler
/// puts in the place of loops.
const IMPORTS: [&str; 5] = ["dlsym", "memcpy", "memmove", "memset", "strlen"];

#[test]
fn asks_for_nothing_and_exports_what_is_meant() {
    let bytes = fs::read(&Agent::find().path).expect("the agent's file");
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an ELF object");
    let endian = file.endian();
    let header = file.elf_header();

    for segment in header.program_headers(endian, &*bytes).expect("segments") {
        assert_ne!(segment.p_type(endian), PT_TLS, "no thread-local storage");
        let flags = segment.p_flags(endian);
        assert!(!flags.contains(PF_W) || !flags.contains(PF_X), "a segment to write to and to run");
        let entries = segment.dynamic(endian, &*bytes).expect("the dynamic section");
        for entry in entries.into_iter().flatten() {
            let tag = entry.d_tag(endian);
            assert_ne!(tag, DT_NEEDED, "no library is needed");
            assert_ne!(tag, DT_TEXTREL, "its code is shared");
        }
    }
    for section in header.section_headers(endian, &*bytes).expect("sections") {
        assert_ne!(section.sh_type(endian), SHT_GNU_VERNEED, "no symbol of a certain version");
    }

    let mut meant: Vec<&str> = HOOKS.iter().copied().flatten().chain(OTHERS).copied().collect();
    let (mut exported, mut imported) = (Vec::new(), Vec::new());
    for symbol in file.dynamic_symbols() {
        let name = symbol.name().expect("a name");
        if symbol.is_definition() { exported.push(name) } else { imported.push(name) }
    }
    meant.sort_unstable();
    exported.sort_unstable();
    assert_eq!(exported, meant);
    imported.sort_unstable();
    assert_eq!(imported, IMPORTS);
}
