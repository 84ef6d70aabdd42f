//! Each kind of growth, seen from outside (`watch`) and from within (`run`); and what only looks like growth.

use watertight_report::metric;
use watertight_report::model::{Finding, Resource, Status, Trial, Verdict};
use watertight_report::trend::Trend;
use watertight_suites::Ending;
use watertight_suites::command::{Said, Started};
use watertight_suites::ledger::{marked, resources};

use crate::{Subject, UNSTEADY, growth, only, trend, watertight};

/// A look so often that a rhythm is seen.
const INTERVAL: &str = "100ms";
/// Twice the warm-up, and more than three teeth of a sawtooth.
const LENGTH: &str = "10s";
const WARM_UP: &str = "2s";

const JEMALLOC: &str = env!("CARGO_BIN_EXE_unsteady-jemalloc");

/// A habit that leaks, and how it is told.
struct Leak {
    program: &'static str,
    habit: &'static str,
    /// Its tick. What is dear to read is read less often, and needs a slower one.
    every: &'static str,
    /// What is counted that grows.
    metric: &'static str,
    /// What the finding is of, and how it is called, where no line is known.
    from_outside: (Resource, &'static str),
    /// What is found at the line.
    from_within: Resource,
}

impl Leak {
    const fn new(
        [habit, every]: [&'static str; 2],
        metric: &'static str,
        from_outside: (Resource, &'static str),
        from_within: Resource,
    ) -> Self {
        Self { program: UNSTEADY, habit, every, metric, from_outside, from_within }
    }
}

const LEAKS: [Leak; 7] = [
    Leak::new(["files", "300ms"], metric::DESCRIPTOR, (Resource::Fd, "/etc/passwd"), Resource::Fd),
    Leak::new(
        ["sockets", "300ms"],
        metric::DESCRIPTOR,
        (Resource::Socket, "tcp accepted at 127.0.0.1:"),
        Resource::Socket,
    ),
    Leak::new(
        ["threads", "300ms"],
        metric::THREAD,
        (Resource::Thread, "left-behind"),
        Resource::Thread,
    ),
    Leak::new(
        ["zombies", "800ms"],
        metric::PROCESS,
        (Resource::Process, "true"),
        Resource::Process,
    ),
    Leak::new(
        ["children", "800ms"],
        metric::PROCESS,
        (Resource::Process, "cat"),
        Resource::Process,
    ),
    Leak::new(
        ["heap", "300ms"],
        metric::MEMORY_BYTES,
        (Resource::Memory, "memory"),
        Resource::Heap,
    ),
    Leak::new(
        ["mappings", "300ms"],
        metric::MEMORY_BYTES,
        (Resource::Memory, "memory"),
        Resource::Mapping,
    ),
];

/// An allocator of its own is seen from outside alone, however the program was started.
const OWN_ALLOCATOR: Leak = Leak {
    program: JEMALLOC,
    ..Leak::new(
        ["heap", "300ms"],
        metric::MEMORY_BYTES,
        (Resource::Memory, "memory"),
        Resource::Memory,
    )
};

const OPTIONS: [&str; 7] =
    ["--interval", INTERVAL, "--for", LENGTH, "--warm-up", WARM_UP, "--fail-on-growth"];

fn run(leak: &Leak) -> anyhow::Result<Started> {
    let words = ["--", leak.program, leak.habit, leak.every];
    watertight(["run"].iter().chain(&OPTIONS).chain(&words)).with_input().start()
}

fn watch(subject: &Subject) -> anyhow::Result<Started> {
    let pid = subject.pid().to_string();
    watertight(["watch", &pid].iter().chain(&OPTIONS)).start()
}

/// The leak of that resource, with what else was found below the same line.
#[track_caller]
fn found<'a>(trial: &'a Trial, resource: Resource, said: &Said) -> &'a Finding {
    let mut leaks = trial.findings.iter().filter(|finding| finding.status == Status::Leak);
    let found = leaks.find(|finding| resources(finding).contains(&resource));
    found.unwrap_or_else(|| panic!("a leak of {resource:?}: {:#?}\n{said}", trial.findings))
}

/// As much as the ledger says that it grew: no leak is told larger or smaller than it is.
#[track_caller]
fn assert_amount(trial: &Trial, leak: &Leak, finding: &Finding) {
    let reading = &trial.readings[leak.metric];
    let grown = reading.after as i64 - reading.before as i64;
    assert!(grown > 0 && finding.growth > 0, "{}: {reading:?}, {finding:#?}", leak.habit);
    if matches!(leak.metric, metric::DESCRIPTOR | metric::THREAD | metric::PROCESS) {
        // The census is older than the first sample of what grows, or younger, by some ticks.
        assert!((finding.growth - grown).abs() <= 4, "{}: {reading:?}, {finding:#?}", leak.habit);
    }
}

#[test]
fn what_grows_is_named_from_outside() -> Ending {
    // All at once: each takes its time, and none of them much else.
    let all = LEAKS.iter().chain([&OWN_ALLOCATOR]).map(|leak| {
        let mut command = std::process::Command::new(leak.program);
        command.args([leak.habit, leak.every]);
        let subject = Subject::start(command)?;
        Ok((leak, watch(&subject)?, subject))
    });
    for (leak, watch, _subject) in all.collect::<anyhow::Result<Vec<_>>>()? {
        let said = watch.end()?;
        let trial = only(&said);
        let (resource, what) = leak.from_outside;
        let finding = found(&trial, resource, &said);
        assert!(finding.what.contains(what), "{}: {finding:#?}", leak.habit);
        let is_hanging = finding.what.ends_with("(close_wait)");
        assert_eq!(is_hanging, leak.habit == "sockets", "{finding:#?}");
        assert!(growth(trend(&trial, leak.metric)).is_some(), "{}: {said}", leak.habit);
        assert_amount(&trial, leak, finding);
        assert_eq!((said.code, trial.verdict), (Some(1), Verdict::Leaked), "{said}");
    }
    Ok(())
}

#[test]
fn what_grows_is_named_with_its_line_from_within() -> Ending {
    let started = LEAKS.iter().map(|leak| Ok((leak, run(leak)?)));
    for (leak, run) in started.collect::<anyhow::Result<Vec<_>>>()? {
        let said = run.end()?;
        let trial = only(&said);
        let finding = found(&trial, leak.from_within, &said);
        let line = marked(include_str!("../../src/unsteady.rs"), &format!("LEAK {}", leak.habit));
        let site =
            finding.site.as_ref().unwrap_or_else(|| panic!("{} has a line: {said}", leak.habit));
        assert!(site.file.ends_with("src/unsteady.rs"), "{}: {site:?}", leak.habit);
        assert_eq!(site.line, line, "{}: {site:?}", leak.habit);
        assert_eq!((said.code, trial.verdict), (Some(1), Verdict::Leaked), "{said}");
    }
    Ok(())
}

#[test]
fn memory_of_an_allocator_of_its_own_is_told_without_a_line() -> Ending {
    let said = run(&OWN_ALLOCATOR)?.end()?;
    let trial = only(&said);
    let finding = found(&trial, Resource::Memory, &said);
    assert!(finding.site.is_none(), "{finding:#?}");
    assert_amount(&trial, &OWN_ALLOCATOR, finding);
    Ok(())
}

/// It is the descendant that is told of, not the one that was named.
#[test]
fn a_descendant_that_leaks_is_told_apart() -> Ending {
    let script = format!("{UNSTEADY} files 300ms; true");
    let words = ["run", "--interval", "100ms", "--for", "6s", "--", "sh", "-c", &script];
    let said = watertight(words).with_input().end()?;
    let trial = only(&said);
    let finding = found(&trial, Resource::Fd, &said);
    assert_eq!(finding.subject, "unsteady files 300ms", "{finding:#?}");
    assert!(finding.site.is_some(), "it has the agent as well: {finding:#?}");
    let own = trend(&trial, metric::DESCRIPTOR);
    assert!(own.is_some() && growth(own).is_none(), "the shell does not leak: {said}");
    Ok(())
}

#[test]
fn sockets_are_told_by_state() -> Ending {
    let subject = Subject::unsteady("sockets", "50ms")?;
    let said =
        watertight(["watch", &subject.pid().to_string(), "--for", "1s", "--interval", "100ms"])
            .end()?;
    let states = only(&said).readings[metric::SOCKET].by_state.clone();
    assert!(states.get("tcp/close_wait").is_some_and(|many| *many >= 5), "{states:?}");
    Ok(())
}

/// Correct programs: whether they are seen from outside or from within, nobody is accused.
#[test]
fn what_only_looks_like_growth_is_left_in_peace() -> Ending {
    let habits = ["sawtooth", "warm-up", "pool", "clients", "quiet"];
    let started = habits.map(|habit| {
        // Ten teeth in the time, and a warm-up that is over in a third of it.
        let mut command = std::process::Command::new(UNSTEADY);
        command.args([habit, "100ms"]);
        let subject = Subject::start(command)?;
        let words = ["--", UNSTEADY, habit, "100ms"];
        let run = watertight(["run"].iter().chain(&OPTIONS).chain(&words)).with_input().start()?;
        Ok::<_, anyhow::Error>((habit, watch(&subject)?, run, subject))
    });
    for started in started {
        let (habit, watch, run, _subject) = started?;
        for said in [watch.end()?, run.end()?] {
            let trial = only(&said);
            let leaks = trial.findings.iter().filter(|finding| finding.status == Status::Leak);
            assert_eq!(leaks.count(), 0, "{habit}: {said}");
            assert_eq!(said.code, Some(0), "{habit}: {said}");
            let descriptors = trend(&trial, metric::DESCRIPTOR);
            let is_as_it_is = match (habit, descriptors) {
                ("warm-up" | "pool", Some(Trend::Step(step))) => step.size >= 4.0,
                ("sawtooth" | "quiet", Some(Trend::Flat { .. })) => true,
                ("clients", Some(trend)) => !trend.is_growing(),
                _ => false,
            };
            assert!(is_as_it_is, "{habit}: {descriptors:?}; {said}");
        }
    }
    Ok(())
}
