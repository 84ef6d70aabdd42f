//! What holds for all entries and all findings.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use proptest::sample::select;
use watertight_report::baseline::{Baseline, Entry};
use watertight_report::model::{Finding, Frame, Part, Resource, Status, Trial};

const TODAY: Date = date(2027, 6, 1);
const RESOURCES: [Resource; 3] = [Resource::Fd, Resource::Heap, Resource::Process];

/// Few values, so that entries and findings meet.
fn frames() -> impl Strategy<Value = Frame> {
    let files = select(vec!["", "src/a.rs", "app/src/a.rs", "src/b.rs"]);
    let functions = select(vec!["", "app::a::open", "app::b::open", "open"]);
    (files, 0..3u32, functions).prop_map(|(file, line, function)| Frame::new(file, line, function))
}

fn findings() -> impl Strategy<Value = Finding> {
    let status = select(vec![Status::Leak, Status::Leak, Status::Unconfirmed, Status::Step]);
    let part = (select(RESOURCES.to_vec()), -2..6i64, proptest::option::of(-2..6i64));
    let parts = proptest::collection::vec(part, 0..3);
    let site = proptest::option::weighted(0.9, frames());
    (status, select(RESOURCES.to_vec()), -1..6i64, site, parts).prop_map(
        |(status, resource, growth, site, parts)| {
            let mut finding = Finding::leak(resource, "it", growth);
            (finding.status, finding.site) = (status, site);
            for (resource, growth, per_round) in parts {
                let mut part = Part::new(resource, "part", growth);
                part.per_round = per_round;
                finding.parts.push(part);
            }
            finding
        },
    )
}

fn entries() -> impl Strategy<Value = String> {
    let case = select(vec!["*", "case", "suite::case", "c?se", "other"]);
    let place = select(vec![
        "site = 'a.rs'",
        "site = 'src/a.rs:1'",
        "function = 'open'",
        "function = 'a::open'",
        "site = 'b.rs'\nfunction = 'open'",
    ]);
    (case, select(RESOURCES.to_vec()), place, 0..8u64, -2..3i64).prop_map(
        |(case, resource, place, max, days)| {
            let expires = TODAY.checked_add(days.days()).unwrap();
            format!(
                "[[accepted]]\ncase = '{case}'\nresource = '{}'\n{place}\nmax = {max}\nreason = 'r'\nexpires = {expires}\n",
                resource.name()
            )
        },
    )
}

fn parse(text: &str) -> Baseline {
    Baseline::parse(Path::new("a.toml"), text).unwrap().0
}

fn accept(baseline: &Baseline, findings: &[Finding]) -> Vec<Finding> {
    let mut findings = findings.to_vec();
    baseline.accept("suite", "case", &mut findings, TODAY);
    findings
}

/// What the finding says it grows by, of each resource.
fn told(finding: &Finding) -> BTreeMap<Resource, i64> {
    let mut told = BTreeMap::from([(finding.resource, finding.per_round)]);
    for resource in RESOURCES {
        let own = finding.parts.iter().filter(|part| part.resource == resource);
        let sum: i64 = own.map(|part| part.per_round.unwrap_or(part.growth).max(0)).sum();
        let told = told.entry(resource).or_default();
        *told = sum.max(*told);
    }
    told
}

proptest! {
    #[test]
    fn what_is_accepted_is_within_an_active_entry(
        text in proptest::collection::vec(entries(), 0..5),
        before in proptest::collection::vec(findings(), 0..4),
    ) {
        let baseline = parse(&text.concat());
        let after = accept(&baseline, &before);
        let mut sums: BTreeMap<u32, i64> = BTreeMap::new();
        for (before, after) in before.iter().zip(&after) {
            if before.status != Status::Leak {
                prop_assert_eq!(before, after, "only leaks are accepted");
                continue;
            }
            if after.status == Status::Leak {
                prop_assert!(after.accepted.is_empty());
                continue;
            }
            prop_assert_eq!(after.status, Status::Accepted);
            let site = after.site.as_ref().expect("nothing is accepted without a site");
            for (resource, growth) in told(after).into_iter().filter(|(_, growth)| *growth > 0) {
                let by = after.accepted.iter().find(|by| by.resource == resource);
                let by = by.expect("an entry for each resource");
                let entry = baseline.entries.iter().find(|entry| entry.line == by.line);
                let entry = entry.expect("an entry of the file");
                *sums.entry(entry.line).or_default() += growth;
                prop_assert_eq!(entry.resource, resource);
                prop_assert!(entry.expires >= TODAY, "expired");
                prop_assert!(entry.case.matches_case("suite", "case"));
                if let Some(named) = &entry.site {
                    prop_assert!(site.file.ends_with(&named.file));
                    prop_assert!(named.line.is_none_or(|line| line == site.line));
                }
                if let Some(named) = &entry.function {
                    prop_assert!(site.function.ends_with(named.as_str()));
                }
            }
        }
        for (line, sum) in sums {
            let entry = baseline.entries.iter().find(|entry| entry.line == line).unwrap();
            prop_assert!(sum as u64 <= entry.max, "{sum} is above {}", entry.max);
        }
    }

    #[test]
    fn another_entry_never_makes_a_leak(
        text in proptest::collection::vec(entries(), 0..4),
        more in entries(),
        before in proptest::collection::vec(findings(), 0..4),
    ) {
        let few = accept(&parse(&text.concat()), &before);
        let many = accept(&parse(&(text.concat() + &more)), &before);
        for (few, many) in few.iter().zip(&many) {
            prop_assert!(many.status == few.status || many.status == Status::Accepted);
        }
    }

    #[test]
    fn the_entries_of_a_finding_accept_it(
        before in findings(),
        case in "[ -~é\n\t]{0,12}",
        reason in "[ -~é\n\t\u{7f}]{0,12}x",
    ) {
        let mut trial = Trial::default();
        (trial.suite, trial.case) = ("suite".into(), case.clone());
        let entries = Entry::of(&trial, &before, &reason, TODAY);
        let text: String = entries.iter().map(Entry::to_toml).collect();
        let baseline = parse(&text);
        prop_assert_eq!(baseline.entries.len(), entries.len());
        for (read, written) in baseline.entries.iter().zip(&entries) {
            prop_assert_eq!(&read.reason, &reason);
            prop_assert_eq!((&read.case, read.max), (&written.case, written.max));
        }
        let mut after = before.clone();
        baseline.accept("suite", &case, std::slice::from_mut(&mut after), TODAY);
        let has_site = before.site.as_ref().is_some_and(|site| !site.file.is_empty() || !site.function.is_empty());
        let accepted = before.status == Status::Leak && has_site;
        prop_assert_eq!(after.status == Status::Accepted, accepted, "{:?}", after);
        // And not a thing more of it.
        if accepted {
            let mut worse = before.clone();
            worse.per_round = before.per_round.max(0) + 100;
            baseline.accept("suite", &case, std::slice::from_mut(&mut worse), TODAY);
            prop_assert_eq!(worse.status, Status::Leak);
        }
    }
}
