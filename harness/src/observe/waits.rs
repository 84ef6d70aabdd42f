//! What is worth waiting for at a boundary: what one wait has shown to stay is not waited for again,
//! and hides nothing that still goes.

use std::time::{Duration, Instant};

use crate::snapshot::Counts;

/// Waits that may end at their deadline before nothing is waited for any more.
const VAIN_MAX: u32 = 2;

/// What waiting has shown so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waits {
    /// What a round leaves, however long one waits.
    stays: Above,
    vain: u32,
}

/// By how much counts are above those of the boundary before. What cannot be read is not waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Above {
    fds: u64,
    threads: u64,
    locks: u64,
}

impl Waits {
    /// Whether something is above the boundary before that may still go.
    pub(super) fn expects(&self, above: Above) -> bool {
        above.counts().iter().zip(self.stays.counts()).any(|(above, stays)| *above > stays)
    }

    /// Whether waiting has not helped too often.
    pub(super) fn is_vain(&self) -> bool {
        self.vain >= VAIN_MAX
    }

    /// A wait has ended at its deadline: what is above now stays.
    pub(super) fn ended_in_vain(&mut self, above: Above) {
        self.stays = above;
        self.vain += 1;
    }
}

impl Above {
    pub(super) fn of(now: &Counts, before: &Counts) -> Self {
        let above = |now: &Result<u64, _>, before: &Result<u64, _>| match (now, before) {
            (Ok(now), Ok(before)) => now.saturating_sub(*before),
            _ => 0,
        };
        Self {
            fds: above(&now.fds, &before.fds),
            threads: above(&now.threads, &before.threads),
            locks: now.locks.len().saturating_sub(before.locks.len()) as u64,
        }
    }

    fn counts(self) -> [u64; 3] {
        [self.fds, self.threads, self.locks]
    }
}

/// Notes during one wait when something fell last.
pub(super) struct Falls {
    begun: Instant,
    last: Above,
    /// Of each count: how long after the beginning it fell last.
    fell: [Option<Duration>; 3],
}

impl Falls {
    pub(super) fn from(above: Above) -> Self {
        Self { begun: Instant::now(), last: above, fell: [None; 3] }
    }

    pub(super) fn note(&mut self, above: Above) {
        let counts = above.counts().into_iter().zip(self.last.counts());
        for ((now, before), fell) in counts.zip(&mut self.fell) {
            if now < before {
                *fell = Some(self.begun.elapsed());
            }
        }
        self.last = above;
    }

    /// Whether something that is still above has fallen lately, in the later half of the wait: it may
    /// go on to fall. What fell early and then stood still has said all that it will.
    pub(super) fn go_on(&self) -> bool {
        let half = self.begun.elapsed() / 2;
        let fell = self.fell.iter().map(|fell| fell.is_some_and(|at| at > half));
        self.last.counts().into_iter().zip(fell).any(|(above, fell)| above > 0 && fell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_not_waited_for_and_hides_nothing_else() {
        let mut waits = Waits::default();
        let both = Above { fds: 1, threads: 1, locks: 0 };
        assert!(waits.expects(both));
        waits.ended_in_vain(Above { threads: 0, ..both });
        assert!(!waits.expects(Above { threads: 0, ..both }));
        assert!(waits.expects(both), "the thread may still end");
        assert!(waits.expects(Above { fds: 2, threads: 0, locks: 0 }));
        assert!(!waits.is_vain());
        waits.ended_in_vain(both);
        assert!(waits.is_vain());
    }

    #[test]
    fn only_what_is_still_above_goes_on_falling() {
        let mut falls = Falls::from(Above { fds: 1, threads: 1, locks: 0 });
        falls.note(Above { fds: 1, threads: 0, locks: 0 });
        assert!(!falls.go_on(), "the thread is gone, the descriptor has not moved");
    }
}
