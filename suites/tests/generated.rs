//! What the generator promises of its issues: the benches and the crash proof stand on it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use watertight_suites::generated::{Generated, LINE_BYTES_MEAN, SHARES, generate};
use watertight_suites::{Ending, workspace};

const SEED: u64 = 7;
const COUNT: usize = 10_000;

/// Points that a share may be off.
const POINTS: f64 = 2.0;

fn parsed(count: usize) -> Vec<Value> {
    generate(SEED, count).map(|line| serde_json::from_str(&line).expect("a line of JSON")).collect()
}

fn list<'a>(issue: &'a Value, field: &str) -> &'a [Value] {
    issue[field].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let of = |seed| generate(seed, 500).collect::<Vec<_>>();
    assert_eq!(of(SEED), of(SEED));
    assert!(of(SEED).iter().zip(of(SEED + 1)).all(|(one, other)| *one != other));
}

#[test]
fn the_mean_line_is_as_long_as_promised() {
    let bytes: usize = generate(SEED, COUNT).map(|line| line.len() + 1).sum();
    let mean = bytes as f64 / COUNT as f64;
    let promised = LINE_BYTES_MEAN as f64;
    assert!((mean / promised - 1.0).abs() < 0.05, "{mean} bytes a line");
}

#[test]
fn the_shares_are_as_promised() {
    let issues = parsed(COUNT);
    let share = |what: &str, promised: u64, holds: &dyn Fn(&Value) -> bool| {
        let found = issues.iter().filter(|issue| holds(issue)).count() as f64;
        let share = 100.0 * found / COUNT as f64;
        assert!((share - promised as f64).abs() < POINTS, "{what}: {share} % of the issues");
    };
    share("closed", SHARES.closed, &|issue| {
        assert_eq!(issue["status"] == "closed", issue["closed_at"].is_string(), "{issue}");
        issue["status"] == "closed"
    });
    share("two labels", SHARES.labelled, &|issue| list(issue, "labels").len() == 2);
    share("a blocks edge", SHARES.blocked, &|issue| {
        list(issue, "dependencies").iter().any(|edge| edge["type"] == "blocks")
    });
    share("comments", SHARES.commented, &|issue| !list(issue, "comments").is_empty());
    share("unicode", SHARES.unicode, &|issue| !issue["description"].to_string().is_ascii());
    share("unknown fields", SHARES.unknown, &|issue| issue["estimated_minutes"].is_u64());
}

#[test]
fn ids_ascend_and_edges_lead_back() {
    let mut earlier = BTreeSet::new();
    for issue in parsed(COUNT) {
        let id = issue["id"].as_str().expect("an id").to_owned();
        for edge in list(&issue, "dependencies") {
            assert_eq!(edge["issue_id"], issue["id"]);
            let blocker = edge["depends_on_id"].as_str().expect("an id");
            assert!(earlier.contains(blocker), "{id} waits for {blocker}, which is not before it");
        }
        assert!(earlier.last().is_none_or(|last| *last < id), "{id} is not in order");
        earlier.insert(id);
    }
}

/// Through the tracker and back: not a byte is lost, and none is added.
#[test]
fn an_import_takes_them_and_an_export_gives_the_same_bytes() -> Ending {
    let workspace = workspace!()?;
    let issues = Generated { seed: SEED, count: 1_000 };
    let (given, first) =
        (workspace.root().join("given.jsonl"), workspace.root().join("first.jsonl"));
    let bytes = issues.write(&given)?;
    assert_eq!(fs::metadata(&given)?.len(), bytes);
    workspace.tracker(["import".as_ref(), given.as_os_str()])?.ok()?;
    workspace.tracker(["export".as_ref(), first.as_os_str()])?.ok()?;
    assert_eq!(fs::read_to_string(&first)?, fs::read_to_string(&given)?);

    let other = workspace!()?;
    let second = other.root().join("second.jsonl");
    other.tracker(["import".as_ref(), first.as_os_str()])?.ok()?;
    other.tracker(["export".as_ref(), second.as_os_str()])?.ok()?;
    assert_eq!(fs::read(second)?, fs::read(first)?);
    Ok(())
}
