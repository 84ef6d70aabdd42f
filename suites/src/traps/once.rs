//! What is made once in a process and stays.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use memmap2::Mmap;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use rusqlite::Connection;
use watertight::{Case, Context, Failed};

use super::trap;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("state_built_on_first_use", state_built_on_first_use),
        trap("descriptor_opened_once", descriptor_opened_once),
        trap("file_mapped_once", file_mapped_once),
        trap("big_table_built_once", big_table_built_once),
        trap("signal_handler_installed_once", signal_handler_installed_once),
        trap("logger_whose_second_init_panics", |_cx| {
            assert!(LOGGER.set(vec![0; 4096]).is_ok(), "a logger has been set already");
            Ok(())
        }),
        trap("logger_whose_second_init_fails", |_cx| {
            LOGGER.set(vec![0; 4096]).map_err(|_| Failed::new("a logger has been set already"))
        }),
        trap("name_bound_once", name_bound_once),
        trap("database_opened_once", database_opened_once),
    ]
}

/// A logger for the whole process.
static LOGGER: OnceLock<Vec<u8>> = OnceLock::new();

/// Heap, a descriptor and a thread.
fn state_built_on_first_use(_cx: &Context) -> Result<(), Failed> {
    struct State {
        names: Vec<String>,
        random: std::io::Result<File>,
        worker: Mutex<Sender<u32>>,
    }
    static STATE: OnceLock<State> = OnceLock::new();
    let state = STATE.get_or_init(|| {
        let (worker, jobs) = channel::<u32>();
        thread::spawn(move || jobs.into_iter().sum::<u32>());
        State {
            names: (0..100).map(|number| format!("name {number}")).collect(),
            random: File::open("/dev/urandom"),
            worker: Mutex::new(worker),
        }
    });
    let Ok(mut random) = state.random.as_ref() else { return Err(Failed::new("no random")) };
    random.read_exact(&mut [0; 8])?;
    state.worker.lock().unwrap_or_else(PoisonError::into_inner).send(1)?;
    assert_eq!(state.names.len(), 100);
    Ok(())
}

fn descriptor_opened_once(_cx: &Context) -> Result<(), Failed> {
    static ZERO: OnceLock<std::io::Result<File>> = OnceLock::new();
    let Ok(mut zero) = ZERO.get_or_init(|| File::open("/dev/zero")).as_ref() else {
        return Err(Failed::new("no zero"));
    };
    Ok(zero.read_exact(&mut [0; 8])?)
}

fn file_mapped_once(_cx: &Context) -> Result<(), Failed> {
    static MAPPED: OnceLock<std::io::Result<Mmap>> = OnceLock::new();
    let mapped = MAPPED.get_or_init(|| {
        let file = File::open(MANIFEST)?;
        // SAFETY: nobody writes the file while it is mapped.
        unsafe { Mmap::map(&file) }
    });
    match mapped {
        Ok(mapped) if mapped.starts_with(b"[package]") => Ok(()),
        other => Err(Failed::new(format!("{other:?}"))),
    }
}

fn big_table_built_once(_cx: &Context) -> Result<(), Failed> {
    const ENTRIES: u32 = 20_000;
    static TABLE: OnceLock<HashMap<u32, String>> = OnceLock::new();
    let table = TABLE.get_or_init(|| (0..ENTRIES).map(|key| (key, key.to_string())).collect());
    assert_eq!(table.get(&7).map(String::as_str), Some("7"));
    Ok(())
}

fn signal_handler_installed_once(_cx: &Context) -> Result<(), Failed> {
    extern "C" fn nothing(_signal: i32) {}
    static INSTALLED: OnceLock<nix::Result<SigAction>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let handler = SigHandler::Handler(nothing);
        // SAFETY: the handler does nothing.
        unsafe {
            sigaction(
                Signal::SIGUSR1,
                &SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty()),
            )
        }
    });
    installed.as_ref().map_err(|errno| *errno)?;
    Ok(raise(Signal::SIGUSR1)?)
}

/// Its caches of pages and of statements fill up, and rows come and go.
#[expect(clippy::disallowed_methods, reason = "in memory, and one for the whole process")]
fn database_opened_once(cx: &Context) -> Result<(), Failed> {
    static DATABASE: OnceLock<rusqlite::Result<Mutex<Connection>>> = OnceLock::new();
    let open = || {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("CREATE TABLE rows (round INTEGER, text TEXT)")?;
        Ok(Mutex::new(connection))
    };
    let Ok(connection) = DATABASE.get_or_init(open) else { return Err(Failed::new("no database")) };
    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..50 {
        let mut insert = connection.prepare_cached("INSERT INTO rows VALUES (?1, ?2)")?;
        insert.execute((cx.round(), "a row"))?;
    }
    let query = format!("SELECT count(*) FROM rows WHERE round > {}", cx.round() % 5);
    connection.prepare_cached(&query)?.query_row([], |row| row.get::<_, i64>(0))?;
    connection.execute("DELETE FROM rows", ())?;
    Ok(())
}

/// A test that can run once only: the name is taken until the process ends.
fn name_bound_once(_cx: &Context) -> Result<(), Failed> {
    static BOUND: OnceLock<std::io::Result<UnixListener>> = OnceLock::new();
    let name = format!("watertight-traps-{}", std::process::id());
    let bind = || UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?);
    let mut is_new = false;
    let bound = BOUND.get_or_init(|| {
        is_new = true;
        bind()
    });
    match (bound, is_new) {
        (Ok(_), true) => Ok(()),
        (Ok(_), false) => Err(bind().err().map_or(Failed::new("it is free"), Failed::from)),
        (Err(error), _) => Err(Failed::new(error.to_string())),
    }
}
