//! What counts as a leak, as tables.

use proptest::prelude::*;
use watertight_report::model::{Cleanup, CleanupStatus, Frame, ProcessFacts, Resource, Unmeasured};

use super::heap::KEEPER_BYTES_MAX;
use super::series::classify_heap;
use super::*;

#[test]
fn series_are_classified() {
    let table: [(&[i64], i64, usize, Growth); 16] = [
        // series, allowed, confirm, expected
        (&[5], 0, 1, Growth::None),
        (&[5, 5], 0, 1, Growth::None),
        (&[5, 4, 3], 0, 1, Growth::None),
        (&[5, 6], 0, 1, Growth::Unconfirmed),
        (&[5, 6, 6], 0, 1, Growth::Step),
        (&[5, 6, 7], 0, 1, Growth::Leak),
        (&[5, 7, 7, 7, 7], 0, 1, Growth::Step),
        // A pool that fills over four rounds and stops.
        (&[0, 1, 2, 3, 4, 4], 0, 1, Growth::Step),
        // Heap must grow in three rounds after the first.
        (&[0, 10, 20], 0, HEAP_ROUNDS, Growth::Unconfirmed),
        (&[0, 10, 20, 30, 40], 0, HEAP_ROUNDS, Growth::Leak),
        // A bounded cache that needs eight rounds.
        (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 8], 0, HEAP_ROUNDS, Growth::Step),
        // One quiet round among the last ones is enough.
        (&[0, 10, 20, 30, 30, 40], 0, HEAP_ROUNDS, Growth::Step),
        // Budgets are a round's.
        (&[0, 3, 5, 7], 2, 1, Growth::Allowed),
        (&[0, 3, 5, 8], 2, 1, Growth::Leak),
        (&[0, 20, 20, 20], 8, 1, Growth::Step),
        (&[], 0, 1, Growth::None),
    ];
    for (series, allowed, confirm, expected) in table {
        assert_eq!(classify(series, allowed, confirm), expected, "{series:?} allowed {allowed}");
    }
}

#[test]
fn a_repetition_that_is_quiet_acquits() {
    assert!(grows_each_time(&[5, 9, 10, 11, 12], 3));
    assert!(!grows_each_time(&[5, 9, 9, 10, 11, 12], 3));
    assert!(!grows_each_time(&[5, 9, 10], 3));
    assert!(!grows_each_time(&[], 1));
    assert!(counts_up_each_time(&[5, 6, 7, 9, 9, 10]));
    assert!(!counts_up_each_time(&[5, 6, 7, 7, 7, 8]));
    assert!(!counts_up_each_time(&[5, 6, 6, 6]));
    assert!(!counts_up_each_time(&[5]));
    assert!(!counts_up_each_time(&[]));
}

#[test]
fn one_more_or_less_at_any_boundary_neither_hides_nor_makes_a_leak_by_repetition() {
    // Every way in which what is read at each boundary may be one too high.
    fn blurred(counts: &[i64]) -> impl Iterator<Item = Vec<i64>> {
        (0..1u32 << counts.len()).map(move |blur| {
            let read = |(at, count): (usize, &i64)| count + i64::from(blur >> at & 1);
            counts.iter().enumerate().map(read).collect()
        })
    }
    for grows in [[5, 6, 7, 8, 9, 10, 11, 12], [5, 6, 8, 10, 12, 14, 16, 18]] {
        assert!(blurred(&grows).all(|series| counts_up_each_time(&series)), "{grows:?}");
    }
    for stays in [&[5, 9][..], &[5, 9, 9], &[5, 9, 9, 9, 9, 9], &[5, 6, 7, 8, 8, 8]] {
        assert!(!blurred(stays).any(|series| counts_up_each_time(&series)), "{stays:?}");
    }
}

#[test]
fn what_went_by_the_batch_before_is_no_leak_when_it_comes_again() {
    let series = |deltas: &[i64]| {
        let mut at = 0;
        std::iter::once(0)
            .chain(deltas.iter().map(|delta| {
                at += delta;
                at
            }))
            .collect::<Vec<i64>>()
    };
    let growth = |deltas: &[i64]| {
        let heap = HeapEvidence { bytes: series(deltas), blocks: series(deltas), groups: None };
        heap_growth(&heap, &Budget::default())
    };
    assert_eq!(growth(&[3, 2, 2, 2, 2, 2, 2, -8, 3, 2, 2, 2]), Growth::Step);
    assert_eq!(growth(&[3, 2, 2, -3, 2, 2, 2]), Growth::Leak, "it goes on for longer than before");
    assert_eq!(growth(&[3, 2, 2, 2, 2, -1, 2, 2, 2]), Growth::Leak, "most of it stayed");
    assert_eq!(growth(&[13, -9, 2, 2, 2]), Growth::Leak, "what went had come before");
}

fn creation(line: u32, functions: &[&str]) -> Creation {
    let frame = Frame::new("tests/a.rs", line, "a::test");
    let stack = functions.iter().map(|name| Frame::new("", 0, *name)).collect();
    Creation { site: Some(frame), via: None, stack }
}

fn fds(series: &[i64], rounds: &[u32], creation: Option<&Creation>) -> Population {
    let mut population = Population::counted(Resource::Fd, "descriptors", series.to_vec());
    population.things = rounds
        .iter()
        .map(|round| Thing {
            resource: Resource::Fd,
            what: format!("/tmp/{round}"),
            amount: 1,
            round: *round,
            creation: creation.cloned(),
        })
        .collect();
    population
}

#[test]
fn a_connection_is_one_finding_with_its_heap_as_a_part() {
    let made = creation(7, &[]);
    let evidence = Evidence {
        repeated: true,
        populations: vec![fds(&[3, 4, 5, 6], &[1, 2, 3], Some(&made))],
        heap: Some(HeapEvidence {
            blocks: vec![0, 10, 20, 30, 40],
            bytes: vec![0, 100, 200, 300, 400],
            groups: Some(vec![HeapGroup {
                creation: made,
                blocks: vec![0, 10, 20, 30, 40],
                bytes: vec![0, 100, 200, 300, 400],
                ..HeapGroup::default()
            }]),
        }),
        ..Evidence::default()
    };
    let (findings, verdict) = judge(&evidence, &Budget::default());
    assert_eq!(verdict, Verdict::Leaked);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].resource, findings[0].growth, findings[0].per_round),
        (Resource::Fd, 3, 1)
    );
    let parts: Vec<_> = findings[0].parts.iter().map(|part| (part.resource, part.growth)).collect();
    assert_eq!(parts, [(Resource::Fd, 3), (Resource::Heap, 400)]);
}

#[test]
fn beside_a_leak_what_was_made_once_is_a_step() {
    let (leak, once) = (creation(7, &[]), creation(9, &[]));
    let mut population = fds(&[3, 5, 6, 7], &[1, 2, 3], Some(&leak));
    population.things.extend(fds(&[], &[1], Some(&once)).things);
    let evidence =
        Evidence { repeated: true, populations: vec![population], ..Evidence::default() };
    let (findings, _) = judge(&evidence, &Budget::default());
    let seen: Vec<_> = findings
        .iter()
        .map(|finding| {
            (finding.status, finding.site.as_ref().map_or(0, |site| site.line), finding.growth)
        })
        .collect();
    assert_eq!(seen, [(Status::Leak, 7, 3), (Status::Step, 9, 1)]);
}

#[test]
fn without_a_second_round_a_once_initialiser_is_a_step_and_all_else_a_leak() {
    for (functions, expected) in [
        (
            vec!["std::sys::fs::File::open", "std::sync::once_lock::OnceLock<T>::get_or_init"],
            Verdict::Clean,
        ),
        (vec!["std::backtrace_rs::symbolize::gimli::mmap", "std::panicking"], Verdict::Clean),
        (vec!["std::sys::fs::File::open", "app::open"], Verdict::Leaked),
    ] {
        let made = creation(7, &functions);
        let evidence =
            Evidence { populations: vec![fds(&[3, 4], &[1], Some(&made))], ..Evidence::default() };
        assert_eq!(judge(&evidence, &Budget::default()).1, expected, "{functions:?}");
    }
}

#[test]
fn what_has_no_name_is_still_a_finding() {
    let evidence = Evidence {
        repeated: true,
        populations: vec![fds(&[3, 4, 5], &[], None)],
        ..Evidence::default()
    };
    let (findings, verdict) = judge(&evidence, &Budget::default());
    assert_eq!(
        (verdict, findings[0].growth, findings[0].site.is_none()),
        (Verdict::Leaked, 2, true)
    );
}

#[test]
fn what_has_no_site_and_differs_in_its_number_is_one_finding() {
    let mut pipes = fds(&[3, 5, 7, 9], &[1, 2, 3], None);
    for (number, thing) in pipes.things.iter_mut().enumerate() {
        thing.what = format!("pipe:[{}]", 40 + number);
    }
    let evidence = Evidence { repeated: true, populations: vec![pipes], ..Evidence::default() };
    let (findings, verdict) = judge(&evidence, &Budget::default());
    assert_eq!((verdict, findings.len(), findings[0].growth), (Verdict::Leaked, 1, 3));
    assert_eq!(findings[0].what, "pipe:[42]");
}

#[test]
fn heap_that_does_not_repeat_with_stacks_still_fails_and_says_so() {
    let evidence = Evidence {
        repeated: true,
        heap: Some(HeapEvidence {
            blocks: vec![0, 1, 2, 3, 4],
            bytes: vec![0, 64, 128, 192, 256],
            groups: Some(Vec::new()),
        }),
        ..Evidence::default()
    };
    let (findings, verdict) = judge(&evidence, &Budget::default());
    assert_eq!(verdict, Verdict::Leaked);
    assert!(findings[0].note.as_deref().is_some_and(|note| note.contains("did not repeat")));
}

#[test]
fn budgets_tolerate_and_blindness_is_never_clean() {
    let leak = Evidence {
        repeated: true,
        populations: vec![fds(&[3, 4, 5], &[1, 2], Some(&creation(7, &[])))],
        ..Evidence::default()
    };
    let mut budget = Budget::default();
    budget.allowed.insert(Resource::Fd, 1);
    assert_eq!(judge(&leak, &budget).1, Verdict::Tolerated);
    let blind = Evidence {
        unmeasured: vec![Unmeasured::new(Resource::Heap, "no agent")],
        ..Evidence::default()
    };
    assert_eq!(judge(&blind, &Budget::default()).1, Verdict::Unmeasured);
    let unsettled = Evidence { unsettled: true, ..Evidence::default() };
    assert_eq!(judge(&unsettled, &Budget::default()).1, Verdict::Unsettled);
}

#[test]
fn remains_are_decided_by_one_run() {
    let mut evidence = Evidence::default();
    let facts = ProcessFacts::new(17, watertight_report::model::ProcessState::Outlived);
    evidence.remains.push(Remain::process("tracker daemon run".to_owned(), facts, None, None));
    evidence.cleanups.push((Cleanup::new("remove", CleanupStatus::NeverReached, None), None));
    evidence.peak_bytes = Some(100);
    let budget = Budget { rss_max: Some(90), ..Budget::default() };
    let (findings, verdict) = judge(&evidence, &budget);
    let resources: Vec<_> = findings.iter().map(|finding| finding.resource).collect();
    assert_eq!(verdict, Verdict::Leaked);
    assert_eq!(resources, [Resource::Process, Resource::Memory, Resource::Cleanup]);
    assert_eq!((findings[1].growth, findings[1].budget), (10, Some(90)));
}

/// Boundaries of a container that doubles, with one push a round.
fn doubling(rounds: i64) -> Vec<i64> {
    (0..=rounds).map(|items| 8 * (items as u64).next_power_of_two().max(4) as i64).collect()
}

/// Boundaries of a channel that takes a block for 31 messages, with `each` of them a round.
fn by_the_block(rounds: i64, each: i64) -> Vec<i64> {
    (0..=rounds).map(|round| 512 * ((round * each + 30) / 31)).collect()
}

#[test]
fn heap_that_comes_back_after_pauses_is_a_container_that_grows() {
    for (series, expected) in [
        (doubling(60), Growth::Leak),
        (by_the_block(100, 1), Growth::Leak),
        (by_the_block(40, 5), Growth::Leak),
        // Too short to tell it from a cache that fills.
        (doubling(20), Growth::Step),
        // A table of 32 entries that was filled, one a round.
        ([doubling(29), vec![256; 70]].concat(), Growth::Step),
        // Memory that comes and goes.
        ([by_the_block(40, 5), vec![0], by_the_block(40, 5)].concat(), Growth::Step),
    ] {
        assert_eq!(classify_heap(&series, 0), expected, "{series:?}");
    }
}

#[test]
fn what_must_go_again_is_the_growth_that_decides() {
    // The last three rounds; the last block after a pause; nothing at all.
    assert_eq!(before_last_growth(&[0, 10, 20, 30, 40, 50]), 20);
    assert_eq!(before_last_growth(&[0, 10, 10, 42, 42, 42]), 10);
    assert_eq!(before_last_growth(&[7, 7, 7]), 7);
    assert_eq!(before_last_growth(&[]), 0);
}

#[test]
fn sites_that_grow_in_turn_leak_together() {
    // Each grows in every other round; together they grow in each.
    let site = |line: u32, from: i64| HeapGroup {
        creation: creation(line, &[]),
        blocks: (0..=8).map(|round| (round + from) / 2).collect(),
        bytes: (0..=8).map(|round| 100 * ((round + from) / 2)).collect(),
        ..HeapGroup::default()
    };
    let evidence = Evidence {
        repeated: true,
        heap: Some(HeapEvidence {
            blocks: (0..=8).collect(),
            bytes: (0..=8).map(|round| 100 * round).collect(),
            groups: Some(vec![site(7, 0), site(9, 1)]),
        }),
        ..Evidence::default()
    };
    let (findings, _) = judge(&evidence, &Budget::default());
    let lines: Vec<_> =
        findings.iter().map(|it| it.site.as_ref().map_or(0, |at| at.line)).collect();
    assert_eq!(lines, [7, 9]);
}

#[test]
fn what_the_c_library_keeps_for_good_is_no_leak_up_to_a_cap() {
    let kept = |bytes: i64| {
        let series: Vec<i64> = (0..=5).map(|round| bytes * round).collect();
        let group = HeapGroup {
            creation: creation(7, &["malloc", "setenv", "std::env::set_var"]),
            blocks: (0..=5).collect(),
            bytes: series.clone(),
            ..HeapGroup::default()
        };
        let blocks = group.blocks.clone();
        let heap = HeapEvidence { blocks, bytes: series, groups: Some(vec![group]) };
        let evidence = Evidence { repeated: true, heap: Some(heap), ..Evidence::default() };
        judge(&evidence, &Budget::default()).1
    };
    assert_eq!(kept(40), Verdict::Clean);
    assert_eq!(kept(KEEPER_BYTES_MAX), Verdict::Leaked);
}

#[test]
fn what_is_kept_is_a_leak_unless_it_was_made_in_the_first_round_alone() {
    let verdict = |repeated: bool, last_made: Option<u32>, functions: &[&str], allowed: u64| {
        let kept = Kept {
            resource: Resource::Lock,
            what: "flock on a".to_owned(),
            last_made,
            creation: Some(creation(7, functions)),
        };
        let evidence = Evidence { repeated, kept: vec![kept], ..Evidence::default() };
        let budget = Budget { allowed: [(Resource::Lock, allowed)].into(), ..Budget::default() };
        judge(&evidence, &budget).1
    };
    let once = ["std::sync::once_lock::OnceLock<T>::initialize"];
    assert_eq!(verdict(true, Some(2), &[], 0), Verdict::Leaked);
    assert_eq!(verdict(true, Some(1), &[], 0), Verdict::Clean);
    assert_eq!(verdict(true, None, &[], 0), Verdict::Leaked);
    assert_eq!(verdict(false, Some(1), &[], 0), Verdict::Leaked);
    assert_eq!(verdict(false, Some(1), &once, 0), Verdict::Clean);
    assert_eq!(verdict(true, Some(2), &once, 0), Verdict::Clean);
    assert_eq!(verdict(true, Some(2), &[], 1), Verdict::Tolerated);
}

#[test]
fn a_file_outside_of_the_temporary_directories_is_listed_only() {
    let left = |listed: bool, round: u32| Remain {
        resource: Resource::File,
        what: format!("/somewhere/{round}"),
        round: Some(round),
        listed,
        subject: None,
        facts: None,
        creation: Some(creation(7, &[])),
    };
    let judged = |remains: Vec<Remain>| {
        judge(&Evidence { repeated: true, remains, ..Evidence::default() }, &Budget::default())
    };
    let (findings, verdict) = judged(vec![left(true, 1)]);
    assert_eq!((verdict, findings[0].status), (Verdict::Clean, Status::Step));
    assert!(findings[0].note.is_some());
    let (findings, verdict) = judged(vec![left(false, 1), left(false, 2)]);
    assert_eq!((verdict, findings.len()), (Verdict::Leaked, 1));
    assert_eq!((findings[0].growth, findings[0].per_round), (2, 1));
    assert_eq!(findings[0].what, "/somewhere/2");
}

#[test]
fn a_mapping_counts_in_bytes() {
    let mut population = Population::counted(Resource::Mapping, "mapped", vec![0, 4096, 8192]);
    let made = |round: u32| Thing {
        resource: Resource::Mapping,
        what: "anonymous memory".to_owned(),
        amount: 4096,
        round,
        creation: Some(creation(7, &[])),
    };
    population.things = vec![made(1), made(2)];
    let evidence =
        Evidence { repeated: true, populations: vec![population], ..Evidence::default() };
    let (findings, verdict) = judge(&evidence, &Budget::default());
    assert_eq!(verdict, Verdict::Leaked);
    assert_eq!((findings[0].growth, findings[0].per_round), (8192, 4096));
}

#[test]
fn processes_of_one_line_are_one_finding_with_the_facts_of_one() {
    let left = |pid: u32, round: u32, command: &str| {
        let facts = ProcessFacts::new(pid, watertight_report::model::ProcessState::Outlived);
        Remain::process(command.to_owned(), facts, Some(creation(7, &[])), Some(round))
    };
    let remains = vec![left(17, 1, "sleep 9"), left(18, 2, "sleep 9"), left(19, 2, "cat")];
    let evidence = Evidence { repeated: true, remains, ..Evidence::default() };
    let (findings, _) = judge(&evidence, &Budget::default());
    let told: Vec<_> = findings
        .iter()
        .map(|it| (it.what.as_str(), it.growth, it.per_round, it.process.as_ref().map(|it| it.pid)))
        .collect();
    assert_eq!(told, [("sleep 9", 2, 1, Some(17)), ("cat", 1, 1, Some(19))]);
}

#[test]
fn threads_have_the_name_that_most_of_them_have() {
    let made = creation(7, &[]);
    let mut population = Population::counted(Resource::Thread, "threads", vec![1, 2, 3, 4]);
    let names = ["worker", "worker", "program"];
    population.things = (1..)
        .zip(names)
        .map(|(round, name)| Thing {
            resource: Resource::Thread,
            what: name.to_owned(),
            amount: 1,
            round,
            creation: Some(made.clone()),
        })
        .collect();
    let evidence =
        Evidence { repeated: true, populations: vec![population], ..Evidence::default() };
    assert_eq!(judge(&evidence, &Budget::default()).0[0].what, "worker");
}

#[test]
fn a_few_waiting_pairs_are_nobodys_fault() {
    let waiting = |series: &[i64]| Evidence {
        repeated: true,
        populations: vec![Population::counted(Resource::TimeWait, "pairs", series.to_vec())],
        ..Evidence::default()
    };
    assert_eq!(judge(&waiting(&[0, 3, 6, 9]), &Budget::default()).1, Verdict::Clean);
    assert_eq!(judge(&waiting(&[0, 20, 40, 60]), &Budget::default()).1, Verdict::Leaked);
}

proptest! {
    /// Whatever grows by the same in every round is a leak; what stops growing is not.
    #[test]
    fn steady_growth_leaks_and_stopped_growth_does_not(
        start in 0i64..1000, step in 1i64..100, rounds in 4usize..12, quiet in 1usize..4,
    ) {
        let mut series: Vec<i64> = (0..=rounds as i64).map(|round| start + round * step).collect();
        prop_assert_eq!(classify(&series, 0, HEAP_ROUNDS), Growth::Leak);
        let last = series[rounds];
        series.extend(std::iter::repeat_n(last, quiet));
        prop_assert_eq!(classify(&series, 0, HEAP_ROUNDS), Growth::Step);
    }

    /// A container that doubles is found however much a round puts into it, as long as it pauses; one
    /// that was filled and is quiet for longer than its longest pause is none.
    #[test]
    fn pauses_do_not_hide_growth_and_a_full_cache_is_quiet(each in 1i64..8, capacity in 8i64..24) {
        let grown: Vec<i64> = (0..=100).map(|round| ((round * each) as u64).next_power_of_two() as i64).collect();
        prop_assert_eq!(classify_heap(&grown, 0), Growth::Leak);
        let full: Vec<i64> =
            (0..=100).map(|round| ((round * each).min(capacity) as u64).next_power_of_two() as i64).collect();
        prop_assert_eq!(classify_heap(&full, 0), Growth::Step);
    }

    /// A trial is leaked exactly when one of its findings has the status `leak`.
    #[test]
    fn leaked_means_a_leak_is_named(series in proptest::collection::vec(0i64..20, 1..8), repeated: bool) {
        let evidence = Evidence { repeated, populations: vec![fds(&series, &[], None)], ..Evidence::default() };
        let (findings, verdict) = judge(&evidence, &Budget::default());
        let named = findings.iter().any(|finding| finding.status == Status::Leak);
        prop_assert_eq!(named, verdict == Verdict::Leaked);
    }
}
