//! Collections that only grow: everything in them can still be reached, and nobody ever will.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use watertight::Failed;
use watertight::Resource::Heap;

use super::{Kind, Source, source};

const SOURCE: Source = source!("collections.rs");
const BLOCK: &str = "block";
/// Bytes of one entry.
const ENTRY: usize = 512;
/// Entries that one round adds.
const ENTRIES: usize = 40;

type Entry = Vec<u8>;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("registry", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                for _ in 0..ENTRIES {
                    registry().push(vec![0; ENTRY]); // LEAK registry
                }
                Ok(())
            })
            .clean(|_cx| {
                for _ in 0..ENTRIES {
                    registry().push(vec![0; ENTRY]);
                }
                *registry() = Vec::new();
                Ok(())
            }),
        Kind::new("unbounded_cache", SOURCE, &[Heap], BLOCK)
            .leaky(|cx| {
                for number in 0..ENTRIES {
                    let answer = vec![0; ENTRY]; // LEAK unbounded_cache
                    cache().insert((cx.round(), number), answer);
                }
                Ok(())
            })
            .clean(|cx| {
                for number in 0..ENTRIES {
                    let answer = vec![0; ENTRY];
                    let mut cache = cache();
                    // Bounded: the entry of the round before makes room.
                    cache.remove(&(cx.round() - 1, number));
                    cache.insert((cx.round(), number), answer);
                }
                Ok(())
            }),
        Kind::new("undrained_channel", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                for _ in 0..ENTRIES {
                    std_channel().0.send(vec![0; ENTRY])?; // LEAK undrained_channel
                }
                Ok(())
            })
            .clean(|_cx| {
                for _ in 0..ENTRIES {
                    std_channel().0.send(vec![0; ENTRY])?;
                    drop(std_channel().1.lock().unwrap_or_else(PoisonError::into_inner).recv()?);
                }
                Ok(())
            }),
        Kind::new("undrained_tokio_channel", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                for _ in 0..ENTRIES {
                    tokio_channel().0.send(vec![0; ENTRY])?; // LEAK undrained_tokio_channel
                }
                Ok(())
            })
            .clean(|_cx| {
                let mut receiver = tokio_channel().1.lock().unwrap_or_else(PoisonError::into_inner);
                for _ in 0..ENTRIES {
                    tokio_channel().0.send(vec![0; ENTRY])?;
                    drop(receiver.blocking_recv().ok_or(Failed::new("the channel is closed"))?);
                }
                Ok(())
            }),
    ]
}

fn registry() -> MutexGuard<'static, Vec<Entry>> {
    static REGISTRY: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers by round and number.
fn cache() -> MutexGuard<'static, HashMap<(u32, usize), Entry>> {
    static CACHE: OnceLock<Mutex<HashMap<(u32, usize), Entry>>> = OnceLock::new();
    CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn std_channel() -> &'static (Sender<Entry>, Mutex<Receiver<Entry>>) {
    static CHANNEL: OnceLock<(Sender<Entry>, Mutex<Receiver<Entry>>)> = OnceLock::new();
    CHANNEL.get_or_init(|| {
        let (sender, receiver) = channel();
        (sender, Mutex::new(receiver))
    })
}

fn tokio_channel() -> &'static (UnboundedSender<Entry>, Mutex<UnboundedReceiver<Entry>>) {
    static CHANNEL: OnceLock<(UnboundedSender<Entry>, Mutex<UnboundedReceiver<Entry>>)> =
        OnceLock::new();
    CHANNEL.get_or_init(|| {
        let (sender, receiver) = unbounded_channel();
        (sender, Mutex::new(receiver))
    })
}
