//! From single things to findings: what was made at one site in one subject is one finding.

use watertight_report::model::{Finding, Forecast, Holder, Part, ProcessFacts, Resource, Status};

use super::Creation;

/// One thing to report before things of one site are put together.
pub(super) struct Atom {
    pub(super) status: Status,
    pub(super) resource: Resource,
    what: String,
    growth: i64,
    per_round: i64,
    pub(super) subject: Option<String>,
    pub(super) creation: Option<Creation>,
    pub(super) budget: Option<u64>,
    pub(super) process: Option<ProcessFacts>,
    pub(super) note: Option<String>,
    pub(super) forecast: Option<Forecast>,
    pub(super) holder: Option<Holder>,
}

impl Atom {
    pub(super) fn new(
        status: Status,
        resource: Resource,
        what: impl Into<String>,
        growth: i64,
        per_round: i64,
    ) -> Self {
        Self {
            status,
            resource,
            what: what.into(),
            growth,
            per_round,
            subject: None,
            creation: None,
            budget: None,
            process: None,
            note: None,
            forecast: None,
            holder: None,
        }
    }

    /// What is put together under one finding; none for what stands alone: what has no site. Processes
    /// of one line are one finding where they run the same command and were left in the same state.
    pub(super) fn key(&self) -> Option<String> {
        let key = Some(self.creation.as_ref()?.key()).filter(|key| !key.is_empty())?;
        let process = self.process.as_ref().map(|process| (process.state, &self.what));
        Some(format!("{:?} {:?} {process:?} {key}", self.status, self.subject))
    }

    /// One more of the same, newer; `rounds` made them all.
    pub(super) fn add(&mut self, what: String, rounds: i64) {
        self.what = what;
        self.growth += 1;
        self.per_round = self.growth / rounds.max(1);
    }

    pub(super) fn made(self, creation: Option<Creation>) -> Self {
        Self { creation, ..self }
    }
}

/// Puts together what was made at one site in one subject: the largest sin leads, the rest are parts.
pub(super) fn group(atoms: Vec<Atom>) -> Vec<Finding> {
    let mut groups: Vec<(String, Vec<Atom>)> = Vec::new();
    for (index, atom) in atoms.into_iter().enumerate() {
        let key = atom.key().unwrap_or_else(|| format!("alone {index}"));
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, atoms)) => atoms.push(atom),
            None => groups.push((key, vec![atom])),
        }
    }
    groups.into_iter().map(|(_, atoms)| finding(atoms)).collect()
}

fn finding(mut atoms: Vec<Atom>) -> Finding {
    atoms.sort_by_key(|atom| (atom.resource, std::cmp::Reverse(atom.growth)));
    let parts = merge_parts(&atoms);
    let several = parts.len() > 1;
    let lead = &parts[0];
    let holder = holder(&atoms);
    let first = atoms.remove(0);
    let mut finding = Finding::leak(first.resource, first.what, lead.growth);
    finding.status = first.status;
    finding.per_round = lead.per_round.unwrap_or(first.per_round);
    finding.budget = first.budget;
    finding.process = first.process;
    finding.holder = holder;
    finding.note = first.note.or_else(|| atoms.iter().find_map(|atom| atom.note.clone()));
    finding.forecast =
        first.forecast.or_else(|| atoms.iter().find_map(|atom| atom.forecast.clone()));
    if let Some(subject) = first.subject {
        finding.subject = subject;
    }
    if let Some(creation) = first.creation {
        finding.site = creation.site;
        finding.via = creation.via;
        finding.stack = creation.stack;
    }
    if several {
        finding.parts = parts;
    }
    finding
}

/// Who holds the most of what was put together.
fn holder(atoms: &[Atom]) -> Option<Box<Holder>> {
    let holders = atoms.iter().filter_map(|atom| atom.holder.as_ref());
    holders.max_by_key(|holder| holder.retained_bytes).cloned().map(Box::new)
}

/// One part for each resource: several stacks under one line are one number.
fn merge_parts(atoms: &[Atom]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for atom in atoms {
        match parts.iter_mut().find(|part| part.resource == atom.resource) {
            Some(part) => {
                part.growth += atom.growth;
                part.per_round = part.per_round.map(|value| value + atom.per_round);
                if atom.resource == Resource::Heap {
                    part.what = add_blocks(&part.what, &atom.what);
                }
            }
            None => {
                let mut part = Part::new(atom.resource, atom.what.clone(), atom.growth);
                part.per_round = Some(atom.per_round);
                parts.push(part);
            }
        }
    }
    parts
}

fn add_blocks(a: &str, b: &str) -> String {
    let count =
        |text: &str| text.split(' ').next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(0);
    blocks_text(count(a) + count(b))
}

/// A number of heap blocks in words.
pub(crate) fn blocks_text(blocks: i64) -> String {
    if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") }
}
