//! Shared mode: all cases in one process, in several passes.

use libtest_mimic::{Arguments, Trial};

use crate::case::Case;
use crate::run::Run;
use crate::trial::Tried;

/// In place of a case's number: the child runs the cases it is told, one after the other.
pub(crate) const CASES: u32 = u32::MAX - 1;
/// Passes when nobody says how many: one warms up, three must agree.
pub(crate) const PASSES: u32 = 4;
/// Fewest passes that can tell growth from a first use.
pub(crate) const PASSES_MIN: u32 = 2;

/// The cases that the command line selects, by index.
pub(crate) fn selected(arguments: &Arguments, cases: &[Case]) -> Vec<usize> {
    let is_selected = |case: &Case| {
        let trial = Trial::test(case.name.clone(), || Ok(())).with_ignored_flag(case.ignored);
        !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
    };
    (0..cases.len()).filter(|index| is_selected(&cases[*index])).collect()
}

/// One process for all selected cases.
pub(crate) struct SharedRun {}

impl SharedRun {
    pub(crate) fn new(_passes: u32, _selected: Vec<usize>) -> Self {
        Self {}
    }

    pub(crate) fn result(&self, run: &Run, cases: &[Case], index: usize) -> Tried {
        crate::trial::try_case(run, &cases[index], index)
    }
}
