//! Local variables of threads that wait and never return.

use std::sync::Arc;
use std::sync::mpsc::channel;

use watertight_report::model::HolderClass::{Local, Stack};

use super::{Desk, Engine, Held, PAGE, Source, Worker, source};

const SOURCE: Source = source!("stacks.rs");

// An optimiser may keep a variable in a register that a deeper frame saves, and line tables do not name
// any: then the thread's stack is all that can be said.
pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("local_of_waiting_thread", SOURCE, &[Local, Stack], |_cx| KEEPER.once())
            .named(&["kept"])
            .typed(&["Vec<", "Arc<", "Engine"])
            .of_thread("held-keeper")
            .declared()
            .clean(|_cx| GIVER.once()),
        Held::new("chain_of_waiting_thread", SOURCE, &[Local, Stack], |_cx| LINKER.once())
            .named(&["newest"])
            .typed(&["Option<", "Arc<", "Link"])
            .of_thread("held-linker")
            .declared(),
        Held::new("receiver_of_waiting_thread", SOURCE, &[Local, Stack], |_cx| SLEEPER.once())
            // Both ends lead to the messages.
            .named(&["unread", "sender"])
            .typed(&["er<Vec<u8>>"])
            .of_thread("held-sleeper")
            .declared()
            .clean(|_cx| READER.once()),
    ]
}

static KEEPER: Worker = Worker::new("held-keeper", keep);
static GIVER: Worker = Worker::new("held-giver", keep_for_a_moment);
static LINKER: Worker = Worker::new("held-linker", link);
static SLEEPER: Worker = Worker::new("held-sleeper", receive_and_sleep);
static READER: Worker = Worker::new("held-reader", receive_and_read);

/// The first round's number: what is in them does not matter.
const ROUND: u32 = 1;

fn keep(mut desk: Desk) {
    let mut kept = Vec::new();
    loop {
        // Whoever has been told that the last thing is done finds the thread here.
        let goes_on = desk.next(); // HELD local_of_waiting_thread
        if !goes_on {
            break;
        }
        let engine = Arc::new(Engine::new(ROUND)); // MADE local_of_waiting_thread
        kept.push(engine);
    }
    assert!(kept.iter().all(|engine| engine.is_of(ROUND)));
}

fn keep_for_a_moment(mut desk: Desk) {
    let mut kept = Vec::new();
    while desk.next() {
        let engine = Arc::new(Engine::new(ROUND));
        kept.push(engine);
        assert!(kept.pop().is_some_and(|engine| engine.is_of(ROUND)));
    }
}

/// What comes after something older, and keeps it.
struct Link {
    older: Option<Arc<Link>>,
    engine: Engine,
}

fn link(mut desk: Desk) {
    let mut newest: Option<Arc<Link>> = None;
    loop {
        let goes_on = desk.next(); // HELD chain_of_waiting_thread
        if !goes_on {
            break;
        }
        let older = newest.take();
        newest = Some(Arc::new(Link { older, engine: Engine::new(ROUND) })); // MADE chain_of_waiting_thread
    }
    // One by one: each would end the next in its own end, and the stack with it.
    while let Some(link) = newest {
        assert!(link.engine.is_of(ROUND));
        newest = link.older.clone();
    }
}

fn receive_and_sleep(mut desk: Desk) {
    let (sender, unread) = channel::<Vec<u8>>();
    loop {
        let goes_on = desk.next(); // HELD receiver_of_waiting_thread
        if !goes_on {
            break;
        }
        let message = vec![1; PAGE]; // MADE receiver_of_waiting_thread
        assert!(sender.send(message).is_ok());
    }
    assert!(unread.try_iter().all(|message| message.len() == PAGE));
}

fn receive_and_read(mut desk: Desk) {
    let (sender, unread) = channel::<Vec<u8>>();
    while desk.next() {
        let message = vec![1; PAGE];
        assert!(sender.send(message).is_ok());
        assert!(unread.recv().is_ok_and(|message| message.len() == PAGE));
    }
}
