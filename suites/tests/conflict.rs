//! Writers in conflict: whoever was told that an issue is there finds it there, and nobody is told to wait.

use std::path::Path;

use watertight_suites::conflict::{Written, by_command, by_library};
use watertight_suites::{Daemon, Ending, Workspace, workspace};

const WRITERS: usize = 8;
const ISSUES_EACH: usize = 1_000;
/// A process each. The bin `conflict` has more.
const COMMANDS_EACH: usize = 10;

fn writer() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_write-many"))
}

/// Compares what the writers were told with the database and with the file that the daemon has kept.
fn check(workspace: &Workspace, written: &Written, expected: usize) -> Ending {
    assert_eq!(written.count(), expected, "{:?}", written.complaints);
    let issues = workspace.tracker(["export", "-"])?.ok()?.out;
    assert_eq!(written.faults(&issues)?, [""; 0]);
    assert_eq!(issues.lines().count(), expected, "nobody has written more than that");
    workspace.tracker(["sync"])?.ok()?;
    assert_eq!(std::fs::read_to_string(workspace.paths().jsonl())?, issues);
    Ok(())
}

#[test]
fn eight_processes_by_the_library_while_a_daemon_syncs() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let written = by_library(&workspace, writer(), WRITERS, ISSUES_EACH)?;
    let status = workspace.client()?.status()?;
    daemon.stop()?;
    println!(
        "{} issues in {:?}, {} exports meanwhile",
        written.count(),
        written.time,
        status.exports
    );
    assert_eq!(status.last_error, None);
    check(&workspace, &written, WRITERS * ISSUES_EACH)
}

#[test]
fn eight_people_at_the_command_line_while_a_daemon_syncs() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let written = by_command(&workspace, WRITERS, COMMANDS_EACH)?;
    let status = workspace.client()?.status()?;
    daemon.stop()?;
    assert_eq!(status.last_error, None);
    check(&workspace, &written, WRITERS * COMMANDS_EACH)
}

#[test]
fn a_lost_issue_a_twin_and_a_complaint_are_told() -> Ending {
    let workspace = workspace!()?;
    let mut written = by_library(&workspace, writer(), 2, 3)?;
    let text = workspace.tracker(["export", "-"])?.ok()?.out;
    assert_eq!(written.faults(&text)?, [""; 0]);
    let fewer: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(written.faults(&fewer.join("\n"))?, ["1 of 6 acknowledged issues are lost"]);
    let twin = written.ids[0][0].clone();
    written.ids[1].push(twin.clone());
    assert_eq!(written.faults(&text)?, [format!("{twin} was given twice")]);

    std::fs::remove_file(workspace.paths().database())?;
    let refused = by_library(&workspace, writer(), 1, 3)?;
    assert_eq!(refused.count(), 0);
    assert!(refused.complaints[0].contains("no database"), "{:?}", refused.complaints);
    Ok(())
}
