//! The canary of holders: before the first explain run that asks who holds what, five blocks are planted, each
//! with a holder of another class. Where one of them is told wrongly, nobody's holder is told at all.
//!
//! The plants are known by their sizes, so that the check needs no debug information.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use watertight_report::model::HolderClass;

use crate::case::{Case, Net};
use crate::explain::Namer;
use crate::failed::Failed;
use crate::holder::Holders;
use crate::observe::{Purpose, Script, Waits, observe};
use crate::run::Run;

/// Its number in place of a case's.
pub(super) const CASE: u32 = u32::MAX - 2;
/// Rounds of planting: a holder of the blocks of one round alone would only be possible.
const ROUNDS: u32 = 2;

/// The plants: the bytes asked for, which no other block has, and the classes that are right.
const PLANTS: [(usize, &[HolderClass]); 5] = [
    (SIZE_STATIC, &[HolderClass::Static]),
    (SIZE_THREAD_LOCAL, &[HolderClass::ThreadLocal]),
    (SIZE_LOCAL, &[HolderClass::Local, HolderClass::Stack]),
    (SIZE_CYCLE, &[HolderClass::Cycle]),
    (SIZE_LOST, &[HolderClass::Lost]),
];
const SIZE_STATIC: usize = 30_008;
const SIZE_THREAD_LOCAL: usize = 30_104;
const SIZE_LOCAL: usize = 30_200;
const SIZE_CYCLE: usize = 30_296;
const SIZE_LOST: usize = 30_392;

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A block that may hold another, which may be itself.
struct Link<const N: usize> {
    next: RefCell<Option<Rc<Self>>>,
    _bytes: [u8; N],
}

/// A case that plants one of each in every round.
pub(super) fn case() -> Case {
    let mut case = Case::new("canary of holders", |_cx| plant());
    case.special = Some(CASE);
    case
}

#[expect(clippy::disallowed_methods, reason = "the planted leaks")]
fn plant() -> Result<(), Failed> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(block(SIZE_STATIC));
    hoarder()?;
    // The count before the links' bytes is a part of each block.
    const LINK: usize = SIZE_CYCLE - 4 * size_of::<usize>();
    let link = |next| Rc::new(Link::<LINK> { next: RefCell::new(next), _bytes: [1; LINK] });
    let first = link(None);
    let second = link(Some(Rc::clone(&first)));
    *first.next.borrow_mut() = Some(second);
    std::mem::forget(block(SIZE_LOST));
    Ok(())
}

#[inline(never)]
fn block(bytes: usize) -> Box<[u8]> {
    vec![1; bytes].into_boxed_slice()
}

/// Has a thread that waits for ever keep a block in a variable of its own, and one in a local.
fn hoarder() -> Result<(), Failed> {
    static ASK: OnceLock<Mutex<(Sender<()>, Receiver<()>)>> = OnceLock::new();
    if ASK.get().is_none() {
        let (ask, asked) = channel();
        let (answer, answered) = channel();
        std::thread::Builder::new().name("canary".to_owned()).spawn(move || {
            let mut held = Vec::new();
            while asked.recv().is_ok() {
                OWN.with(|own| own.borrow_mut().push(block(SIZE_THREAD_LOCAL)));
                held.push(block(SIZE_LOCAL));
                if answer.send(()).is_err() {
                    return;
                }
            }
            drop(held);
        })?;
        let _ = ASK.set(Mutex::new((ask, answered)));
    }
    let gone = || Failed::new("the canary's thread has ended");
    let ends = ASK.get().ok_or_else(gone)?.lock().unwrap_or_else(PoisonError::into_inner);
    ends.0.send(()).map_err(|_| gone())?;
    ends.1.recv().map_err(|_| gone())
}

/// Why holders cannot be told in this run; none where all plants' are.
pub(crate) fn sing(run: &Run) -> Option<String> {
    let mut case = case();
    if !run.subjects.may_be_private() {
        case = case.net(Net::Host);
    }
    let purpose = Purpose::Explain { rounds: ROUNDS, waits: Waits::default(), patient: false };
    let seen = match observe(run, Script::Case(&case), purpose) {
        Ok(seen) => seen,
        Err(error) => return Some(format!("its canary could not be started: {error}")),
    };
    let (heap, region) = match (&seen.heap, &seen.region) {
        (Some(Ok(heap)), Some(region)) => (heap, region),
        (Some(Err(unavailable)), _) => return Some(unavailable.reason.clone()),
        _ => {
            let said = seen.message.as_deref().unwrap_or("nothing");
            return Some(format!("its canary was not seen; its process said: {said}"));
        }
    };
    let namer = Namer::new(run, std::path::Path::new("/"));
    let holders = Holders::new(heap, region, &namer)?;
    PLANTS.iter().find_map(|(bytes, classes)| {
        let told = holders.of_size(*bytes as u64).map(|holder| holder.class);
        let is_right = told.is_some_and(|told| classes.contains(&told));
        (!is_right).then(|| format!("its canary was told wrongly: {told:?} for {classes:?}"))
    })
}
