//! What nobody takes out of a channel, and what a `Weak` pins: in statics as well, and behind pointers of
//! the standard library's own.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use watertight::Failed;
use watertight_report::model::HolderClass::Static;

use super::{Engine, Held, PAGE, Source, lock, source};

const SOURCE: Source = source!("queues.rs");
/// More than there are rounds: a full channel would keep nothing more.
const BOUND: usize = 4096;

pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("undrained_channel", SOURCE, &[Static], |_cx| {
            let message = vec![1; PAGE]; // MADE undrained_channel
            Ok(CHANNEL.get_or_init(unbounded).0.send(message)?)
        })
        .named(&["queues::CHANNEL"])
        .typed(&["OnceLock<", "Sender<", "Receiver<"])
        .through(&[".0"])
        .declared()
        .clean(|_cx| {
            let message = vec![1; PAGE];
            let (sender, receiver) = CHANNEL.get_or_init(unbounded);
            sender.send(message)?;
            received(&lock(receiver).recv()?)
        }),
        Held::new("undrained_sync_channel", SOURCE, &[Static], |_cx| {
            let message = vec![1; PAGE]; // MADE undrained_sync_channel
            Ok(BOUNDED.get_or_init(bounded).0.try_send(message)?)
        })
        .named(&["queues::BOUNDED"])
        .typed(&["OnceLock<", "SyncSender<", "Receiver<"])
        .through(&[".0"])
        .declared()
        .clean(|_cx| {
            let message = vec![1; PAGE];
            let (sender, receiver) = BOUNDED.get_or_init(bounded);
            sender.try_send(message)?;
            received(&lock(receiver).recv()?)
        }),
        Held::new("weak_pins", SOURCE, &[Static], |cx| {
            let engine = Arc::new(Engine::new(cx.round())); // MADE weak_pins
            lock(&OBSERVERS).push(Arc::downgrade(&engine));
            Ok(())
        })
        .named(&["queues::OBSERVERS"])
        .typed(&["Vec<", "Weak<", "Engine"])
        .declared()
        .clean(|cx| {
            let engine = Arc::new(Engine::new(cx.round()));
            let mut observers = lock(&OBSERVERS);
            observers.push(Arc::downgrade(&engine));
            drop(engine);
            observers.retain(|observer| observer.strong_count() > 0);
            Ok(())
        }),
    ]
}

type Message = Vec<u8>;
type Unbounded = (Sender<Message>, Mutex<Receiver<Message>>);
type Bounded = (SyncSender<Message>, Mutex<Receiver<Message>>);

static CHANNEL: OnceLock<Unbounded> = OnceLock::new(); // HELD undrained_channel
static BOUNDED: OnceLock<Bounded> = OnceLock::new(); // HELD undrained_sync_channel
static OBSERVERS: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new()); // HELD weak_pins

fn unbounded() -> Unbounded {
    let (sender, receiver) = channel();
    (sender, Mutex::new(receiver))
}

fn bounded() -> Bounded {
    let (sender, receiver) = sync_channel(BOUND);
    (sender, Mutex::new(receiver))
}

fn received(message: &Message) -> Result<(), Failed> {
    if message.len() == PAGE { Ok(()) } else { Err(Failed::new("another message")) }
}
