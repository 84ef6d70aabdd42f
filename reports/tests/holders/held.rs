//! Holders, and trials with findings that have them.

use watertight_report::model::{
    Confidence, Finding, Frame, Holder, HolderClass, Hop, Resource, Status, Trial, Verdict,
};

/// A file and a line without a function.
pub(crate) fn at(file: &str, line: u32) -> Frame {
    Frame::new(file, line, "")
}

/// A block of `bytes`, made by `made_by` on a line of `src/hb.rs`.
pub(crate) fn hop(made_by: &str, bytes: u64, line: u32) -> Hop {
    let mut hop = Hop::new(made_by, bytes);
    hop.site = Some(at("src/hb.rs", line));
    hop
}

pub(crate) fn sure(class: HolderClass) -> Holder {
    Holder::new(class, Confidence::Sure)
}

pub(crate) fn possible(mut holder: Holder) -> Holder {
    holder.confidence = Confidence::Possible;
    holder
}

/// A static map that an engine is put into in each of seven rounds.
pub(crate) fn registry() -> Holder {
    let mut holder = sure(HolderClass::Static);
    holder.name = Some("hb::registry::REGISTRY".into());
    holder.type_name = Some("OnceLock<Mutex<HashMap<usize, Arc<Engine>>>>".into());
    holder.site = Some(at("src/hb.rs", 8));
    let mut table = hop("HashMap<usize, Arc<Engine>>::insert", 288, 11);
    table.field = Some(".value".into());
    holder.hops = vec![table, hop("Arc<Engine>::new", 56, 12)];
    holder.things = 21;
    holder.things_per_round = 3;
    holder.retained_bytes = 15_162;
    holder.retained_blocks = 21;
    holder.rounds = 7;
    holder.rounds_seen = 7;
    holder.also = vec![HolderClass::ThreadLocal];
    holder
}

pub(crate) fn thread_local() -> Holder {
    let mut holder = sure(HolderClass::ThreadLocal);
    holder.name = Some("hb::CACHE".into());
    holder.site = Some(at("src/hb.rs", 15));
    holder.thread = Some("cache-worker".into());
    holder
}

pub(crate) fn pthread_key() -> Holder {
    let mut holder = sure(HolderClass::PthreadKey);
    holder.name = Some("3".into());
    holder.thread = Some("x".into());
    holder
}

pub(crate) fn local() -> Holder {
    let mut holder = sure(HolderClass::Local);
    holder.name = Some("held".into());
    holder.type_name = Some("Arc<Node>".into());
    holder.thread = Some("holder".into());
    holder.site = Some(Frame::new("src/x.rs", 9, "start::{closure}"));
    holder
}

pub(crate) fn stack_slot() -> Holder {
    let mut holder = possible(sure(HolderClass::Stack));
    holder.thread = Some("x".into());
    holder.site = Some(Frame::new("", 0, "foo"));
    (holder.rounds, holder.rounds_seen) = (7, 1);
    holder
}

pub(crate) fn cycle() -> Holder {
    let mut holder = sure(HolderClass::Cycle);
    let node = |line| {
        let mut hop = hop("Rc<Node>::new", 48, line);
        hop.site = Some(at("src/lib.rs", line));
        hop
    };
    holder.hops = vec![node(232), node(233)];
    holder
}

/// A cycle of one with a buffer below it.
pub(crate) fn below_a_cycle() -> Holder {
    let mut holder = cycle();
    holder.ring_blocks = 1;
    holder
}

pub(crate) fn lost() -> Holder {
    let mut holder = sure(HolderClass::Lost);
    holder.hops = vec![hop("Box<Engine>::new", 496, 40)];
    holder
}

/// A box in another that is lost.
pub(crate) fn below_a_lost_one() -> Holder {
    let mut holder = lost();
    holder.hops.insert(0, hop("Box<Outer>::new", 504, 41));
    holder
}

pub(crate) fn unmeasured() -> Holder {
    Holder::unmeasured("the process could not be traced (ptrace denied)")
}

/// A leak of heap in each of three rounds, held so.
pub(crate) fn heap(holder: Holder) -> Finding {
    let mut finding = Finding::leak(Resource::Heap, "3 blocks a round", 6_498);
    finding.per_round = 2_166;
    finding.site = Some(Frame::new("src/hb.rs", 12, "hb::registry::add"));
    finding.holder = Some(Box::new(holder));
    finding
}

pub(crate) fn trial(findings: Vec<Finding>) -> Trial {
    let mut trial = Trial::default();
    trial.schema = 1;
    trial.run = "ab12".into();
    trial.suite = "engines".into();
    trial.case = "keeps".into();
    trial.rounds = 3;
    let leaked = findings.iter().any(|finding| finding.status == Status::Leak);
    trial.verdict = if leaked { Verdict::Leaked } else { Verdict::Clean };
    trial.findings = findings;
    trial
}
