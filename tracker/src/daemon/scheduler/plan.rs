//! When a pass is due. Pure: whoever asks brings the time.

use std::time::{Duration, Instant};

/// The times of a daemon, in intervals, so that one with a short interval is quick in all it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long a change waits for others: a tenth of an interval (500 ms).
    debounce: Duration,
    /// After a failure: 6 intervals (30 s), doubling to 360 (30 min).
    failed: Wait,
    /// After somebody else was at it, which passes: an interval (5 s), doubling to 6 (30 s).
    busy: Wait,
    /// While git is off, because its user is in the middle of something: 6 intervals (30 s), doubling
    /// to 60 (5 min).
    paused: Wait,
    /// Between two commits.
    commit: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    first: Duration,
    longest: Duration,
}

impl Pace {
    pub(super) fn new(interval: Duration, commit: Duration) -> Self {
        let commit = commit.min(super::INTERVAL_MAX);
        Self {
            debounce: interval / 10,
            failed: Wait {
                first: interval.saturating_mul(6),
                longest: interval.saturating_mul(360),
            },
            busy: Wait { first: interval, longest: interval.saturating_mul(6) },
            paused: Wait {
                first: interval.saturating_mul(6),
                longest: interval.saturating_mul(60),
            },
            // Surely after the time that the pass itself goes by.
            commit: commit.saturating_add(interval),
        }
    }
}

/// How a pass ended, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was to be done.
    Idle,
    /// The file was written or read, and a commit may have been left for later.
    Wrote,
    /// It was committed.
    Committed,
    /// Somebody else held the database, the file or git.
    Busy,
    /// The file is as it should be, and git is off for now.
    Paused,
    /// It failed.
    Failed,
}

/// What is due when.
#[derive(Debug)]
pub(super) struct Plan {
    pace: Pace,
    /// When the changes that were seen are passed on.
    change: Option<Instant>,
    /// When a commit that may have been put off is looked for.
    commit: Option<Instant>,
    committed: Option<Instant>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    wait: Duration,
}

impl Plan {
    /// A plan whose first pass is due at once: what changed while no daemon ran, is waiting, and so
    /// may be a commit that the daemon before this one has put off.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        let commit = Some(now + pace.commit);
        Self { pace, change: Some(now), commit, committed: None, retry: None }
    }

    /// Something has changed. Those that follow while it waits are passed on together with it, and
    /// do not put it off: steady edits reach the file too.
    pub(super) fn changed(&mut self, now: Instant) {
        self.change.get_or_insert(now + self.pace.debounce);
    }

    /// When the next pass is due; after a failure not before its back-off is over.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.retry {
            Some(retry) => Some(retry.at),
            None => [self.change, self.commit].into_iter().flatten().min(),
        }
    }

    /// When a failed pass is tried again.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Whether something waits, be it for its time only.
    pub(super) fn is_pending(&self) -> bool {
        self.change.is_some() || self.commit.is_some() || self.retry.is_some()
    }

    /// A pass begins, and sees to every change that is there now.
    pub(super) fn began(&mut self) {
        self.change = None;
    }

    /// A pass has ended.
    pub(super) fn ended(&mut self, how: Ended, now: Instant) {
        let wait = match how {
            Ended::Failed => self.pace.failed,
            Ended::Busy => self.pace.busy,
            Ended::Paused => self.pace.paused,
            Ended::Idle => {
                self.commit = self.commit.filter(|due| *due > now);
                return self.retry = None;
            }
            Ended::Wrote => {
                self.commit = Some(self.committed.unwrap_or(now) + self.pace.commit);
                return self.retry = None;
            }
            Ended::Committed => {
                (self.committed, self.commit) = (Some(now), None);
                return self.retry = None;
            }
        };
        let next = self.retry.map_or(wait.first, |last| last.wait.saturating_mul(2));
        let wait = next.clamp(wait.first, wait.longest);
        self.retry = Some(Retry { at: now + wait, wait });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const COMMIT: Duration = Duration::from_secs(300);

    fn begun() -> (Plan, Instant) {
        let now = Instant::now();
        let mut plan = Plan::new(Pace::new(INTERVAL, COMMIT), now);
        assert_eq!(plan.next(), Some(now), "the first pass is due at once");
        plan.began();
        plan.ended(Ended::Committed, now);
        assert_eq!((plan.next(), plan.is_pending()), (None, false));
        (plan, now)
    }

    #[test]
    fn changes_wait_for_each_other_and_not_for_ever() {
        let (mut plan, now) = begun();
        plan.changed(now);
        plan.changed(now + Duration::from_millis(400));
        assert_eq!(plan.next(), Some(now + Duration::from_millis(500)));
        plan.began();
        plan.changed(now + INTERVAL);
        plan.ended(Ended::Idle, now + INTERVAL);
        assert!(plan.next().is_some(), "what came during a pass is the next one's");
    }

    #[test]
    fn failures_back_off_to_half_an_hour_and_changes_do_not_hurry_them() {
        let (mut plan, now) = begun();
        let mut waits = Vec::new();
        for _ in 0..9 {
            plan.began();
            plan.ended(Ended::Failed, now);
            plan.changed(now);
            waits.push(plan.next().unwrap().duration_since(now).as_secs());
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
        plan.began();
        plan.ended(Ended::Committed, now);
        assert_eq!(plan.next(), None);
        plan.ended(Ended::Failed, now);
        assert_eq!(plan.next(), Some(now + INTERVAL * 6), "a success makes all failures forgotten");
    }

    #[test]
    fn whoever_is_busy_is_asked_again_soon() {
        let (mut plan, now) = begun();
        let waits: Vec<_> = (0..5)
            .map(|_| {
                plan.ended(Ended::Busy, now);
                plan.next().unwrap().duration_since(now).as_secs()
            })
            .collect();
        assert_eq!(waits, [5, 10, 20, 30, 30]);
    }

    #[test]
    fn a_commit_that_was_put_off_is_made_up_for() {
        let (mut plan, now) = begun();
        let later = now + Duration::from_secs(60);
        plan.ended(Ended::Wrote, later);
        let due = plan.next().unwrap();
        assert!(due >= now + COMMIT && due < later + COMMIT, "counted from the last commit");
        plan.ended(Ended::Idle, later);
        assert_eq!(plan.next(), Some(due), "a pass before it does not count");
        plan.ended(Ended::Idle, due);
        assert_eq!(plan.next(), None);
    }
}
