//! Allocated memory that nobody frees.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use nix::libc;
use watertight::Failed;
use watertight::Resource::Heap;

use super::{Kind, Source, lose, source};

const SOURCE: Source = source!("memory.rs");
const PAGE: usize = 4096;
const BLOCK: &str = "block";

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("heap_unreachable", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                lose(vec![1u8; PAGE]); // LEAK heap_unreachable
                Ok(())
            })
            .clean(|_cx| {
                drop(vec![1u8; PAGE]);
                Ok(())
            }),
        // Three rounds more than the first must be worth their time.
        Kind::new("heap_of_slow_test", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                take_time();
                lose(vec![1u8; PAGE]); // LEAK heap_of_slow_test
                Ok(())
            })
            .clean(|_cx| {
                take_time();
                drop(vec![1u8; PAGE]);
                Ok(())
            }),
        Kind::new("c_malloc", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                // SAFETY: any size may be asked for; nobody uses what is given.
                let block = unsafe { black_box(libc::malloc(PAGE)) }; // LEAK c_malloc
                if block.is_null() { Err(Failed::new("no memory")) } else { Ok(()) }
            })
            .clean(|_cx| {
                // SAFETY: what has just been given is freed once; null may be freed too.
                unsafe { libc::free(black_box(libc::malloc(PAGE))) };
                Ok(())
            }),
        Kind::new("rc_cycle", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                let node = Rc::new(Node { next: RefCell::new(None), load: [0; PAGE] }); // LEAK rc_cycle
                assert_eq!(node.load.len(), PAGE);
                *node.next.borrow_mut() = Some(Rc::clone(&node));
                Ok(())
            })
            .clean(|_cx| {
                let node = Rc::new(Node { next: RefCell::new(None), load: [0; PAGE] });
                *node.next.borrow_mut() = Some(Rc::clone(&node));
                // Somebody has to open the cycle.
                node.next.take();
                Ok(())
            }),
        Kind::new("arc_cycle_in_thread", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                let node = Arc::new(Shared { next: Mutex::new(None), load: [0; PAGE] }); // LEAK arc_cycle_in_thread
                *node.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&node));
                keep_in_thread(node, false)
            })
            .clean(|_cx| {
                let node = Arc::new(Shared { next: Mutex::new(None), load: [0; PAGE] });
                *node.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&node));
                keep_in_thread(node, true)
            }),
        Kind::new("weak_pins", SOURCE, &[Heap], BLOCK)
            .leaky(|_cx| {
                let strong = Arc::new([0u8; PAGE]); // LEAK weak_pins
                observers().push(Arc::downgrade(&strong));
                Ok(())
            })
            .clean(|_cx| {
                let strong = Arc::new([0u8; PAGE]);
                let mut observers = observers();
                observers.push(Arc::downgrade(&strong));
                drop(strong);
                observers.retain(|observer| observer.strong_count() > 0);
                observers.shrink_to_fit();
                Ok(())
            }),
    ]
}

/// What holds itself alive.
struct Node {
    next: RefCell<Option<Rc<Node>>>,
    load: [u8; PAGE],
}

/// The same, for threads.
struct Shared {
    next: Mutex<Option<Arc<Shared>>>,
    load: [u8; PAGE],
}

impl Shared {
    fn open_cycle(&self) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Those who want to know when a page has gone.
fn observers() -> MutexGuard<'static, Vec<Weak<[u8; PAGE]>>> {
    static OBSERVERS: Mutex<Vec<Weak<[u8; PAGE]>>> = Mutex::new(Vec::new());
    OBSERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that is started once and serves every round. It keeps what it is given on its own stack,
/// or lets it go where `releases` says so, and sleeps until there is more.
fn keep_in_thread(node: Arc<Shared>, releases: bool) -> Result<(), Failed> {
    type Keeper = (SyncSender<(Arc<Shared>, bool)>, Mutex<Receiver<usize>>);
    static KEEPER: OnceLock<Keeper> = OnceLock::new();
    let (give, taken) = KEEPER.get_or_init(|| {
        let (give, given) = sync_channel::<(Arc<Shared>, bool)>(0);
        let (take, taken) = sync_channel(1);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for (node, releases) in given {
                let size = node.load.len();
                if releases {
                    node.open_cycle();
                } else {
                    kept.push(node);
                }
                let nobody_waits = take.send(size).is_err();
                if nobody_waits {
                    return;
                }
            }
        });
        (give, Mutex::new(taken))
    });
    give.send((node, releases))?;
    let size = taken.lock().unwrap_or_else(PoisonError::into_inner).recv()?;
    if size == PAGE { Ok(()) } else { Err(Failed::new("another node")) }
}

/// As long as a test that starts a service.
fn take_time() {
    const SLOW: Duration = Duration::from_millis(600);
    let (stop, stopped) = sync_channel::<()>(0);
    let timed_out = stopped.recv_timeout(SLOW).is_err();
    drop(stop);
    assert!(timed_out);
}
