//! What nothing points to any more, or only what is lost itself.

use std::cell::RefCell;
use std::ffi::CString;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use watertight::{Context, Failed};
use watertight_report::model::HolderClass::{Cycle, Lost};

use super::{Engine, Held, PAGE, Source, lock, source};
use crate::kinds::lose;

const SOURCE: Source = source!("lost.rs");

// Of two closures that are the same to the byte an optimiser keeps one, with the line of either: so the
// twins of those here fill their blocks with something else.
pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("rc_cycle_of_two", SOURCE, &[Cycle], |_cx| {
            let [first, second] = [1; 2].map(|byte| Rc::new(Node::new(byte))); // MADE rc_cycle_of_two
            first.points_to(&second);
            second.points_to(&first);
            Ok(())
        })
        .clean(|_cx| {
            let [first, second] = [2; 2].map(|byte| Rc::new(Node::new(!byte)));
            first.points_to(&second);
            second.points_to(&first);
            // Somebody has to open the cycle.
            first.next.take();
            Ok(())
        })
        .through(&[".next", ".next"]),
        Held::new("arc_cycle_of_three", SOURCE, &[Cycle], |_cx| {
            let nodes = [1; 3].map(|byte| Arc::new(Shared::new(byte))); // MADE arc_cycle_of_three
            Shared::join(&nodes);
            Ok(())
        })
        .clean(|_cx| {
            let nodes = [2; 3].map(|byte| Arc::new(Shared::new(!byte)));
            Shared::join(&nodes);
            lock(&nodes[0].next).take();
            Ok(())
        })
        .through(&[".next", ".next", ".next"]),
        Held::new("rc_cycle_of_one", SOURCE, &[Cycle], |_cx| {
            let node = Rc::new(Node::new(1)); // MADE rc_cycle_of_one
            node.points_to(&node);
            Ok(())
        })
        .clean(|_cx| {
            let node = Rc::new(Node::new(2));
            node.points_to(&node);
            node.next.take();
            Ok(())
        })
        .through(&[".next"]),
        Held::new("forgotten_box", SOURCE, &[Lost], |cx| {
            lose(Box::new(Engine::new(cx.round()))); // MADE forgotten_box
            Ok(())
        })
        .clean(|cx| {
            drop(black_box(Box::new(Engine::new(cx.round()))));
            Ok(())
        }),
        Held::new("leaked_vec", SOURCE, &[Lost], leak_a_vec).clean(|_cx| {
            drop(black_box(vec![1_u8; PAGE]).into_boxed_slice());
            Ok(())
        }),
        Held::new("c_string_into_raw", SOURCE, &[Lost], |_cx| {
            let text = CString::new(vec![b'x'; PAGE])?; // MADE c_string_into_raw
            black_box(text.into_raw());
            Ok(())
        })
        .clean(|_cx| {
            let text = CString::new(vec![b'x'; PAGE])?;
            // SAFETY: it was made by `CString::into_raw`, and its length is what it was.
            drop(unsafe { CString::from_raw(black_box(text.into_raw())) });
            Ok(())
        }),
        Held::new("arc_into_raw", SOURCE, &[Lost], |cx| {
            let engine = Arc::new(Engine::new(cx.round())); // MADE arc_into_raw
            black_box(Arc::into_raw(engine));
            Ok(())
        })
        .clean(|cx| {
            let engine = Arc::into_raw(Arc::new(Engine::new(cx.round())));
            // SAFETY: it was made by `Arc::into_raw`.
            drop(unsafe { Arc::from_raw(black_box(engine)) });
            Ok(())
        }),
        Held::new("inside_forgotten_box", SOURCE, &[Lost], |cx| {
            let inner = Box::new(Engine::new(cx.round())); // MADE inside_forgotten_box
            let outer = Box::new(Outer { _inner: inner, _load: [2; PAGE] }); // AROUND inside_forgotten_box
            lose(outer);
            Ok(())
        })
        .inside_another()
        .through(&["._inner"])
        .clean(|cx| {
            let inner = Box::new(Engine::new(cx.round()));
            drop(black_box(Box::new(Outer { _inner: inner, _load: [2; PAGE] })));
            Ok(())
        }),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the planted leak")]
fn leak_a_vec(_cx: &Context) -> Result<(), Failed> {
    let pages = vec![1_u8; PAGE]; // MADE leaked_vec
    black_box(Box::leak(pages.into_boxed_slice()));
    Ok(())
}

/// A node of a cycle.
struct Node {
    next: RefCell<Option<Rc<Node>>>,
    _load: [u8; PAGE],
}

impl Node {
    fn new(byte: u8) -> Self {
        Self { next: RefCell::new(None), _load: [byte; PAGE] }
    }

    fn points_to(&self, other: &Rc<Node>) {
        *self.next.borrow_mut() = Some(black_box(Rc::clone(other)));
    }
}

/// The same, for threads.
struct Shared {
    next: Mutex<Option<Arc<Shared>>>,
    _load: [u8; PAGE],
}

impl Shared {
    fn new(byte: u8) -> Self {
        Self { next: Mutex::new(None), _load: [byte; PAGE] }
    }

    /// Has each point to the next, and the last to the first.
    fn join(nodes: &[Arc<Self>]) {
        for (node, next) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
            *lock(&node.next) = Some(black_box(Arc::clone(next)));
        }
    }
}

/// What holds another block, and is forgotten with it.
struct Outer {
    _inner: Box<Engine>,
    _load: [u8; PAGE],
}
