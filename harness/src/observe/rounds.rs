//! The rounds of one case: as many as can still tell something.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use watertight_report::model::Resource;

use super::{Ended, Purpose, Watch};
use crate::case::{Case, ROUNDS_MAX};
use crate::region::read_text;
use crate::subject::Subject;
use crate::table::{BODY_PASSED, GO_AGAIN};

/// Confirming rounds may add this much, or twice the first round, whichever is more.
const CONFIRM_MIN: Duration = Duration::from_secs(1);
const CONFIRM_FACTOR: u32 = 2;

impl Watch<'_> {
    /// Lets the main process run its rounds.
    pub(super) fn rounds(&mut self, subject: &Subject, case: &Case) -> Ended {
        let mut ended = Ended::default();
        self.allow(case);
        if !self.begin(subject, &mut ended) {
            return ended;
        }
        let max = self.rounds_max(case);
        let mut first_round = Duration::ZERO;
        let mut confirming = Instant::now();
        for round in 1..=max {
            self.control.round.store(round, Release);
            let begun = Instant::now();
            self.answer(GO_AGAIN);
            if !self.next_boundary(subject) {
                ended.timed_out = self.is_overdue(subject);
                let message = read_text(&self.control.message);
                if round == 1 {
                    ended.message = message;
                    ended.body = self.control.body.load(Acquire);
                } else {
                    ended.later_failure = Some(format!("round {round} did not end: {message}"));
                }
                return ended;
            }
            let body = self.control.body.load(Acquire);
            if round == 1 {
                first_round = begun.elapsed();
                ended.body = body;
                ended.message = read_text(&self.control.message);
            } else if body != BODY_PASSED {
                ended.later_failure = Some(read_text(&self.control.message));
                break;
            }
            self.read(round, round == max);
            ended.rounds = round;
            if round == 1 {
                confirming = Instant::now();
            }
            let spent = round > 1
                && confirming.elapsed().saturating_sub(self.settling)
                    > CONFIRM_MIN.max(first_round * CONFIRM_FACTOR);
            if ended.body != BODY_PASSED || !self.wants_more(case, round) || spent {
                break;
            }
        }
        ended
    }

    fn rounds_max(&self, case: &Case) -> u32 {
        match self.purpose {
            Purpose::Explain { rounds } | Purpose::Canary { rounds } => rounds,
            _ => case.rounds.unwrap_or(ROUNDS_MAX),
        }
    }

    /// Whether the next round could show more.
    fn wants_more(&self, case: &Case, round: u32) -> bool {
        if matches!(self.purpose, Purpose::Explain { .. } | Purpose::Canary { .. }) {
            return true;
        }
        let [.., before, now] = self.counts.as_slice() else { return false };
        let rose = |before: &Result<u64, _>, now: &Result<u64, _>| matches!((before, now), (Ok(before), Ok(now)) if now > before);
        let heap = match (before.heap, now.heap) {
            (Some(before), Some(now)) => now.blocks > before.blocks || now.bytes > before.bytes,
            _ => false,
        };
        let waiting = self.waiting_series();
        let budget = case.budget.allowed(Resource::TimeWait) as i64;
        let round = round as usize;
        let port_pairs = waiting.get(round).copied().unwrap_or(0)
            - waiting.get(round - 1).copied().unwrap_or(0)
            > budget;
        let gauges = now.gauges.iter().any(|(name, value)| {
            before.gauges.iter().find(|(known, _)| known == name).is_none_or(|(_, old)| value > old)
        });
        rose(&before.fds, &now.fds)
            || rose(&before.threads, &now.threads)
            || heap
            || port_pairs
            || gauges
            || now.tasks > before.tasks
    }
}
