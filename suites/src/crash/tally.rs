//! What came of all rounds, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Round, Work};

/// What a next command may take, its process included.
const RECOVERY_MAX: Duration = Duration::from_millis(50);

/// Rounds, counted by what was under way.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<Work, Row>,
}

#[derive(Debug, Default)]
struct Row {
    rounds: usize,
    killed: usize,
    acknowledged: usize,
    broken: usize,
    left: usize,
    recoveries: Vec<Duration>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, round: &Round) {
        let row = self.rows.entry(round.work).or_default();
        row.rounds += 1;
        row.killed += usize::from(round.was_killed);
        row.acknowledged += round.acknowledged;
        row.broken += usize::from(!round.broken.is_empty());
        row.left += usize::from(!round.left.is_empty());
        row.recoveries.push(round.recovery);
        row.recoveries.sort();
    }

    /// Rounds after which something was not as it must be.
    pub fn broken(&self) -> usize {
        self.rows.values().map(|row| row.broken).sum()
    }

    /// Rounds in which the kill came before the end.
    pub fn killed(&self) -> usize {
        self.rows.values().map(|row| row.killed).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<8} {:>6} {:>6} {:>12} {:>6} {:>11}   next command: {:>8} {:>8} {:>8} {:>7}",
            "work",
            "rounds",
            "killed",
            "acknowledged",
            "broken",
            "files left",
            "median",
            "95 %",
            "longest",
            "> 50 ms"
        )?;
        for (work, row) in &self.rows {
            let at =
                |hundredths: usize| row.recoveries[(row.recoveries.len() - 1) * hundredths / 100];
            let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            let late = row.recoveries.iter().filter(|time| **time > RECOVERY_MAX).count();
            writeln!(
                f,
                "{:<8} {:>6} {:>6} {:>12} {:>6} {:>11}                 {:>8} {:>8} {:>8} {late:>7}",
                format!("{work:?}").to_lowercase(),
                row.rounds,
                row.killed,
                row.acknowledged,
                row.broken,
                row.left,
                ms(at(50)),
                ms(at(95)),
                ms(at(100)),
            )?;
        }
        Ok(())
    }
}
