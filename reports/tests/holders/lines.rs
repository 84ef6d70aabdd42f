//! The lines below a finding.

use watertight_report::model::{Frame, Holder, HolderClass, Hop, Mode, Status, Trial};
use watertight_report::render::terminal::{Style, failure};

use crate::held::{
    at, below_a_cycle, below_a_lost_one, cycle, heap, hop, local, lost, possible, pthread_key,
    registry, stack_slot, sure, thread_local, trial, unmeasured,
};

/// What a block says of the holder, without the indent of all that stands below a row.
fn told_of(trial: &Trial) -> Vec<String> {
    let block = failure(trial, &Style::default());
    let below = block.lines().map(|line| line.strip_prefix("        ").unwrap_or(""));
    let from_holder = below.skip_while(|line| !line.contains("held by "));
    from_holder.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn told(holder: Holder) -> Vec<String> {
    told_of(&trial(vec![heap(holder)]))
}

fn first(holder: Holder) -> String {
    told(holder).swap_remove(0)
}

#[test]
fn a_static() {
    let said = [
        "held by static hb::registry::REGISTRY  src/hb.rs:8",
        "        : OnceLock<Mutex<HashMap<usize, Arc<Engine>>>>",
        "        -> HashMap<usize, Arc<Engine>>::insert, 288 B  .value  src/hb.rs:11",
        "        -> Arc<Engine>::new, 56 B  src/hb.rs:12",
        "        7 of 7 rounds; retains 15,162 B in 21 blocks; also reached from: a thread-local",
    ];
    assert_eq!(told(registry()), said);
}

#[test]
fn each_class_of_one_line() {
    let mut thread = sure(HolderClass::Thread);
    thread.thread = Some("x".into());
    let mut mapping = sure(HolderClass::Mapping);
    mapping.name = Some("/dev/shm/ring".into());
    mapping.site = Some(at("src/ring.rs", 4));
    let table: [(Holder, &[&str]); 9] = [
        (
            thread_local(),
            &["held by thread-local hb::CACHE  src/hb.rs:15, of thread `cache-worker`"],
        ),
        (pthread_key(), &["held by pthread key 3 of thread `x`"]),
        (
            local(),
            &[
                "held by local `held`: Arc<Node> on the stack of thread `holder`, in start::{closure}  src/x.rs:9",
            ],
        ),
        (
            stack_slot(),
            &[
                "possibly held by a stack slot of thread `x`, in `foo` (no live variable there; seen in 1 of 7 rounds)",
            ],
        ),
        (thread, &["held by what the C library keeps of thread `x`, or its registers"]),
        (mapping, &["held by memory that the program mapped, /dev/shm/ring  src/ring.rs:4"]),
        (
            lost(),
            &[
                "held by no one: no pointer found (forgotten, or stored tagged or as an offset)",
                "        Box<Engine>::new, 496 B  src/hb.rs:40",
            ],
        ),
        (
            cycle(),
            &[
                "held by no one: no pointer found: 2 blocks point to each other, made at src/lib.rs:232 and src/lib.rs:233",
                "        Rc<Node>::new, 48 B  src/lib.rs:232",
                "        -> Rc<Node>::new, 48 B  src/lib.rs:233",
            ],
        ),
        (unmeasured(), &["held by unmeasured: the process could not be traced (ptrace denied)"]),
    ];
    for (holder, said) in table {
        assert_eq!(told(holder), said);
    }
}

#[test]
fn of_each_class_nothing_may_be_known() {
    let table = [
        (HolderClass::Static, "held by a static"),
        (HolderClass::ThreadLocal, "held by a thread-local"),
        (HolderClass::PthreadKey, "held by a pthread key of a thread"),
        (HolderClass::Local, "held by a local variable on the stack of a thread"),
        (HolderClass::Stack, "held by a stack slot of a thread (no live variable there)"),
        (HolderClass::Thread, "held by what the C library keeps of a thread, or its registers"),
        (HolderClass::TestRuntime, "held by the test's async runtime"),
        (HolderClass::Mapping, "held by memory that the program mapped"),
        (HolderClass::Cycle, "held by no one: no pointer found: blocks point to each other"),
        (
            HolderClass::Lost,
            "held by no one: no pointer found (forgotten, or stored tagged or as an offset)",
        ),
        (HolderClass::Unmeasured, "held by unmeasured"),
    ];
    for (class, said) in table {
        assert_eq!(told(sure(class)), [said]);
        // A text without anything in it says as little.
        let mut empty = sure(class);
        empty.name = Some(String::new());
        empty.type_name = Some(String::new());
        empty.thread = Some(String::new());
        empty.site = Some(Frame::default());
        empty.reason = Some(String::new());
        assert_eq!(told(empty), [said]);
    }
}

#[test]
fn what_is_only_possible_says_so() {
    for holder in [registry(), thread_local(), pthread_key(), local(), lost(), cycle()] {
        let said = first(holder.clone());
        assert!(said.starts_with("held by "), "{said}");
        assert_eq!(first(possible(holder)), format!("possibly {said}"));
    }
}

#[test]
fn what_hangs_below_a_lost_block() {
    let said = [
        "held by no one: no pointer found (forgotten, or stored tagged or as an offset)",
        "        nothing was found that points to the first of these; the leaked thing hangs below it:",
        "        Box<Outer>::new, 504 B  src/hb.rs:41",
        "        -> Box<Engine>::new, 496 B  src/hb.rs:40",
    ];
    assert_eq!(told(below_a_lost_one()), said);
}

#[test]
fn what_hangs_below_a_cycle_is_not_of_it() {
    let said = [
        "held by no one: no pointer found: 1 block points to itself, made at src/lib.rs:232",
        "        the leaked thing is the last of these and hangs below them:",
        "        Rc<Node>::new, 48 B  src/lib.rs:232",
        "        -> Rc<Node>::new, 48 B  src/lib.rs:233",
    ];
    assert_eq!(told(below_a_cycle()), said);
    // A ring may be longer than the way that is told of it.
    let mut long = cycle();
    long.ring_blocks = 1_200;
    let said = first(long);
    assert!(
        said.contains("1,200 blocks point to each other, made at src/lib.rs:232 and"),
        "{said}"
    );
}

#[test]
fn the_places_of_a_cycle_are_named_once_and_not_all() {
    let ring = |lines: &[u32]| {
        let mut holder = cycle();
        holder.hops = lines.iter().map(|line| hop("Rc<Node>::new", 48, *line)).collect();
        first(holder)
    };
    let said = ring(&[1, 1, 1]);
    assert!(said.ends_with("3 blocks point to each other, made at src/hb.rs:1"), "{said}");
    let said = ring(&[1, 2, 3, 4, 5]);
    assert!(said.ends_with("src/hb.rs:3, src/hb.rs:4 and 1 more line"), "{said}");
    let said = ring(&[1, 2, 3, 4, 5, 6]);
    assert!(said.ends_with("src/hb.rs:3, src/hb.rs:4 and 2 more lines"), "{said}");
}

#[test]
fn a_long_way_is_told_by_its_ends() {
    let way = |hops: u32| {
        let mut holder = sure(HolderClass::Static);
        holder.hops = (1..=hops).map(|line| hop("Box<Node>::new", 16, line)).collect();
        told(holder).split_off(1)
    };
    // To leave out one would take a line as well.
    assert_eq!(way(5)[3], "        -> Box<Node>::new, 16 B  src/hb.rs:4");
    assert_eq!(way(6)[3], "        ... 2 more");
    let said = way(1_003);
    let wanted = [
        "        -> Box<Node>::new, 16 B  src/hb.rs:1",
        "        -> Box<Node>::new, 16 B  src/hb.rs:2",
        "        -> Box<Node>::new, 16 B  src/hb.rs:3",
        "        ... 999 more",
        "        -> Box<Node>::new, 16 B  src/hb.rs:1003",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_block_is_told_as_far_as_it_is_known() {
    let mut typed = Hop::new("", 64);
    typed.type_name = Some("ArcInner<Engine>".into());
    let mut both = Hop::new("Arc<Engine>::new", 64);
    both.type_name = typed.type_name.clone();
    both.field = Some(".vals[7]".into());
    let mut holder = sure(HolderClass::Static);
    holder.hops = vec![Hop::new("", 0), Hop::new("", 1 << 20), typed, both];
    let said = [
        "        -> a block",
        "        -> a block, 1.0 MiB",
        "        -> ArcInner<Engine>, 64 B",
        "        -> ArcInner<Engine>, made by Arc<Engine>::new, 64 B  .vals[7]",
    ];
    assert_eq!(told(holder).split_off(1), said);
}

#[test]
fn the_facts_are_those_that_there_are() {
    let facts = |change: &dyn Fn(&mut Holder)| {
        let mut holder = sure(HolderClass::Static);
        change(&mut holder);
        told(holder).split_off(1)
    };
    assert!(facts(&|_| ()).is_empty());
    // Of one round there is nothing to say.
    assert!(facts(&|it| (it.rounds, it.rounds_seen) = (1, 1)).is_empty());
    assert_eq!(facts(&|it| (it.rounds, it.rounds_seen) = (7, 6)), ["        6 of 7 rounds"]);
    let one = facts(&|it| (it.retained_bytes, it.retained_blocks) = (56, 1));
    assert_eq!(one, ["        retains 56 B in 1 block"]);
    let also = facts(&|it| {
        it.also = vec![HolderClass::Stack, HolderClass::Local, HolderClass::Stack];
    });
    assert_eq!(also, ["        also reached from: a stack slot and a local variable"]);
    // What is lost retains nothing that anybody could let go of.
    let mut gone = lost();
    (gone.retained_bytes, gone.retained_blocks) = (992, 2);
    assert_eq!(told(gone).last().unwrap(), "        992 B in 2 blocks in all");
}

#[test]
fn a_pass_of_a_suite_has_a_round_for_each_of_its_tests() {
    let mut shared = trial(vec![heap(registry())]);
    shared.mode = Mode::Shared;
    let said = told_of(&shared).pop().unwrap();
    assert!(said.starts_with("        7 of 7 rounds; retains"), "{said}");
}

#[test]
fn of_a_watched_program_nobody_counts_rounds() {
    let trend = r#"{"trend":"step","size":1.0,"began_s":0.0,"settled_s":1.0}"#;
    let mut finding = heap(registry());
    finding.trend = Some(serde_json::from_str(trend).unwrap());
    let said = told_of(&trial(vec![finding])).pop().unwrap();
    assert!(said.starts_with("        retains 15,162 B"), "{said}");
}

#[test]
fn heap_that_could_not_be_repeated_has_its_holder_too() {
    let mut finding = heap(registry());
    finding.status = Status::Unconfirmed;
    finding.growth = 70_000;
    let mut unedited = trial(vec![finding]);
    unedited.command = Some("cargo watertight test -p app --lib".into());
    unedited.rounds = 1;
    assert_eq!(told_of(&unedited), told(registry()));
}

#[test]
fn no_name_can_upset_the_block() {
    let bad = "a\x1b[2J\nb\u{202e}";
    let frame = Frame::new(bad, 3, bad);
    for class in [
        HolderClass::Static,
        HolderClass::ThreadLocal,
        HolderClass::PthreadKey,
        HolderClass::Local,
        HolderClass::Stack,
        HolderClass::Thread,
        HolderClass::TestRuntime,
        HolderClass::Mapping,
        HolderClass::Cycle,
        HolderClass::Lost,
        HolderClass::Unmeasured,
    ] {
        let mut holder = sure(class);
        let mut block = Hop::new(bad, 8);
        block.type_name = Some(bad.into());
        block.field = Some(bad.into());
        block.site = Some(frame.clone());
        holder.name = Some(bad.into());
        holder.type_name = Some(bad.into());
        holder.thread = Some(bad.into());
        holder.reason = Some(bad.into());
        holder.site = Some(frame.clone());
        holder.hops = vec![block];
        let block = failure(&trial(vec![heap(holder)]), &Style::default());
        assert!(!block.chars().any(|c| c == '\x1b' || c == '\u{202e}'), "{block}");
        assert!(!block.lines().any(|line| line.starts_with('b')), "{block}");
        assert!(block.contains(r"a\u{1b}[2J\nb\u{202e}"), "{block}");
    }
}

#[test]
fn places_are_in_colour_where_that_is_asked_for() {
    let style = Style { colour: true, ..Style::default() };
    let block = failure(&trial(vec![heap(registry())]), &style);
    for place in ["src/hb.rs:8", "src/hb.rs:11"] {
        assert!(block.contains(&format!("  \x1b[36m{place}\x1b[0m\n")), "{block}");
    }
}

/// Between what was made with it and what comes of it.
#[test]
fn it_stands_below_the_line_that_made_it() {
    let mut finding = heap(pthread_key());
    finding.note = Some("a note".into());
    let block = failure(&trial(vec![finding]), &Style::default());
    let said = "        at  src/hb.rs:12  hb::registry::add
        held by pthread key 3 of thread `x`
        note: a note
";
    assert!(block.contains(said), "{block}");
}
