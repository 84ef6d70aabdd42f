use std::time::Duration;

use watertight_report::model::Frame;
use watertight_report::trend::{Limit, Question, Series, judge};

use super::*;

/// What is one more every five seconds, by `added`.
fn growing(unit: Unit, added: u64) -> Trend {
    let mut series = Series::default();
    for second in 0..60_u64 {
        series.push(Duration::from_secs(second), (10 + second / 5 * added) as f64);
    }
    let limit = Limit::new("RLIMIT_NOFILE", 1024.0);
    judge(&series, &Question::new(unit).limit(limit).warm_up(Duration::ZERO))
}

fn made(resource: Resource, growth: u64, line: u32) -> Made {
    let creation = Some(Creation::at(Frame::new("src/sync.rs", line, "app::sync")));
    Made { resource, what: format!("thing {line}"), growth, creation }
}

fn leaky() -> Watched {
    Watched {
        subject: "test".to_owned(),
        trends: [
            (metric::DESCRIPTOR, growing(Unit::Things, 3)),
            (metric::THREAD, Trend::Flat { level: 4.0 }),
            (metric::HEAP_BYTES, growing(Unit::Bytes, 70_000)),
            (metric::MEMORY_BYTES, growing(Unit::Bytes, 80_000)),
        ]
        .into(),
        grown: [(metric::DESCRIPTOR, 33), (metric::HEAP_BYTES, 770_000)].into(),
        made: vec![
            made(Resource::Fd, 33, 7),
            made(Resource::Fd, 1, 9),
            made(Resource::Heap, 770_000, 7),
        ],
        is_noted: true,
        expects_notes: false,
        at_limit: None,
    }
}

#[test]
fn what_one_line_makes_is_one_finding_with_its_period_and_limit() {
    let (findings, verdict) = watched(&[leaky()]);
    assert_eq!((findings.len(), verdict), (1, Verdict::Leaked));
    let finding = &findings[0];
    assert_eq!((finding.resource, finding.growth), (Resource::Fd, 33));
    // In a minute.
    assert!((35..=38).contains(&finding.per_round), "{}", finding.per_round);
    assert_eq!(finding.site.as_ref().map(|site| site.line), Some(7));
    assert_eq!(finding.parts.len(), 2);
    assert!(finding.trend.as_ref().is_some_and(Trend::is_growing));
    let forecast = finding.forecast.as_ref().unwrap();
    assert_eq!(
        (forecast.limit.as_str(), forecast.value, forecast.unit.as_str()),
        ("RLIMIT_NOFILE", 1024, "second")
    );
}

#[test]
fn heap_of_what_leaks_is_told_with_it_though_heap_alone_is_too_short() {
    let mut short = leaky();
    short.trends.insert(metric::HEAP_BYTES, Trend::TooShort { more_s: 300.0, so_far: None });
    let (findings, _) = watched(&[short]);
    let parts: Vec<_> = findings[0].parts.iter().map(|part| (part.resource, part.growth)).collect();
    assert_eq!(parts, [(Resource::Fd, 33), (Resource::Heap, 770_000)]);
    // Elsewhere it says nothing yet.
    let mut elsewhere = leaky();
    elsewhere.trends.insert(metric::HEAP_BYTES, Trend::TooShort { more_s: 300.0, so_far: None });
    elsewhere.made[2] = made(Resource::Heap, 770_000, 70);
    assert_eq!(watched(&[elsewhere]).0[0].parts.len(), 0);
}

#[test]
fn growth_without_a_place_says_how_to_find_one() {
    let blind = Watched { made: Vec::new(), is_noted: false, ..leaky() };
    let (findings, verdict) = watched(&[blind]);
    assert_eq!(verdict, Verdict::Leaked);
    assert_eq!((findings[0].what.as_str(), findings[0].growth), ("descriptors", 33));
    assert!(findings[0].note.as_ref().is_some_and(|note| note.contains("watertight run")));
}

#[test]
fn memory_decides_only_where_heap_is_not_counted() {
    let only_memory = |heap: Option<Trend>| {
        let mut trends: BTreeMap<_, _> =
            [(metric::MEMORY_BYTES, growing(Unit::Bytes, 80_000))].into();
        trends.extend(heap.map(|heap| (metric::HEAP_BYTES, heap)));
        watched(&[Watched { trends, grown: BTreeMap::new(), made: Vec::new(), ..leaky() }])
    };
    assert_eq!(only_memory(None).1, Verdict::Leaked);
    let (findings, verdict) = only_memory(Some(Trend::Flat { level: 1e6 }));
    assert_eq!((verdict, findings[0].status), (Verdict::Clean, Status::Unconfirmed));
}

#[test]
fn files_that_become_sockets_are_told_though_their_sum_stays() {
    let trends = [
        (metric::DESCRIPTOR, Trend::Flat { level: 90.0 }),
        (metric::SOCKET, growing(Unit::Things, 1)),
    ];
    let grown = [(metric::SOCKET, 11)].into();
    let (findings, verdict) =
        watched(&[Watched { trends: trends.into(), grown, made: Vec::new(), ..leaky() }]);
    assert_eq!(
        (findings.len(), findings[0].resource, verdict),
        (1, Resource::Socket, Verdict::Leaked)
    );
}

#[test]
fn mapped_memory_is_told_in_bytes_where_nothing_else_grows() {
    let mapped = |areas: Trend| {
        let trends =
            [(metric::VIRTUAL_BYTES, growing(Unit::Bytes, 4096)), (metric::MAPPING, areas)];
        let grown = [(metric::VIRTUAL_BYTES, 45_056)].into();
        watched(&[Watched { trends: trends.into(), grown, made: Vec::new(), ..leaky() }])
    };
    let (findings, verdict) = mapped(growing(Unit::Things, 1));
    assert_eq!(
        (findings[0].resource, findings[0].growth, verdict),
        (Resource::Mapping, 45_056, Verdict::Leaked)
    );
    assert_eq!(mapped(Trend::Flat { level: 40.0 }).1, Verdict::Clean);
}

#[test]
fn growth_that_may_be_a_warm_up_is_told_with_its_line_and_not_failed() {
    let so_far = growing(Unit::Things, 3);
    let Trend::Growing(growth) = &so_far else { panic!("{so_far:?}") };
    let so_far = Trend::TooShort { more_s: 300.0, so_far: Some(growth.per_second) };
    let mut warming = leaky();
    warming.trends = [(metric::DESCRIPTOR, so_far)].into();
    let (findings, verdict) = watched(&[warming]);
    assert_eq!((findings[0].status, verdict), (Status::Unconfirmed, Verdict::Unmeasured));
    assert_eq!(findings[0].site.as_ref().map(|site| site.line), Some(7));
}

#[test]
fn one_that_has_reached_its_limit_is_not_flat() {
    let mut full = leaky();
    full.trends = [(metric::DESCRIPTOR, Trend::Flat { level: 100.0 })].into();
    full.at_limit = Some(Limit::new("RLIMIT_NOFILE", 100.0));
    let (findings, verdict) = watched(&[full]);
    assert_eq!(verdict, Verdict::Leaked);
    let note = findings[0].note.as_deref();
    assert_eq!(note, Some("it has reached its RLIMIT_NOFILE of 100"));
}

#[test]
fn some_bytes_are_no_leak() {
    let little = |bytes| {
        let trends = [(metric::HEAP_BYTES, growing(Unit::Bytes, 32))].into();
        let grown = [(metric::HEAP_BYTES, bytes)].into();
        watched(&[Watched { trends, grown, made: Vec::new(), ..leaky() }]).1
    };
    assert_eq!((little(BYTES_MIN - 1), little(BYTES_MIN)), (Verdict::Clean, Verdict::Leaked));
}

#[test]
fn two_places_have_each_their_part() {
    let mut two = leaky();
    two.made = vec![made(Resource::Fd, 22, 7), made(Resource::Fd, 11, 9)];
    let (findings, _) = watched(&[two]);
    let added: Vec<f64> = findings
        .iter()
        .filter_map(|finding| match finding.trend.as_ref()? {
            Trend::Growing(growth) => growth.period.map(|period| period.added),
            _ => None,
        })
        .collect();
    assert_eq!(added, [2.0, 1.0]);
}

#[test]
fn what_is_too_short_is_not_clean() {
    let trends = [(metric::DESCRIPTOR, Trend::TooShort { more_s: 12.0, so_far: None })];
    let short = Watched { trends: trends.into(), ..Watched::default() };
    let (findings, verdict) = watched(&[short]);
    assert_eq!((findings.len(), verdict), (0, Verdict::Unmeasured));
    assert_eq!(watched(&[Watched::default()]).1, Verdict::Clean);
}

#[test]
fn port_pairs_that_come_to_their_number_are_no_leak_yet() {
    // One a second, so they are counted as seconds.
    let waiting = |grown: u64| {
        let trend = growing(Unit::Things, 1);
        let Trend::Growing(growth) = &trend else { panic!("{trend:?}") };
        let grown = (grown as f64 * growth.per_second.value) as u64;
        let trends = [(metric::TIME_WAIT, trend.clone())].into();
        let grown = [(metric::TIME_WAIT, grown)].into();
        let (findings, _) = watched(&[Watched { trends, grown, made: Vec::new(), ..leaky() }]);
        findings.iter().find(|it| it.resource == Resource::TimeWait).map(|it| it.status)
    };
    assert_eq!(waiting(50), Some(Status::Unconfirmed));
    assert_eq!(waiting(300), Some(Status::Leak));
}
