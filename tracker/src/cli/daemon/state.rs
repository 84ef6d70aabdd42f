//! How the daemon is: `status` tells, `health` judges.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::output::{Output, Trouble};
use crate::client::ClientError;
use crate::daemon::control::{self, State};
use crate::exit_code::Exit;
use crate::paths::Workspace;
use crate::protocol::Status;

/// Exit 0 if it answers, 6 if it does not or there is none.
pub(super) fn status(workspace: &Workspace, output: &mut Output) -> Result<Exit, Trouble> {
    let State::Running { pid } = control::state(workspace)? else {
        return none(&json!({ "running": false, "pid": null }), output);
    };
    match control::status(workspace) {
        Ok(status) => {
            let mut all = json!({ "running": true, "answers": true });
            if let (Some(all), Ok(Value::Object(status))) =
                (all.as_object_mut(), serde_json::to_value(&status))
            {
                all.extend(status);
            }
            output.print(&all, |_| {
                let failing = status
                    .last_error
                    .iter()
                    .map(|error| format!("\nlast sync failed: {error}{}", again(&status)));
                let off =
                    status.git_off.iter().map(|reason| format!("\n{reason}{}", again(&status)));
                format!(
                    "running, pid {}, {} ticks, {} passes, {} exports, {} requests{}",
                    status.pid,
                    status.ticks,
                    status.passes,
                    status.exports,
                    status.requests,
                    failing.chain(off).collect::<String>(),
                )
            })?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            let all = json!({
                "running": true, "answers": false, "pid": pid, "last_error": error.to_string(),
            });
            output.print(&all, |_| format!("running, but it does not answer: {error}"))?;
            output.say(match error {
                ClientError::OtherVersion { .. } => "`tracker daemon restart` starts this version",
                _ => "`tracker daemon stop` ends it",
            });
            Ok(Exit::Busy)
        }
    }
}

/// Exit 0 if it answers and syncs, 1 if it does not, 6 if there is none.
pub(super) fn health(workspace: &Workspace, output: &mut Output) -> Result<Exit, Trouble> {
    let State::Running { pid } = control::state(workspace)? else {
        let all = json!({ "healthy": false, "pid": null, "reasons": ["not running"] });
        return none(&all, output);
    };
    let asked = control::status(workspace);
    let reasons: Vec<_> = match &asked {
        Ok(status) => {
            let failing = |error| format!("the last sync failed: {error}{}", again(status));
            status.last_error.iter().map(failing).collect()
        }
        Err(error) => vec![format!("it does not answer: {error}")],
    };
    let all = json!({ "healthy": reasons.is_empty(), "pid": pid, "reasons": reasons });
    output.print(&all, |_| match &asked {
        Ok(status) if reasons.is_empty() => {
            format!("well, pid {}, {} passes", status.pid, status.passes)
        }
        _ => reasons.join("\n"),
    })?;
    if reasons.is_empty() {
        return Ok(Exit::Ok);
    }
    output.say("`tracker daemon logs` tells more");
    Ok(Exit::Failure)
}

fn none(all: &Value, output: &mut Output) -> Result<Exit, Trouble> {
    output.print(all, |_| "not running".into())?;
    output.say("`tracker daemon start` starts it");
    Ok(Exit::Busy)
}

/// When a sync that failed is tried again.
fn again(status: &Status) -> String {
    let Some(ms) = status.retry_in_ms else { return String::new() };
    let seconds = Duration::from_secs(ms.div_ceil(1000));
    format!(" (tried again in {})", humantime::format_duration(seconds))
}
