//! Runs the binary `held` and compares what its ledger says of each holder with what is true.
//!
//! A holder that is named for sure and is another is worse than none: whoever mends the leak looks in the
//! wrong place. An answer that says how little it knows is not as good as the right one, and not wrong.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use watertight_report::model::{
    Confidence, Finding, Frame, Holder, HolderClass, Outcome, Resource, Trial, Verdict,
};

use super::{Held, all};
use crate::ledger::{self, Ran, leaks, resources};
use crate::matrix::is_clean;

/// What the debug information of a build has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debug {
    /// Variables and types, so the holder's must be told.
    Full,
    /// Lines alone.
    Lines,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Class, name, type, thread and line are what they must be, as far as they can be known.
    Right,
    /// It is something else, and says itself that it may be.
    Possible,
    /// It could not be told, and says so.
    Unmeasured,
    /// The leak was not found at its line, or nobody has looked for a holder.
    Missing,
    /// It is something else, for sure.
    Wrong,
}

impl Grade {
    /// All, best first.
    pub const ALL: [Self; 5] =
        [Self::Right, Self::Possible, Self::Unmeasured, Self::Missing, Self::Wrong];

    /// Whether it may be given: it is right, or says that it may not be.
    pub fn is_honest(self) -> bool {
        self < Self::Missing
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Right => "right",
            Self::Possible => "possible",
            Self::Unmeasured => "unmeasured",
            Self::Missing => "MISSING",
            Self::Wrong => "WRONG",
        })
    }
}

/// What is said of one block, beside what must be.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Whether nobody who follows pointers could know.
    pub is_disguised: bool,
    /// What must be said.
    pub expected: String,
    /// What is said.
    pub said: String,
    /// What that is worth.
    pub grade: Grade,
    /// Where it differs.
    pub faults: Vec<String>,
    /// Whether the same work released is clean, where there is such a twin.
    pub is_twin_clean: Option<bool>,
    /// Both trials.
    pub trials: Vec<Trial>,
}

/// Runs `program`, the binary `held`; a row for each case.
///
/// # Errors
/// Where it did not end in time or its ledger is not whole.
pub fn run(program: &Path, debug: Debug) -> Result<(Ran, Vec<Row>)> {
    let ran = ledger::run(&mut Command::new(program))?;
    let rows = all().iter().map(|held| Row::of(held, &ran, debug)).collect();
    Ok((ran, rows))
}

impl Row {
    /// What a run says of one block.
    pub fn of(held: &Held, ran: &Ran, debug: Debug) -> Self {
        let leaky = ran.trial(&held.leaky_case());
        let clean = held.clean_case().map(|case| ran.trial(&case));
        let (finding, others) = accused(held, leaky);
        let (mut grade, mut faults) = answer(held, leaky, finding, debug);
        for other in others.iter().filter_map(|other| other.holder.as_deref()) {
            // Whatever leaks beside it belongs to the same holder.
            let of_other = differences(held, other, Debug::Lines);
            if other.confidence == Confidence::Sure && !of_other.is_empty() {
                grade = Grade::Wrong;
                faults.push(format!("beside it {}: {}", told(other), of_other.join(", ")));
            }
        }
        let said = finding.and_then(|finding| finding.holder.as_deref());
        Self {
            name: held.name,
            is_disguised: held.is_disguised,
            expected: expected(held),
            said: said.map_or("nothing".to_owned(), told),
            grade,
            faults,
            is_twin_clean: clean.map(is_clean),
            trials: [Some(leaky), clean].into_iter().flatten().cloned().collect(),
        }
    }
}

/// The finding of the heap that the marked line makes, and the other findings of heap.
fn accused<'a>(held: &Held, trial: &'a Trial) -> (Option<&'a Finding>, Vec<&'a Finding>) {
    let is_heap = |finding: &&Finding| resources(finding).contains(&Resource::Heap);
    let is_made = |finding: &&Finding| is_at(finding.site.as_ref(), held, held.made());
    let of_heap = leaks(trial).into_iter().filter(is_heap);
    let (mut made, others): (Vec<_>, Vec<_>) = of_heap.partition(|finding| is_made(finding));
    (made.pop(), others)
}

fn answer(
    held: &Held,
    trial: &Trial,
    finding: Option<&Finding>,
    debug: Debug,
) -> (Grade, Vec<String>) {
    let missing = |fault: String| (Grade::Missing, vec![fault]);
    if trial.outcome != Outcome::Passed || trial.verdict != Verdict::Leaked {
        return missing(format!("it {:?} and is {:?}", trial.outcome, trial.verdict));
    }
    let Some(finding) = finding else {
        let sites = leaks(trial).into_iter().map(|leak| place(leak.site.as_ref()));
        let sites = sites.collect::<Vec<_>>().join(", ");
        return missing(format!("no heap leaks at line {}, but at {sites}", held.made()));
    };
    let Some(holder) = finding.holder.as_deref() else {
        return missing("nobody has looked for its holder".to_owned());
    };
    grade(held, holder, debug)
}

/// What an answer is worth, and where it differs from what must be said.
fn grade(held: &Held, holder: &Holder, debug: Debug) -> (Grade, Vec<String>) {
    if holder.class == HolderClass::Unmeasured {
        return (Grade::Unmeasured, holder.reason.iter().cloned().collect());
    }
    let mut faults = differences(held, holder, debug);
    let outer = holder.hops.first().and_then(|hop| hop.site.as_ref());
    if let Some(line) = held.around()
        && holder.class.is_lost()
        && !is_at(outer, held, line)
    {
        faults.push(format!("its way does not begin at line {line}"));
    }
    let fields: Vec<&str> = holder.hops.iter().filter_map(|hop| hop.field.as_deref()).collect();
    if held.fields != fields && (debug == Debug::Full || !fields.is_empty()) {
        faults.push(format!("its way leads through {fields:?}"));
    }
    let grade = match (faults.is_empty(), holder.confidence) {
        (true, _) => Grade::Right,
        (false, Confidence::Possible) => Grade::Possible,
        (false, Confidence::Sure) => Grade::Wrong,
    };
    (grade, faults)
}

/// Where a holder is not what it must be.
fn differences(held: &Held, holder: &Holder, debug: Debug) -> Vec<String> {
    // Of a stack no more is said than that only where no variable can be known.
    let is_vague = holder.class == HolderClass::Stack && debug == Debug::Full;
    if !held.classes.contains(&holder.class) || is_vague {
        return vec![format!("its class is {:?}", holder.class)];
    }
    let mut faults = Vec::new();
    let thread = holder.thread.as_deref();
    if held.thread.is_some() && thread != held.thread {
        faults.push(format!("its thread is {thread:?}"));
    }
    if !is_variable(holder.class) {
        return faults;
    }
    let name = holder.name.as_deref().unwrap_or_default();
    if !held.names.iter().any(|known| name.contains(known)) {
        faults.push(format!("its name is {name:?}"));
    }
    let must_be_told = debug == Debug::Full;
    let type_name = holder.type_name.as_deref().unwrap_or_default();
    let is_typed = held.types.iter().all(|part| type_name.contains(part));
    if !is_typed && (must_be_told || holder.type_name.is_some()) {
        faults.push(format!("its type is {type_name:?}"));
    }
    let line = held.declaration().filter(|line| !is_at(holder.site.as_ref(), held, *line));
    if line.is_some() && (must_be_told || holder.site.is_some()) {
        faults.push(format!("its line is {}", place(holder.site.as_ref())));
    }
    faults
}

/// Whether such a holder has a name in the source.
fn is_variable(class: HolderClass) -> bool {
    matches!(class, HolderClass::Static | HolderClass::ThreadLocal | HolderClass::Local)
}

fn is_at(frame: Option<&Frame>, held: &Held, line: u32) -> bool {
    frame.is_some_and(|frame| (frame.file.as_str(), frame.line) == (held.source.file, line))
}

fn place(frame: Option<&Frame>) -> String {
    frame.map_or("no line".to_owned(), |frame| format!("{}:{}", frame.file, frame.line))
}

/// A class as the ledger writes it.
fn class(class: HolderClass) -> String {
    serde_json::to_value(class)
        .ok()
        .and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn expected(held: &Held) -> String {
    let classes: Vec<String> = held.classes.iter().map(|it| class(*it)).collect();
    let mut text = classes.join(" or ");
    if !held.names.is_empty() {
        text += &format!(" {}", held.names.join(" or "));
    }
    match held.thread {
        Some(thread) => text + &format!(" of {thread}"),
        None => text,
    }
}

fn told(holder: &Holder) -> String {
    let mut text = class(holder.class);
    for (word, part) in [("", &holder.name), ("of ", &holder.thread), ("because ", &holder.reason)]
    {
        if let Some(part) = part {
            text += &format!(" {word}{part}");
        }
    }
    if holder.confidence == Confidence::Possible && holder.class != HolderClass::Unmeasured {
        text = format!("possibly {text}");
    }
    text
}

#[cfg(test)]
mod tests {
    use watertight_report::model::Hop;

    use super::*;

    fn named(name: &str) -> Held {
        all().into_iter().find(|held| held.name == name).unwrap()
    }

    /// What is true of the case `map_in_lazy_lock`.
    fn truth(held: &Held) -> Holder {
        let mut holder = Holder::new(HolderClass::Static, Confidence::Sure);
        holder.name = Some("watertight_suites::held::statics::ENGINES".to_owned());
        holder.type_name = Some("LazyLock<Mutex<HashMap<u32, Arc<Engine>>>>".to_owned());
        holder.site = held.declaration().map(|line| Frame::new(held.source.file, line, ""));
        holder
    }

    /// What the truth is worth when somebody has changed it.
    fn changed(debug: Debug, change: fn(&mut Holder)) -> Grade {
        let held = named("map_in_lazy_lock");
        let mut holder = truth(&held);
        change(&mut holder);
        grade(&held, &holder, debug).0
    }

    #[test]
    fn the_truth_is_right_and_another_holder_is_wrong() {
        assert_eq!(changed(Debug::Full, |_| ()), Grade::Right);
        let other = |it: &mut Holder| it.name = Some("held::statics::LOG".to_owned());
        assert_eq!(changed(Debug::Lines, other), Grade::Wrong);
        assert_eq!(changed(Debug::Lines, |it| it.class = HolderClass::Lost), Grade::Wrong);
        let unsure = |it: &mut Holder| {
            it.class = HolderClass::Stack;
            it.confidence = Confidence::Possible;
        };
        assert_eq!(changed(Debug::Lines, unsure), Grade::Possible);
        let unknown = |it: &mut Holder| *it = Holder::unmeasured("nobody may trace it");
        assert_eq!(changed(Debug::Full, unknown), Grade::Unmeasured);
    }

    #[test]
    fn type_and_line_must_be_told_where_they_are_known_and_be_true_everywhere() {
        let bare = |it: &mut Holder| (it.type_name, it.site) = (None, None);
        assert_eq!(changed(Debug::Lines, bare), Grade::Right);
        assert_eq!(changed(Debug::Full, bare), Grade::Wrong);
        let elsewhere = |it: &mut Holder| it.site = Some(Frame::new("src/lib.rs", 1, ""));
        assert_eq!(changed(Debug::Lines, elsewhere), Grade::Wrong);
        let other = |it: &mut Holder| it.type_name = Some("Mutex<Vec<u8>>".to_owned());
        assert_eq!(changed(Debug::Lines, other), Grade::Wrong);
    }

    #[test]
    fn the_fields_on_the_way_must_be_told_where_they_are_known_and_be_true_everywhere() {
        let held = named("boxes_in_a_struct");
        let mut holder = truth(&named("map_in_lazy_lock"));
        holder.name = Some("watertight_suites::held::statics::LIBRARY".to_owned());
        holder.type_name = Some("Mutex<Library>".to_owned());
        holder.site = held.declaration().map(|line| Frame::new(held.source.file, line, ""));
        let through = |fields: &[&str], debug| {
            let mut holder = holder.clone();
            holder.hops = fields.iter().map(|field| hop(field)).collect();
            grade(&held, &holder, debug).0
        };
        assert_eq!(through(held.fields, Debug::Full), Grade::Right);
        assert_eq!(through(&[], Debug::Lines), Grade::Right);
        assert_eq!(through(&[], Debug::Full), Grade::Wrong);
        assert_eq!(through(&[".shelves", ".label"], Debug::Lines), Grade::Wrong);
    }

    fn hop(field: &str) -> Hop {
        let mut hop = Hop::new("Box<Engine>::new", 504);
        hop.field = Some(field.to_owned());
        hop
    }

    #[test]
    fn the_way_to_what_lies_in_a_lost_block_begins_there() {
        let held = named("inside_forgotten_box");
        let mut holder = Holder::new(HolderClass::Lost, Confidence::Sure);
        assert_eq!(grade(&held, &holder, Debug::Full).0, Grade::Wrong);
        let mut outer = Hop::new("Box<Outer>::new", 504);
        outer.site = held.around().map(|line| Frame::new(held.source.file, line, ""));
        holder.hops.extend([outer, hop("._inner")]);
        assert_eq!(grade(&held, &holder, Debug::Full).0, Grade::Right);
    }
}
