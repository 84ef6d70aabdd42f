//! What counts as a leak, as tables.

use proptest::prelude::*;

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
                blocks: vec![10, 10, 10, 10],
                bytes: vec![100, 100, 100, 100],
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
    evidence.remains.push(Remain {
        what: "tracker daemon run".to_owned(),
        facts: ProcessFacts::new(17, watertight_report::model::ProcessState::Outlived),
        creation: None,
    });
    evidence.cleanups.push((Cleanup::new("remove", CleanupStatus::NeverReached, None), None));
    evidence.peak_bytes = Some(100);
    let budget = Budget { rss_max: Some(90), ..Budget::default() };
    let (findings, verdict) = judge(&evidence, &budget);
    let resources: Vec<_> = findings.iter().map(|finding| finding.resource).collect();
    assert_eq!(verdict, Verdict::Leaked);
    assert_eq!(resources, [Resource::Process, Resource::Memory, Resource::Cleanup]);
    assert_eq!((findings[1].growth, findings[1].budget), (10, Some(90)));
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

    /// A trial is leaked exactly when one of its findings has the status `leak`.
    #[test]
    fn leaked_means_a_leak_is_named(series in proptest::collection::vec(0i64..20, 1..8), repeated: bool) {
        let evidence = Evidence { repeated, populations: vec![fds(&series, &[], None)], ..Evidence::default() };
        let (findings, verdict) = judge(&evidence, &Budget::default());
        let named = findings.iter().any(|finding| finding.status == Status::Leak);
        prop_assert_eq!(named, verdict == Verdict::Leaked);
    }
}
