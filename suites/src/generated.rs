//! Issues by the thousand, as a project of some years has them, the same ones for the same seed.
//!
//! Lines of the beads JSONL format, sorted by id, in the bytes that the tracker would write itself: about
//! 530 an issue. [`Shares`] says how many are closed, labelled, blocked. Every issue is a function of seed,
//! count and number alone, so that a hundred thousand of them take no memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::dice::Dice;

/// Hundredths of the issues that are, or have, something.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Closed; the others are open, in progress, blocked or deferred.
    pub closed: u64,
    /// With exactly two labels; the others have none.
    pub labelled: u64,
    /// With one `blocks` edge, to an earlier issue: there is never a cycle.
    pub blocked: u64,
    /// With one to three comments.
    pub commented: u64,
    /// With letters beyond ASCII in title and description.
    pub unicode: u64,
    /// With fields of beads that the tracker does not know.
    pub unknown: u64,
}

/// The shares of what is generated.
pub const SHARES: Shares =
    Shares { closed: 30, labelled: 33, blocked: 20, commented: 8, unicode: 10, unknown: 5 };

/// What ids start with.
pub const PREFIX: &str = "tt";
/// The mean size of a line with its end.
pub const LINE_BYTES_MEAN: u64 = 530;

/// Base36 digits of an id: two thousand million places, so that neighbours are far from each other.
const ID_DIGITS: u32 = 6;
/// A blocker is at most so many issues older: work waits for what is about as old.
const BLOCKER_DISTANCE_MAX: u64 = 500;

/// The lines, without their ends.
pub fn generate(seed: u64, count: usize) -> impl Iterator<Item = String> {
    let issues = Generated { seed, count };
    (0..count).map(move |number| issues.line(number))
}

/// Issues that are there as soon as they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Generated {
    /// What they come from.
    pub seed: u64,
    /// How many there are.
    pub count: usize,
}

impl Generated {
    /// The id of an issue; ids ascend with the number.
    pub fn id(&self, number: usize) -> String {
        let stride = 36_u64.pow(ID_DIGITS) / (self.count as u64).max(1);
        let offset = Dice::of(self.seed, number as u64, "id").below(stride);
        format!("{PREFIX}-{}", base36(number as u64 * stride + offset))
    }

    /// The line of an issue, without its end.
    pub fn line(&self, number: usize) -> String {
        serde_json::to_string(&self.issue(number)).unwrap_or_default()
    }

    /// Writes all of them to a file and says how many bytes that were.
    pub fn write(&self, path: &Path) -> io::Result<u64> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut bytes = 0;
        for line in generate(self.seed, self.count) {
            writeln!(out, "{line}")?;
            bytes += line.len() as u64 + 1;
        }
        out.flush()?;
        Ok(bytes)
    }

    fn issue(&self, number: usize) -> Line {
        let mut dice = Dice::of(self.seed, number as u64, "issue");
        let id = self.id(number);
        let words = if dice.hits(SHARES.unicode) { FAR_WORDS } else { WORDS };
        let title = capital(&sentence(&mut dice, words, 3, 9));
        let description = (0..dice.between(1, 4))
            .map(|_| capital(&sentence(&mut dice, words, 6, 20)) + ".")
            .collect::<Vec<_>>()
            .join(if dice.hits(30) { "\n\n" } else { " " });
        let is_closed = dice.hits(SHARES.closed);
        let status = if is_closed { "closed" } else { dice.pick(OPEN_STATES) };
        let created_at = time(&mut dice, 2024);
        let updated_at = time(&mut dice, 2025);
        let labels = if dice.hits(SHARES.labelled) { two_labels(&mut dice) } else { Vec::new() };
        let mut dependencies = Vec::new();
        if let Some(furthest) = (number as u64).checked_sub(1)
            && dice.hits(SHARES.blocked)
        {
            let distance = 1 + dice.below(BLOCKER_DISTANCE_MAX.min(furthest + 1));
            dependencies.push(Edge {
                issue_id: id.clone(),
                depends_on_id: self.id(number - distance as usize),
                kind: "blocks",
                created_at: created_at.clone(),
            });
        }
        let comments = match dice.hits(SHARES.commented) {
            true => dice.between(1, 3),
            false => 0,
        };
        let comments = (1..=comments).map(|comment| Remark {
            id: comment,
            issue_id: id.clone(),
            author: dice.pick(PEOPLE),
            text: capital(&sentence(&mut dice, words, 4, 16)),
            created_at: updated_at.clone(),
        });
        let comments = comments.collect();
        let is_known = !dice.hits(SHARES.unknown);
        Line {
            id,
            title,
            description,
            status,
            priority: dice.below(5) as u8,
            issue_type: dice.pick(TYPES),
            assignee: dice.hits(60).then(|| dice.pick(PEOPLE)),
            created_at,
            closed_at: is_closed.then(|| updated_at.clone()),
            updated_at,
            labels,
            dependencies,
            comments,
            design: (!is_known).then(|| sentence(&mut dice, words, 5, 12)),
            estimated_minutes: (!is_known).then(|| 15 * dice.between(1, 20)),
        }
    }
}

/// One line, its fields in the format's order, the unknown ones after the others.
#[derive(Serialize)]
struct Line {
    id: String,
    title: String,
    description: String,
    status: &'static str,
    priority: u8,
    issue_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<&'static str>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Edge>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comments: Vec<Remark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    design: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_minutes: Option<u64>,
}

#[derive(Serialize)]
struct Edge {
    issue_id: String,
    depends_on_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: String,
}

#[derive(Serialize)]
struct Remark {
    id: u64,
    issue_id: String,
    author: &'static str,
    text: String,
    created_at: String,
}

const OPEN_STATES: &[&str] =
    &["open", "open", "open", "open", "in_progress", "blocked", "deferred"];
const TYPES: &[&str] = &["bug", "bug", "feature", "task", "task", "task", "epic", "chore"];
const PEOPLE: &[&str] = &["ada", "grace", "ken", "margaret", "the plumber"];
const LABELS: &[&str] = &["bathroom", "cellar", "garden", "heating", "kitchen", "roof", "urgent"];
const WORDS: &[&str] = &[
    "the",
    "tap",
    "drips",
    "again",
    "below",
    "kitchen",
    "sink",
    "washer",
    "pipe",
    "valve",
    "leaks",
    "since",
    "pressure",
    "dropped",
    "replace",
    "before",
    "winter",
    "pump",
    "stops",
    "under",
    "load",
    "seal",
    "is",
    "worn",
    "check",
    "meter",
    "reading",
    "against",
    "last",
    "month",
    "\"quoted\"",
    "a\\b",
];
const FAR_WORDS: &[&str] = &[
    "Düse",
    "tropft",
    "größer",
    "robinet",
    "fuite",
    "déjà",
    "水",
    "漏れ",
    "кран",
    "течёт",
    "αγωγός",
    "🚰",
    "über",
    "naïve",
    "the",
    "tap",
];

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn base36(mut value: u64) -> String {
    let mut digits = [b'0'; ID_DIGITS as usize];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize];
        value /= 36;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn sentence(dice: &mut Dice, words: &[&str], shortest: u64, longest: u64) -> String {
    let words: Vec<&str> = (0..dice.between(shortest, longest)).map(|_| dice.pick(words)).collect();
    words.join(" ")
}

fn two_labels(dice: &mut Dice) -> Vec<&'static str> {
    let first = dice.below(LABELS.len() as u64 - 1);
    let second = dice.between(first + 1, LABELS.len() as u64 - 1);
    vec![LABELS[first as usize], LABELS[second as usize]]
}

/// A moment of a year, to the microsecond and without a zero at its end.
fn time(dice: &mut Dice, year: u32) -> String {
    let (month, day) = (dice.between(1, 12), dice.between(1, 28));
    let (hour, minute, second) = (dice.below(24), dice.below(60), dice.below(60));
    let micros = 10 * dice.below(100_000) + dice.between(1, 9);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
