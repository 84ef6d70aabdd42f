//! Collections in statics that only grow.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};

use watertight::{Context, Failed};
use watertight_report::model::HolderClass::Static;

use super::{Engine, Held, PAGE, Source, lock, source};

const SOURCE: Source = source!("statics.rs");

pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("map_in_lazy_lock", SOURCE, &[Static], |cx| {
            let engine = Arc::new(Engine::new(cx.round())); // MADE map_in_lazy_lock
            lock(&ENGINES).insert(cx.round(), engine);
            Ok(())
        })
        .named(&["statics::ENGINES"])
        .typed(&["LazyLock<", "HashMap<", "Arc<", "Engine"])
        .declared()
        .clean(|cx| {
            let engine = Arc::new(Engine::new(cx.round()));
            lock(&ENGINES).insert(cx.round(), engine);
            let removed = lock(&ENGINES).remove(&cx.round());
            expect(removed.is_some_and(|engine| engine.is_of(cx.round())))
        }),
        Held::new("boxes_in_a_struct", SOURCE, &[Static], |cx| {
            let book = Box::new(Engine::new(cx.round())); // MADE boxes_in_a_struct
            lock(&LIBRARY).shelves.push(Shelf { _label: cx.round(), book });
            Ok(())
        })
        .named(&["statics::LIBRARY"])
        .typed(&["Mutex<Library>"])
        .declared()
        .through(&[".shelves", ".book"])
        .clean(|cx| {
            let book = Box::new(Engine::new(cx.round()));
            let mut library = lock(&LIBRARY);
            library.shelves.push(Shelf { _label: cx.round(), book });
            expect(library.shelves.pop().is_some_and(|shelf| shelf.book.is_of(cx.round())))
        }),
        Held::new("vec_in_once_lock", SOURCE, &[Static], |cx| {
            let entry = Engine::new(cx.round()).page.to_vec(); // MADE vec_in_once_lock
            lock(LOG.get_or_init(Mutex::default)).push(entry);
            Ok(())
        })
        .named(&["statics::LOG"])
        .typed(&["OnceLock<", "Vec<"])
        .declared()
        .clean(|cx| {
            let entry = Engine::new(cx.round()).page.to_vec();
            let mut log = lock(LOG.get_or_init(Mutex::default));
            log.push(entry);
            expect(log.pop().is_some_and(|entry| entry.len() == PAGE))
        }),
        Held::new("static_in_function", SOURCE, &[Static], |_cx| {
            let session = vec![1; PAGE]; // MADE static_in_function
            sessions().push(session);
            Ok(())
        })
        .named(&["sessions::SESSIONS"])
        .typed(&["Mutex<", "Vec<"])
        .declared()
        .clean(|_cx| {
            let session = vec![1; PAGE];
            sessions().push(session);
            expect(sessions().pop().is_some())
        }),
        Held::new("btree_map", SOURCE, &[Static], |cx| {
            let page = vec![1; PAGE]; // MADE btree_map
            lock(&INDEX).insert(cx.round(), page);
            Ok(())
        })
        .named(&["statics::INDEX"])
        .typed(&["BTreeMap<", "Vec<"])
        .declared()
        .clean(|cx| {
            let page = vec![1; PAGE];
            let mut index = lock(&INDEX);
            index.insert(cx.round(), page);
            expect(index.pop_first().is_some())
        }),
        Held::new("vec_deque", SOURCE, &[Static], |_cx| {
            let page = vec![1; PAGE]; // MADE vec_deque
            lock(&QUEUE).push_back(page);
            Ok(())
        })
        .named(&["statics::QUEUE"])
        .typed(&["VecDeque<", "Vec<"])
        .declared()
        .clean(|_cx| {
            let page = vec![1; PAGE];
            lock(&QUEUE).push_back(page);
            expect(lock(&QUEUE).pop_front().is_some())
        }),
        Held::new("intrusive_list", SOURCE, &[Static], |_cx| {
            let node = Box::new(Node { next: HEAD.load(Acquire), load: [1; PAGE] }); // MADE intrusive_list
            HEAD.store(Box::into_raw(node), Release);
            Ok(())
        })
        .named(&["statics::HEAD"])
        .typed(&["Atomic", "Node"])
        .declared()
        .clean(push_and_pop),
        Held::new("boxed_closures", SOURCE, &[Static], |cx| {
            let engine = Engine::new(cx.round());
            let hook = Box::new(move |round| engine.is_of(round)); // MADE boxed_closures
            lock(&HOOKS).push(hook);
            Ok(())
        })
        .named(&["statics::HOOKS"])
        .typed(&["Vec<", "Box<", "dyn", "Fn"])
        .declared()
        .clean(|cx| {
            let engine = Engine::new(cx.round());
            lock(&HOOKS).push(Box::new(move |round| engine.is_of(round)));
            expect(lock(&HOOKS).pop().is_some_and(|hook| hook(cx.round())))
        }),
    ]
}

static ENGINES: LazyLock<Mutex<HashMap<u32, Arc<Engine>>>> = LazyLock::new(Mutex::default); // HELD map_in_lazy_lock
static LOG: OnceLock<Mutex<Vec<Vec<u8>>>> = OnceLock::new(); // HELD vec_in_once_lock
static INDEX: Mutex<BTreeMap<u32, Vec<u8>>> = Mutex::new(BTreeMap::new()); // HELD btree_map
static QUEUE: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new()); // HELD vec_deque
static HEAD: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut()); // HELD intrusive_list
static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new()); // HELD boxed_closures
static LIBRARY: Mutex<Library> = Mutex::new(Library { shelves: Vec::new() }); // HELD boxes_in_a_struct

/// What has fields on the way.
struct Library {
    shelves: Vec<Shelf>,
}

struct Shelf {
    _label: u32,
    book: Box<Engine>,
}

type Hook = Box<dyn Fn(u32) -> bool + Send>;

/// A list whose links lie in its entries.
struct Node {
    next: *mut Node,
    load: [u8; PAGE],
}

fn sessions() -> MutexGuard<'static, Vec<Vec<u8>>> {
    static SESSIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new()); // HELD static_in_function
    lock(&SESSIONS)
}

fn push_and_pop(_cx: &Context) -> Result<(), Failed> {
    let node = Box::new(Node { next: HEAD.load(Acquire), load: [1; PAGE] });
    HEAD.store(Box::into_raw(black_box(node)), Release);
    // SAFETY: it was made by `Box::into_raw` above, and no other thread knows the list.
    let node = unsafe { Box::from_raw(HEAD.load(Acquire)) };
    HEAD.store(node.next, Release);
    expect(node.load.len() == PAGE)
}

/// A twin that did not get back what it had put in has released something else.
fn expect(holds: bool) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed::new("it is not what was put in")) }
}
