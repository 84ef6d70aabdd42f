//! What holds for all entries and all findings.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use proptest::sample::select;
use watertight_report::baseline::{Baseline, Entry, Proposal};
use watertight_report::model::{Finding, Frame, Part, Resource, Status, Trial, Verdict};

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

/// A trial as its own run has judged it, by the entries of that day.
fn trials() -> impl Strategy<Value = Trial> {
    let case = select(vec!["a::one", "a::two", "a::three", "a::four", "b::one", "b*"]);
    let findings = proptest::collection::vec(findings(), 0..4);
    let entries = proptest::collection::vec(entries(), 0..4);
    (case, findings, entries).prop_map(|(case, findings, entries)| {
        let mut trial = Trial::default();
        (trial.suite, trial.case, trial.findings) = ("suite".into(), case.into(), findings);
        parse(&entries.concat()).accept("suite", case, &mut trial.findings, TODAY);
        trial.verdict = match trial.findings.iter().any(|it| it.status == Status::Leak) {
            true => Verdict::Leaked,
            false => Verdict::Clean,
        };
        trial
    })
}

fn judged_again(baseline: &Baseline, trial: &Trial) -> Trial {
    let mut trial = trial.clone();
    baseline.judge_again(&mut trial, TODAY);
    trial
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

    /// What the entries of the day of the run have made of a trial does not matter.
    #[test]
    fn only_the_entries_of_today_judge(
        text in proptest::collection::vec(entries(), 0..5),
        before in findings(),
        old in proptest::collection::vec(entries(), 0..4),
    ) {
        let baseline = parse(&text.concat());
        let mut fresh = Trial::default();
        (fresh.suite, fresh.case) = ("suite".into(), "case".into());
        fresh.findings = vec![before];
        let mut used = fresh.clone();
        parse(&old.concat()).judge_again(&mut used, TODAY);
        let (fresh, used) = (judged_again(&baseline, &fresh), judged_again(&baseline, &used));
        prop_assert_eq!(fresh.verdict, used.verdict);
        prop_assert_eq!(fresh.findings[0].status, used.findings[0].status);
        prop_assert_eq!(&fresh.findings[0].accepted, &used.findings[0].accepted);
        prop_assert_eq!(&judged_again(&baseline, &used), &used, "a third time changes nothing");
        let leaks = used.findings[0].status == Status::Leak;
        prop_assert_eq!(leaks, used.verdict == Verdict::Leaked);
    }

    /// What is proposed accepts all that has a site in all trials, and then there is nothing to propose.
    #[test]
    fn the_proposal_covers_what_was_seen(
        text in proptest::collection::vec(entries(), 0..4),
        trials in proptest::collection::vec(trials(), 0..8),
    ) {
        let text = text.concat();
        let propose = |baseline: &Baseline| {
            let mut proposal = Proposal::new("why", TODAY);
            trials.iter().for_each(|trial| proposal.add(baseline, trial, TODAY));
            proposal
        };
        let proposal = propose(&parse(&text));
        let more: String = proposal.entries().iter().map(Entry::to_toml).collect();
        let baseline = parse(&format!("{text}{more}"));
        let has_site = |finding: &Finding| {
            finding.site.as_ref().is_some_and(|site| !site.file.is_empty() || !site.function.is_empty())
        };
        for trial in &trials {
            for finding in judged_again(&baseline, trial).findings {
                let refused = proposal.refused().any(|it| it.case == trial.case && it.what == finding.what);
                prop_assert!(finding.status != Status::Leak || !has_site(&finding), "{:?} by\n{}", finding, more);
                prop_assert!(finding.status != Status::Leak || refused);
            }
        }
        prop_assert!(propose(&baseline).entries().is_empty());
        // Nothing is accepted that was not seen: not one more of it, and not in a case that was clean.
        for entry in proposal.entries() {
            let own = || trials.iter().filter(|trial| entry.case.matches_case(&trial.suite, &trial.case));
            prop_assert!(own().next().is_some());
            let most = own().map(|trial| {
                let told = trial.findings.iter().filter(|it| it.status != Status::Step && it.status != Status::Unconfirmed).map(told);
                told.filter_map(|told| told.get(&entry.resource).copied()).map(|growth| growth.max(1)).sum::<i64>()
            });
            prop_assert!(entry.max as i64 <= most.max().unwrap(), "{:?}", entry);
        }
    }
}
