//! Lines and what is taken from them: columns, labels, dependencies.

use super::{Finding, Patient, count, some};
use crate::failure::Failure;
use crate::issue::Issue;
use crate::store::{StoreError, words_of};

/// Rows that are not what their lines say.
#[derive(Debug, Default)]
struct Faults {
    /// Issues whose lines are none.
    broken: Vec<String>,
    /// Issues whose rows say something else.
    differing: Vec<String>,
    /// Issues that are only named by labels or dependencies.
    strays: Vec<String>,
    /// All issues.
    issues: usize,
}

pub(super) fn look(patient: &Patient) -> Result<Finding, Failure> {
    let faults = faults(patient).map_err(|error| Failure::from(&error))?;
    if !faults.broken.is_empty() {
        let broken = count(faults.broken.len(), "line");
        let what = format!("{broken} cannot be read: {}", some(&faults.broken));
        return Ok(Finding::wrong(what, super::database::way_out(&patient.workspace)));
    }
    let wrong: Vec<_> = faults.differing.into_iter().chain(faults.strays).collect();
    Ok(match wrong.is_empty() {
        true => Finding::fine(count(faults.issues, "issue")),
        false => Finding::mendable(format!(
            "the tables say other than the lines of {}: {}",
            count(wrong.len(), "issue"),
            some(&wrong)
        )),
    })
}

pub(super) fn mend(patient: &mut Patient) -> Result<(), Failure> {
    let differing = faults(patient).map(|faults| faults.differing);
    differing
        .and_then(|ids| patient.store.rewrite(&ids))
        .map_err(|error: StoreError| Failure::from(&error))
}

fn faults(patient: &Patient) -> Result<Faults, StoreError> {
    let store = &patient.store;
    store.read(|| {
        let (mut labels, mut edges) = store.words()?;
        let mut faults = Faults::default();
        store.each_row(|row, line| {
            faults.issues += 1;
            let labels = labels.remove(&row.id).unwrap_or_default();
            let edges = edges.remove(&row.id).unwrap_or_default();
            let Ok(mut issue) = serde_json::from_str::<Issue>(line) else {
                faults.broken.push(row.id);
                return;
            };
            issue.normalise();
            if (labels, edges) != words_of(&issue) || row != crate::store::Row::of(&issue) {
                faults.differing.push(row.id);
            }
        })?;
        faults.strays = labels.into_keys().chain(edges.into_keys()).collect();
        faults.strays.sort();
        faults.strays.dedup();
        Ok(faults)
    })
}
