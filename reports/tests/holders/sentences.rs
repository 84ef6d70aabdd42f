//! The end of the first sentence.

use watertight_report::model::{
    Finding, Frame, Holder, Mode, Part, ProcessFacts, ProcessState, Resource, Trial,
};
use watertight_report::render::sentence;

use crate::held::{
    below_a_cycle, below_a_lost_one, cycle, heap, hop, local, lost, possible, registry, stack_slot,
    thread_local, trial, unmeasured,
};

/// What follows the line that made it.
fn end_of(trial: &Trial) -> String {
    let said = sentence(trial);
    let (_, end) = said.split_once("src/hb.rs:12").unwrap_or_else(|| panic!("{said}"));
    end.to_owned()
}

fn end(holder: Holder) -> String {
    end_of(&trial(vec![heap(holder)]))
}

#[test]
fn it_follows_the_line() {
    assert_eq!(
        sentence(&trial(vec![heap(registry())])),
        "`keeps` left 2,166 B of heap behind in every round; it was allocated at src/hb.rs:12; \
         3 `Engine` a round stay in `hb::registry::REGISTRY`."
    );
}

#[test]
fn each_class_that_is_sure() {
    let mut cache = thread_local();
    (cache.rounds, cache.things_per_round) = (3, 1);
    let table = [
        (cache, "; 1 thing a round stays in the thread-local `hb::CACHE`."),
        (cycle(), "; the blocks point to each other."),
        (below_a_cycle(), "; the blocks hang below others that point to each other."),
        (lost(), "; nothing points to the blocks any more."),
        (below_a_lost_one(), "; the blocks hang below others that nothing points to any more."),
        // These are long to say.
        (local(), "."),
        (stack_slot(), "."),
        (unmeasured(), "."),
    ];
    for (holder, wanted) in table {
        assert_eq!(end(holder), wanted);
    }
    let mut one = cycle();
    one.hops.truncate(1);
    assert_eq!(end(one), "; each block points to itself.");
}

#[test]
fn what_is_not_sure_is_not_said() {
    for holder in [registry(), thread_local(), cycle(), lost()] {
        assert_ne!(end(holder.clone()), ".");
        assert_eq!(end(possible(holder)), ".");
    }
}

#[test]
fn things_are_counted_and_named_as_far_as_they_can_be() {
    let counted = |each: u64, all: u64, made_by: &str| {
        let mut holder = registry();
        (holder.things_per_round, holder.things) = (each, all);
        holder.hops = vec![hop(made_by, 56, 12)];
        let said = end(holder);
        said.strip_suffix(" in `hb::registry::REGISTRY`.").unwrap_or(&said).to_owned()
    };
    assert_eq!(counted(3, 21, "Arc<Engine>::new"), "; 3 `Engine` a round stay");
    assert_eq!(counted(1, 7, "Arc<Engine>::new"), "; 1 `Engine` a round stays");
    assert_eq!(counted(1_200, 8_400, "sqlite3MemMalloc"), "; 1,200 things a round stay");
    assert_eq!(counted(1, 7, "sqlite3MemMalloc"), "; 1 thing a round stays");
    assert_eq!(counted(0, 21, "Arc<Engine>::new"), "; 21 `Engine` stay");
    assert_eq!(counted(0, 1, "malloc"), "; 1 thing stays");
    assert_eq!(counted(0, 0, "Arc<Engine>::new"), "; the blocks stay");
    let mut nameless = registry();
    nameless.name = None;
    assert_eq!(end(nameless), "; 3 `Engine` a round stay in a static.");
}

#[test]
fn of_one_round_nothing_is_said_by_the_round() {
    let mut once = heap(registry());
    once.growth = once.per_round;
    let mut trial = trial(vec![once]);
    trial.rounds = 1;
    let wanted = "; 21 `Engine` stay in `hb::registry::REGISTRY`.";
    assert_eq!(end_of(&trial), wanted);
    // Nor where the holder was looked for in one round of many.
    let mut holder = registry();
    holder.rounds = 1;
    assert_eq!(end(holder), wanted);
}

#[test]
fn a_round_of_a_shared_process_is_a_pass() {
    let mut shared = trial(vec![heap(registry())]);
    shared.mode = Mode::Shared;
    assert_eq!(end_of(&shared), "; 3 `Engine` a pass stay in `hb::registry::REGISTRY`.");
}

#[test]
fn heap_may_be_a_part_of_something_else() {
    let mut store = Finding::leak(Resource::Fd, "/tmp/tracker.db", 3);
    store.per_round = 1;
    store.site = Some(Frame::new("src/hb.rs", 12, "hb::open"));
    store.holder = Some(Box::new(registry()));
    // A holder is one of heap: it says nothing of a descriptor.
    assert_eq!(end_of(&trial(vec![store.clone()])), ".");
    let heap = Part::new(Resource::Heap, "128 blocks a round", 231_036);
    store.parts = vec![Part::new(Resource::Fd, "/tmp/tracker.db", 3), heap];
    assert_eq!(
        sentence(&trial(vec![store])),
        "`keeps` left 1 file descriptor and 77,012 B of heap behind in every round; both were \
         created at src/hb.rs:12; 3 `Engine` a round stay in `hb::registry::REGISTRY`."
    );
}

#[test]
fn heap_that_shrinks_has_no_holder_to_tell_of() {
    let mut less = heap(registry());
    (less.growth, less.per_round) = (-6_498, -2_166);
    let said = sentence(&trial(vec![less]));
    assert!(said.ends_with("fewer than it began with in every round."), "{said}");
}

#[test]
fn of_several_only_the_worst_is_told() {
    let mut large = heap(thread_local());
    large.growth = 60_000;
    large.per_round = 20_000;
    let said = sentence(&trial(vec![heap(registry()), large]));
    assert!(said.ends_with("; the blocks stay in the thread-local `hb::CACHE`."), "{said}");
    // The worst is told or nobody is.
    let mut unknown = heap(unmeasured());
    unknown.growth = 60_000;
    let said = sentence(&trial(vec![heap(registry()), unknown]));
    assert!(said.ends_with("src/hb.rs:12."), "{said}");
}

/// The worst heap is that of a descendant, whose findings are told apart.
#[test]
fn it_is_told_with_its_own_process() {
    let mut of_child = heap(thread_local());
    of_child.subject = "worker".into();
    of_child.growth = 60_000;
    let said = sentence(&trial(vec![heap(registry()), of_child]));
    assert_eq!(
        said,
        "`keeps` started `worker`, which left 2,166 B of heap behind in every round; it was \
         allocated at src/hb.rs:12; the blocks stay in the thread-local `hb::CACHE`; the test also \
         left 2,166 B of heap behind in every round; it was allocated at src/hb.rs:12."
    );
}

/// It is said of all blocks in the sentence.
#[test]
fn of_what_is_lost_all_must_be() {
    let mut large = heap(lost());
    large.growth = 60_000;
    let with = |other: Holder| end_of(&trial(vec![large.clone(), heap(other)]));
    assert_eq!(with(lost()), "; nothing points to the blocks any more.");
    for other in [registry(), cycle(), below_a_lost_one(), possible(lost())] {
        assert_eq!(with(other), ".");
    }
}

#[test]
fn it_follows_its_own_line_where_something_worse_was_left() {
    let mut daemon = Finding::leak(Resource::Process, "tracker daemon run", 1);
    daemon.process = Some(ProcessFacts::new(12, ProcessState::Outlived));
    let said = sentence(&trial(vec![heap(registry()), daemon]));
    let wanted = "it was killed; the test also left 2,166 B of heap behind in every round; it was \
                  allocated at src/hb.rs:12; 3 `Engine` a round stay in `hb::registry::REGISTRY`.";
    assert!(said.ends_with(wanted), "{said}");
}

#[test]
fn no_name_can_upset_the_sentence() {
    let mut holder = registry();
    holder.name = Some("a\n\x1b[2J".into());
    assert_eq!(end(holder), r"; 3 `Engine` a round stay in `a\n\u{1b}[2J`.");
}
