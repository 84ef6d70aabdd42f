//! Ways and cycles among named nodes. Nothing here knows of issues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The shortest way from `start` to `goal` along `next`, both ends included.
pub(super) fn way<E>(
    start: &str,
    goal: &str,
    mut next: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Option<Vec<String>>, E> {
    let mut came_from = BTreeMap::from([(start.to_owned(), None::<String>)]);
    let mut queue = VecDeque::from([start.to_owned()]);
    while let Some(here) = queue.pop_front() {
        if here == goal {
            let mut steps = vec![here];
            while let Some(Some(before)) = steps.last().and_then(|last| came_from.get(last)) {
                steps.push(before.clone());
            }
            steps.reverse();
            return Ok(Some(steps));
        }
        for there in next(&here)? {
            if !came_from.contains_key(&there) {
                came_from.insert(there.clone(), Some(here.clone()));
                queue.push_back(there);
            }
        }
    }
    Ok(None)
}

/// A cycle among `edges`, its first node again at its end.
pub(super) fn cycle(edges: &[(String, String)]) -> Option<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    // Peel off what leads nowhere, again and again; what stays lies on a cycle or leads to one.
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        *waiting.entry(from).or_default() += 1;
        waiting.entry(to).or_default();
        before.entry(to).or_default().push(from);
    }
    let mut ends: Vec<&str> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(end) = ends.pop() {
        waiting.remove(end);
        for from in before.get(end).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(from) {
                *count -= 1;
                if *count == 0 {
                    ends.push(from);
                }
            }
        }
    }
    // From any node that stayed, keep to nodes that stayed: a step must come back sooner or later.
    let mut here = *waiting.keys().next()?;
    let mut seen = BTreeSet::new();
    let mut steps = Vec::new();
    while seen.insert(here) {
        steps.push(here.to_owned());
        here = next.get(here)?.iter().copied().find(|to| waiting.contains_key(to))?;
    }
    let first = steps.iter().position(|step| step == here)?;
    let mut found = steps.split_off(first);
    found.push(here.to_owned());
    Some(found)
}

/// Every cycle that has no node with another in common, the first of each again at its end.
pub(super) fn cycles(mut edges: Vec<(String, String)>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    while let Some(next) = cycle(&edges) {
        edges.retain(|(from, _)| !next.contains(from));
        found.push(next);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect()
    }

    #[test]
    fn a_cycle_is_found_behind_a_tail_and_a_dag_has_none() {
        let diamond = edges(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]);
        assert_eq!(cycle(&diamond), None);
        let tail = edges(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
        assert_eq!(cycle(&tail).unwrap(), ["b", "c", "b"]);
        assert_eq!(cycle(&edges(&[("a", "a")])).unwrap(), ["a", "a"]);
    }

    #[test]
    fn every_separate_cycle_is_found() {
        let two = edges(&[("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("d", "a"), ("e", "f")]);
        let found = cycles(two);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|cycle| cycle.first() == cycle.last() && cycle.len() == 3));
    }

    #[test]
    fn the_shortest_way_is_taken() {
        let next = |from: &str| {
            Ok::<_, ()>(match from {
                "a" => vec!["b".to_owned(), "c".to_owned()],
                "b" => vec!["d".to_owned()],
                "d" => vec!["c".to_owned()],
                _ => Vec::new(),
            })
        };
        assert_eq!(way("a", "c", next).unwrap().unwrap(), ["a", "c"]);
        assert_eq!(way("c", "a", next).unwrap(), None);
    }
}
