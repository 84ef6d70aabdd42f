//! Shared mode: the cases of a suite one after the other in one process, the whole list in passes.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use super::{Ended, Watch};
use crate::case::Case;
use crate::region::read_text;
use crate::subject::Subject;
use crate::table::{BODY_PASSED, GO_AGAIN};

/// One case in one pass.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Which case, as an index into the suite.
    pub(crate) case: usize,
    /// From 1.
    pub(crate) pass: u32,
    pub(crate) passed: bool,
    pub(crate) message: String,
    pub(crate) duration: Duration,
}

impl Watch<'_> {
    /// Runs the passes. Each step has a number, from 1, in the place of a round: what is born in it
    /// is that case's. A failure in a later pass ends the repetition.
    pub(super) fn passes(
        &mut self,
        subject: &Subject,
        cases: &[Case],
        selected: &[usize],
        passes: u32,
    ) -> Ended {
        let mut ended = Ended::default();
        if !self.begin(subject, &mut ended) {
            return ended;
        }
        let mut step = 0;
        for pass in 1..=passes {
            for index in selected {
                let case = &cases[*index];
                step += 1;
                self.allow(case);
                self.control.round.store(step, Release);
                self.control.case.store(*index as u32, Release);
                let begun = Instant::now();
                self.answer(GO_AGAIN);
                if !self.next_boundary(subject) {
                    ended.timed_out = self.is_overdue(subject);
                    ended.message = read_text(&self.control.message);
                    ended.body = self.control.body.load(Acquire);
                    return ended;
                }
                let passed = self.control.body.load(Acquire) == BODY_PASSED;
                let message = if passed { String::new() } else { read_text(&self.control.message) };
                self.read(step, pass == passes);
                self.steps.push(Step {
                    case: *index,
                    pass,
                    passed,
                    message,
                    duration: begun.elapsed(),
                });
                if !passed && pass > 1 {
                    return ended;
                }
            }
            ended.rounds = pass;
        }
        ended
    }
}
