//! Blocks of C's and of an asynchronous runtime's: whoever allocates them knows nothing of Rust's types, or
//! nothing of the line that asked for them.

use std::future::pending;
use std::mem::size_of;
use std::ptr;
use std::sync::{Mutex, OnceLock};

use nix::libc;
use rusqlite::Connection;
use tokio::runtime::{Builder, Runtime};
use watertight::{Context, Failed};
use watertight_report::model::HolderClass::{Cycle, Lost, Static};

use super::{Held, PAGE, Source, lock, source};
use crate::kinds::lose;

const SOURCE: Source = source!("c_and_runtimes.rs");

pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("list_of_c", SOURCE, &[Static], |_cx| {
            // SAFETY: this process has no other thread that knows the list.
            unsafe { push() }
        })
        .named(&["c_and_runtimes::C_LIST"])
        .typed(&["Entry"])
        .declared()
        .clean(|_cx| {
            // SAFETY: as above.
            unsafe {
                push_for_a_moment()?;
                pop();
            }
            Ok(())
        }),
        Held::new("sqlite_in_static", SOURCE, &[Static], keep_a_connection)
            .named(&["c_and_runtimes::CONNECTIONS"])
            .typed(&["Vec<", "Connection"])
            .declared()
            .clean(keep_a_connection_for_a_moment),
        // Its own parts point to each other: to say that they are a cycle is as right.
        Held::new("forgotten_sqlite", SOURCE, &[Lost, Cycle], forget_a_connection)
            .clean(close_a_connection),
        Held::new("endless_task", SOURCE, &[Static], |_cx| {
            let task = wait_for_ever([1; PAGE]);
            runtime()?.spawn(task); // MADE endless_task
            Ok(())
        })
        .named(&["runtime::RUNTIME"])
        .typed(&["OnceLock<", "Runtime"])
        .declared()
        .clean(|_cx| {
            let task = runtime()?.spawn(async { [1; PAGE].len() });
            let length = runtime()?.block_on(task)?;
            if length == PAGE { Ok(()) } else { Err(Failed::new("another task")) }
        }),
        Held::new("forgotten_runtime", SOURCE, &[Lost, Cycle], |_cx| {
            let runtime = Builder::new_current_thread().build()?; // MADE forgotten_runtime
            lose(runtime);
            Ok(())
        })
        .clean(|_cx| {
            drop(Builder::new_current_thread().build()?);
            Ok(())
        }),
    ]
}

/// A structure as C has it.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    load: [u8; PAGE],
}

static mut C_LIST: *mut Entry = ptr::null_mut(); // HELD list_of_c

/// Puts an entry first.
///
/// # Safety
/// No other thread uses the list meanwhile.
unsafe fn push() -> Result<(), Failed> {
    // SAFETY: any size may be asked for.
    let entry = unsafe { libc::malloc(size_of::<Entry>()) }; // MADE list_of_c
    // SAFETY: the caller's promise; malloc's memory is aligned for it.
    unsafe { put_first(entry.cast()) }
}

/// The same for what is taken out again.
///
/// # Safety
/// That of [`push`].
unsafe fn push_for_a_moment() -> Result<(), Failed> {
    // SAFETY: any size may be asked for.
    let entry = unsafe { libc::malloc(size_of::<Entry>()) };
    // SAFETY: the caller's promise; malloc's memory is aligned for it.
    unsafe { put_first(entry.cast()) }
}

/// # Safety
/// `entry` is null or as large as one; no other thread uses the list meanwhile.
unsafe fn put_first(entry: *mut Entry) -> Result<(), Failed> {
    if entry.is_null() {
        return Err(Failed::new("no memory"));
    }
    // SAFETY: the caller's promise.
    unsafe {
        entry.write(Entry { next: C_LIST, load: [1; PAGE] });
        C_LIST = entry;
    }
    Ok(())
}

/// Takes the first away.
///
/// # Safety
/// The list has one, and no other thread uses it meanwhile.
unsafe fn pop() {
    // SAFETY: the caller's promise.
    unsafe {
        let first = C_LIST;
        assert_eq!((*first).load.len(), PAGE);
        C_LIST = (*first).next;
        libc::free(first.cast());
    }
}

static CONNECTIONS: Mutex<Vec<Connection>> = Mutex::new(Vec::new()); // HELD sqlite_in_static

#[expect(clippy::disallowed_methods, reason = "the planted leak")]
fn keep_a_connection(_cx: &Context) -> Result<(), Failed> {
    let connection = Connection::open_in_memory()?; // MADE sqlite_in_static
    lock(&CONNECTIONS).push(connection);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a connection of this test's own, closed below")]
fn keep_a_connection_for_a_moment(_cx: &Context) -> Result<(), Failed> {
    let connection = Connection::open_in_memory()?;
    let mut connections = lock(&CONNECTIONS);
    connections.push(connection);
    connections.clear();
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the planted leak")]
fn forget_a_connection(_cx: &Context) -> Result<(), Failed> {
    let connection = Connection::open_in_memory()?; // MADE forgotten_sqlite
    lose(connection);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a connection of this test's own, closed below")]
fn close_a_connection(_cx: &Context) -> Result<(), Failed> {
    let connection = Connection::open_in_memory()?;
    Ok(connection.close().map_err(|(_, error)| error)?)
}

/// A runtime that is started once and serves every round.
fn runtime() -> Result<&'static Runtime, Failed> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new(); // HELD endless_task
    let start =
        || Builder::new_multi_thread().worker_threads(1).thread_name("held-runtime").build();
    match RUNTIME.get_or_init(start) {
        Ok(runtime) => Ok(runtime),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

async fn wait_for_ever(load: [u8; PAGE]) {
    pending::<()>().await;
    // It lies in the task as long as this may still run.
    assert_eq!(load.len(), PAGE);
}
