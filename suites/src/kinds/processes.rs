//! Children that are not waited for, and children that outlive their test.

use std::process::{Command, Stdio};

use watertight::Resource::Process;
use watertight::{Context, Failed};

use super::{Kind, Source, source};

const SOURCE: Source = source!("processes.rs");

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("zombie", SOURCE, &[Process], "true").leaky(leave_a_zombie).clean(|_cx| {
            let status = Command::new("true").status()?;
            assert!(status.success());
            Ok(())
        }),
        Kind::new("orphan", SOURCE, &[Process], "sleep 1001").leaky(leave_an_orphan).clean(|_cx| {
            let mut quiet = sleep("1001");
            kill(quiet.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
        }),
        // It holds what the harness reads the test's output from: the trial must end all the same.
        Kind::new("orphan_on_stdout", SOURCE, &[Process], "sleep 1002")
            .leaky(leave_an_orphan_on_stdout)
            .clean(|_cx| kill(&mut sleep("1002"))),
    ]
}

fn sleep(seconds: &str) -> Command {
    let mut command = Command::new("sleep");
    command.arg(seconds);
    command
}

#[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
fn leave_a_zombie(_cx: &Context) -> Result<(), Failed> {
    Command::new("true").spawn()?; // LEAK zombie
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
fn leave_an_orphan(_cx: &Context) -> Result<(), Failed> {
    let mut command = sleep("1001");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn()?; // LEAK orphan
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
fn leave_an_orphan_on_stdout(_cx: &Context) -> Result<(), Failed> {
    sleep("1002").spawn()?; // LEAK orphan_on_stdout
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "ended and reaped here")]
fn kill(command: &mut Command) -> Result<(), Failed> {
    let mut child = command.spawn()?;
    child.kill()?;
    let status = child.wait()?;
    if status.code().is_none() { Ok(()) } else { Err(Failed::new("it ended by itself")) }
}
