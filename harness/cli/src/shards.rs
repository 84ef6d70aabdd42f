//! Runs that share the tests of a project among them: whether all of them are here.

use std::collections::{BTreeMap, BTreeSet};

use watertight_report::model::{Run, Shard};

/// The shards that were met, and what they do not agree on.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    /// Which ones, by how many there are to be.
    met: BTreeMap<u32, BTreeSet<u32>>,
    versions: BTreeSet<String>,
    profiles: BTreeSet<String>,
}

impl Shards {
    /// Takes one more run.
    pub(crate) fn add(&mut self, run: &Run) {
        self.versions.insert(run.tool_version.clone());
        self.profiles.insert(run.profile.clone());
        if let Some(Shard { index, count, .. }) = run.shard {
            self.met.entry(count).or_default().insert(index);
        }
    }

    /// The shards that are not here, each `index` of `count`.
    fn missing(&self) -> impl Iterator<Item = (u32, Vec<u32>)> {
        self.met.iter().filter_map(|(count, met)| {
            let missing: Vec<u32> = (1..=*count).filter(|index| !met.contains(index)).collect();
            (!missing.is_empty()).then_some((*count, missing))
        })
    }

    /// What is missing, and that runs were sharded in different ways; each with what to do.
    pub(crate) fn incomplete(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.met.len() > 1 {
            let counts: Vec<String> = self.met.keys().map(u32::to_string).collect();
            said.push(format!(
                "the shards are of different counts ({}): take the ledgers of one run of all shards",
                counts.join(", ")
            ));
        }
        for (count, missing) in self.missing() {
            said.push(format!(
                "shard {} of {count} is not here: add its ledger, or find out why its job left none",
                ranges(&missing)
            ));
        }
        said
    }

    /// Whether every shard is here, if there are any.
    pub(crate) fn are_whole(&self) -> bool {
        self.incomplete().is_empty()
    }

    /// What runs that are put together should have in common and do not.
    pub(crate) fn differences(&self) -> Vec<String> {
        let differs = |what: &str, values: &BTreeSet<String>| {
            let values: Vec<String> =
                values.iter().map(|value| format!("`{}`", value.escape_debug())).collect();
            (values.len() > 1).then(|| {
                format!(
                    "the runs are of different {what}s ({}): use one for all jobs",
                    values.join(", ")
                )
            })
        };
        let both = [differs("tool version", &self.versions), differs("profile", &self.profiles)];
        both.into_iter().flatten().collect()
    }
}

/// `1-3, 7`.
fn ranges(sorted: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(shards: &[(u32, u32)]) -> Vec<String> {
        let mut all = Shards::default();
        for (index, count) in shards {
            let mut run = Run::default();
            run.shard = Shard::new(*index, *count);
            all.add(&run);
        }
        all.incomplete()
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(met(&[]).is_empty());
        assert!(met(&[(2, 3), (1, 3), (3, 3)]).is_empty());
        let missing = met(&[(4, 7), (5, 7)]);
        assert_eq!(missing.len(), 1);
        assert!(missing[0].starts_with("shard 1-3, 6-7 of 7 is not here"), "{missing:?}");
        let different = met(&[(1, 2), (2, 2), (1, 1)]);
        assert!(different[0].contains("different counts (1, 2)"), "{different:?}");
        assert_eq!(different.len(), 1);
    }
}
