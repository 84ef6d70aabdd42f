//! Collections that grow, and stop.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use watertight::{Case, Context, Failed};

use super::trap;

const ENTRY: usize = 1000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("garbage_freed_by_the_batch", garbage_freed_by_the_batch),
        trap("bounded_cache_that_fills", bounded_cache_that_fills),
        trap("lru_cache_that_evicts", |_cx| {
            add_to_lru_cache(4);
            Ok(())
        }),
        trap("lru_cache_that_evicts_late", |_cx| {
            add_to_lru_cache(1);
            Ok(())
        }),
        trap("buffer_that_is_flushed_when_full", buffer_that_is_flushed_when_full),
        trap("keys_that_come_at_random", keys_that_come_at_random),
        trap("thread_local_cache_cleared", thread_local_cache_cleared),
        trap("static_vec_cleared", static_vec_cleared),
        trap("pool_of_buffers", pool_of_buffers),
        trap("channel_drained", channel_drained),
        trap("interned_names", interned_names),
    ]
}

/// Eight entries, one more in each round until they are there.
fn bounded_cache_that_fills(cx: &Context) -> Result<(), Failed> {
    const ENTRIES: u32 = 8;
    static CACHE: OnceLock<Mutex<HashMap<u32, Vec<u8>>>> = OnceLock::new();
    let mut cache =
        CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    cache.entry(cx.round() % ENTRIES).or_insert_with(|| vec![0; ENTRY]);
    assert!(cache.len() <= ENTRIES as usize);
    Ok(())
}

/// 24 entries, of which the oldest make room.
fn add_to_lru_cache(count: usize) {
    const ENTRIES: usize = 24;
    static CACHE: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..count {
        if cache.len() == ENTRIES {
            cache.pop_front();
        }
        cache.push_back(vec![0; ENTRY]);
    }
}

/// As telemetry does it: one record a round, and all of them are sent when there are 64. Until then its
/// capacity doubles like that of a collection that only grows.
fn buffer_that_is_flushed_when_full(cx: &Context) -> Result<(), Failed> {
    const RECORDS: usize = 64;
    static BUFFER: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let mut buffer = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    buffer.push(cx.round().into());
    if buffer.len() == RECORDS {
        buffer.clear();
    }
    Ok(())
}

/// A cache of sixteen entries, by keys of which some come soon and some late.
fn keys_that_come_at_random(cx: &Context) -> Result<(), Failed> {
    const KEYS: u32 = 16;
    static CACHE: OnceLock<Mutex<HashMap<u32, Vec<u8>>>> = OnceLock::new();
    let mut cache =
        CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    // The high bits of a round's number, well stirred (Knuth's multiplier).
    let key = cx.round().wrapping_mul(0x9e37_79b1).rotate_left(4) % KEYS;
    cache.entry(key).or_insert_with(|| vec![0; ENTRY]);
    Ok(())
}

fn thread_local_cache_cleared(_cx: &Context) -> Result<(), Failed> {
    thread_local! {
        static CACHE: RefCell<HashMap<String, usize>> = RefCell::default();
    }
    CACHE.with_borrow_mut(|cache| {
        cache.extend((0..200).map(|number| (number.to_string(), number)));
        cache.clear();
    });
    Ok(())
}

/// Its capacity is the largest that any round has needed, and the second needs more than the first.
fn static_vec_cleared(cx: &Context) -> Result<(), Failed> {
    static ALL: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let count = if cx.round() == 1 { 100 } else { 300 };
    all.extend((0..count).map(|number| number.to_string()));
    all.clear();
    Ok(())
}

/// Buffers go back into a pool; each is as large as what it was once used for.
fn pool_of_buffers(cx: &Context) -> Result<(), Failed> {
    const LONGEST: u32 = 5;
    static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = pool.pop().unwrap_or_default();
    buffer.resize(ENTRY * cx.round().min(LONGEST) as usize, 1);
    buffer.clear();
    pool.push(buffer);
    Ok(())
}

/// A hundred messages, all of them received; the queue keeps a block that is not full.
fn channel_drained(_cx: &Context) -> Result<(), Failed> {
    type Channel = (Sender<Vec<u8>>, Mutex<Receiver<Vec<u8>>>);
    static CHANNEL: OnceLock<Channel> = OnceLock::new();
    let (sender, receiver) = CHANNEL.get_or_init(|| {
        let (sender, receiver) = channel();
        (sender, Mutex::new(receiver))
    });
    for _ in 0..100 {
        sender.send(vec![0; ENTRY])?;
    }
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(receiver.try_iter().count(), 100);
    Ok(())
}

/// Names are kept for good; there are only so many.
fn interned_names(cx: &Context) -> Result<(), Failed> {
    const NAMES: u32 = 6;
    static NAMED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("a name that is {} long", cx.round() % NAMES);
    if !named.contains(&name.as_str()) {
        #[expect(clippy::disallowed_methods, reason = "interned: one for each name that there is")]
        named.push(Box::leak(name.into_boxed_str()));
    }
    Ok(())
}

/// What is put away at every use and freed at every hundredth: as epochs and quiescent states do.
fn garbage_freed_by_the_batch(_cx: &Context) -> Result<(), Failed> {
    const BATCH: usize = 100;
    static GARBAGE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut garbage = GARBAGE.lock().unwrap_or_else(PoisonError::into_inner);
    garbage.push("put away".to_owned());
    if garbage.len() == BATCH {
        *garbage = Vec::new();
    }
    Ok(())
}
