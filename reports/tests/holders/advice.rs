//! What to do about it.

use watertight_report::model::{Confidence, Finding, Holder, HolderClass, Resource, Status};
use watertight_report::render::terminal::{Style, failure};

use crate::held::{
    below_a_lost_one, cycle, heap, hop, local, lost, possible, pthread_key, registry, stack_slot,
    sure, thread_local, trial, unmeasured,
};

const OLD: &str = "find who keeps what that line allocates: a collection that only grows, a cycle of `Rc`, a `mem::forget`, a C handle never freed";

fn advice_on(finding: Finding) -> String {
    let resource = finding.resource.name();
    let block = failure(&trial(vec![finding]), &Style::default());
    let (_, below) = block.split_once("  what to do\n").unwrap_or_else(|| panic!("{block}"));
    let line = below.lines().next().unwrap_or_default();
    line.strip_prefix(&format!("    {resource}  ")).unwrap_or(line).to_owned()
}

fn advice(holder: Holder) -> String {
    advice_on(heap(holder))
}

#[test]
fn a_cycle_is_opened_at_its_fields() {
    let through = |fields: &[Option<&str>]| {
        let mut holder = cycle();
        holder.hops = vec![holder.hops[0].clone(); fields.len()];
        for (hop, field) in holder.hops.iter_mut().zip(fields) {
            hop.field = field.map(str::to_owned);
        }
        advice(holder)
    };
    let unknown = "break the cycle: make one direction `Weak`";
    for (fields, wanted) in [
        (
            &[Some(".next"), Some(".next")][..],
            "break the cycle: make `.next` `Weak` where it leads back, or clear it",
        ),
        (
            &[Some(".parent"), Some(".child")],
            "break the cycle: make one of `.child` and `.parent` `Weak`, or clear it",
        ),
        (
            &[Some(".parent"), None, Some(".child")],
            "break the cycle: make one of `.child` and `.parent` `Weak`, or clear it",
        ),
        (&[None, None], unknown),
        (&[Some(".a"), Some(".b"), Some(".c"), Some(".d"), Some(".e")], unknown),
    ] {
        assert_eq!(through(fields), wanted);
    }
}

#[test]
fn each_class_has_its_own() {
    let mut slot = stack_slot();
    slot.confidence = Confidence::Sure;
    let mut thread = sure(HolderClass::Thread);
    thread.thread = Some("x".into());
    let table = [
        (
            registry(),
            "remove them from `hb::registry::REGISTRY` when they are done (nothing does), or bound it",
        ),
        (
            thread_local(),
            "remove them from `hb::CACHE` when they are done (nothing does), or bound it",
        ),
        (cycle(), "break the cycle: make one direction `Weak`"),
        (
            lost(),
            "drop it: look for `mem::forget`, `Box::leak`, `into_raw`, a C handle never freed",
        ),
        (
            below_a_lost_one(),
            "drop what holds it, made at src/hb.rs:41: look for `mem::forget`, `Box::leak`, `into_raw`, a C handle never freed",
        ),
        (local(), "let the thread `holder` end, or have it drop what it holds"),
        (slot, "let the thread `x` end, or have it drop what it holds"),
        (pthread_key(), "let the thread `x` end, or have it drop what it holds"),
        (thread, "let the thread `x` end, or have it drop what it holds"),
        (
            sure(HolderClass::TestRuntime),
            "end the task that has them before the test ends, or have it drop them",
        ),
        (
            sure(HolderClass::Mapping),
            "remove them from the memory that the program mapped, or unmap it",
        ),
    ];
    for (holder, wanted) in table {
        assert_eq!(advice(holder), wanted);
    }
}

#[test]
fn without_names_it_points_at_the_line_above() {
    let table = [
        (HolderClass::Static, "remove them from that static when"),
        (HolderClass::ThreadLocal, "remove them from that thread-local when"),
        (HolderClass::Local, "let that thread end"),
    ];
    for (class, wanted) in table {
        let said = advice(sure(class));
        assert!(said.starts_with(wanted), "{said}");
    }
    let mut nowhere = below_a_lost_one();
    nowhere.hops[0] = hop("", 0, 0);
    nowhere.hops[0].site = None;
    let said = advice(nowhere);
    assert!(said.starts_with("drop what holds it: look for"), "{said}");
}

#[test]
fn what_is_not_sure_leaves_the_advice_on_the_line() {
    assert_eq!(advice(unmeasured()), OLD);
    assert_eq!(advice(sure(HolderClass::Unmeasured)), OLD);
    for holder in [registry(), thread_local(), cycle(), lost(), local(), pthread_key()] {
        assert_eq!(advice(possible(holder)), OLD);
    }
}

/// A cache is held in the same way, and one run alone cannot tell.
#[test]
fn what_could_not_be_repeated_is_not_said_to_be_wrong() {
    let mut finding = heap(registry());
    finding.status = Status::Unconfirmed;
    finding.growth = 70_000;
    let said = "see whether `hb::registry::REGISTRY` is meant to keep them, and what removes them";
    assert_eq!(advice_on(finding), said);
}

#[test]
fn a_descriptor_is_held_by_what_holds_its_memory() {
    let finding = |resource, growth| {
        let mut finding = Finding::leak(resource, "/tmp/tracker.db", growth);
        finding.holder = Some(Box::new(registry()));
        finding
    };
    assert_eq!(
        advice_on(finding(Resource::Fd, 3)),
        "close or drop what that line opens, on every path out; remove them from \
         `hb::registry::REGISTRY` when they are done (nothing does), or bound it"
    );
    // What was closed too often, and a thread, are not mended there.
    for other in [finding(Resource::Fd, -1), finding(Resource::Thread, 1)] {
        let mut unheld = other.clone();
        unheld.holder = None;
        assert_eq!(advice_on(other), advice_on(unheld));
    }
}

#[test]
fn two_holders_have_two_lines_and_one_has_one() {
    let mut other = heap(thread_local());
    other.growth = 9;
    let block = |findings| failure(&trial(findings), &Style::default());
    let lines = |block: &str| block.matches("when they are done").count();
    assert_eq!(lines(&block(vec![heap(registry()), other])), 2);
    assert_eq!(lines(&block(vec![heap(registry()), heap(registry())])), 1);
}

#[test]
fn no_name_can_upset_the_advice() {
    let mut holder = local();
    holder.thread = Some("a\n\x1b[2J".into());
    assert!(advice(holder).starts_with(r"let the thread `a\n\u{1b}[2J` end"));
}
