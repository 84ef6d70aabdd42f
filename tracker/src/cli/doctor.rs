//! `doctor`: what is broken or was left behind.

use serde_json::Value;

use super::output::{Output, Trouble};
use super::place::Place;
use crate::doctor::{self, Check, Verdict};
use crate::exit_code::Exit;

/// Exit 0 if nothing is wrong, or not any more; 1 otherwise.
pub(crate) fn run(place: &Place, fix: bool, output: &mut Output) -> Result<Exit, Trouble> {
    let checks = doctor::examine(&place.workspace()?, fix);
    output.print(&checks, |checks| checks.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(if doctor::is_well(&checks) { Exit::Ok } else { Exit::Failure })
}

fn line(check: &Check) -> String {
    let word = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Fixed => "fixed",
        Verdict::Wrong => "WRONG",
        Verdict::Skipped => "skipped",
    };
    let subject = match serde_json::to_value(check.check) {
        Ok(Value::String(subject)) => subject,
        _ => String::new(),
    };
    // One line each, also where an error lists lines of a file.
    let found = check.found.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let found = found.replace(":; ", ": ");
    let hint = check.hint.iter().map(|hint| format!(" -> {hint}")).collect::<String>();
    format!("{word:<7}  {subject:<11}  {found}{hint}")
}
