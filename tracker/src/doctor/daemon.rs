//! The daemon: whether it answers, and how its last sync went.

use super::{Examination, Finding, Subject};
use crate::daemon::control::{self, State};
use crate::failure::Failure;
use crate::paths::Workspace;

pub(super) const EXAMINATION: Examination<Workspace> =
    Examination { subject: Subject::Daemon, look, mend: None };

fn look(workspace: &Workspace) -> Result<Finding, Failure> {
    let state = control::state(workspace).map_err(|error| Failure::from(&error))?;
    let State::Running { pid } = state else { return Ok(Finding::fine("not running")) };
    Ok(match control::status(workspace) {
        Ok(status) => match status.last_error {
            None => Finding::fine(format!("running, pid {}", status.pid)),
            Some(error) => Finding::wrong(
                format!("its last sync failed: {error}"),
                "`tracker sync` says what to do; `tracker daemon logs` tells more",
            ),
        },
        Err(error) => {
            let Failure { message, hint, .. } = Failure::from(&error);
            let pid = pid.map_or("unknown".into(), |pid| pid.to_string());
            Finding::wrong(format!("running (pid {pid}), but: {message}"), hint)
        }
    })
}
