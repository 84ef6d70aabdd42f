//! The life of a daemon: how it starts, who may be there already, and every way in which it ends.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail, ensure};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use watertight_suites::{
    Bystander, Daemon, Embedded, Ending, Launched, PATIENCE, Workspace, options, wait_for,
    workspace,
};
use watertight_tracker::daemon::control::{self, State};
use watertight_tracker::daemon::{StopReason, lock::DaemonLock};
use watertight_tracker::issue::NewIssue;
use watertight_tracker::process::PidFd;

/// The original fell over after some dozen; a hundred is what its fix was tried with.
const CYCLES: usize = 100;
/// Enough that everything which daemons could share they would share.
const NEIGHBOURS: usize = 6;
/// What stays once in each is then more than any cache would keep.
const REPETITIONS: u32 = 12;
/// Longer than a socket's address can be.
const DEEP_PATH_BYTES: usize = 200;

watertight::main!();

// How it starts.

#[watertight::test]
fn a_daemon_writes_its_pidfile_and_answers() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let written = fs::read_to_string(workspace.paths().pidfile())?;
    assert_eq!(written.trim().parse::<u32>()?, daemon.pid());
    assert_eq!(control::state(workspace.paths())?, State::Running { pid: Some(daemon.pid()) });
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid());
    daemon.stop()
}

#[watertight::test]
fn the_launcher_prints_the_daemons_pid() -> Ending {
    let workspace = workspace!()?;
    let daemon = Launched::start(&workspace)?;
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid);
    let stopped = workspace.tracker(["--json", "daemon", "stop"])?.ok()?.json()?;
    assert_eq!(stopped["pid"], daemon.pid);
    ensure!(daemon.has_ended()?, "`stop` returned before the daemon was gone");
    Ok(())
}

#[watertight::test(deadline = "60s")]
fn a_start_with_captured_output_returns_while_the_daemon_runs() -> Ending {
    let workspace = workspace!()?;
    // Reads both streams to their end, which never comes if the daemon holds on to them.
    let daemon = Launched::start(&workspace)?;
    ensure!(!daemon.has_ended()?, "the daemon ended with its launcher");
    workspace.client()?.ping()?;
    workspace.tracker(["daemon", "stop"])?.ok()?;
    Ok(())
}

#[watertight::test]
fn the_launcher_tells_why_a_daemon_cannot_start() -> Ending {
    let workspace = workspace!()?;
    fs::remove_file(workspace.paths().database())?;
    let said = workspace.tracker(["daemon", "start"])?;
    assert_eq!(said.status, Some(2), "{said:?}");
    ensure!(said.err.contains("no database at"), "the daemon's own reason is lost: {said:?}");
    ensure!(!workspace.paths().pidfile().exists(), "a daemon that did not start left its pidfile");
    Ok(())
}

#[watertight::test]
fn the_status_tells_the_pid_or_that_there_is_none() -> Ending {
    let workspace = workspace!()?;
    let none = workspace.tracker(["daemon", "status", "--json"])?;
    assert_eq!((none.status, &none.json()?["running"]), (Some(6), &false.into()));
    let daemon = Daemon::start(&workspace)?;
    let one = workspace.tracker(["daemon", "status", "--json"])?.ok()?.json()?;
    assert_eq!((&one["pid"], &one["answers"]), (&daemon.pid().into(), &true.into()));
    daemon.stop()
}

#[watertight::test]
fn a_deep_workspace_has_a_socket_that_fits() -> Ending {
    let below = ["d".repeat(DEEP_PATH_BYTES / 2), "e".repeat(DEEP_PATH_BYTES / 2)].join("/");
    let program = env!("CARGO_BIN_EXE_tracker-under-test");
    let workspace = Workspace::below(program, Path::new(&below))?;
    let socket = workspace.paths().socket();
    let dir = socket.parent().context("a socket lies in a directory")?;
    ensure!(!dir.starts_with(workspace.root()), "the test's path is not deep enough");
    let daemon = Daemon::start(&workspace)?;
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid());
    daemon.stop()?;
    ensure!(!dir.exists(), "the socket's directory outlived the daemon: {}", dir.display());
    Ok(())
}

// Who may be there already.

#[watertight::test]
fn a_second_daemon_is_refused_with_exit_5() -> Ending {
    let workspace = workspace!()?;
    let first = Daemon::start(&workspace)?;
    for verb in ["start", "run"] {
        let second = workspace.tracker(["daemon", verb])?;
        assert_eq!(second.status, Some(5), "{second:?}");
        ensure!(second.err.contains(&format!("pid {}", first.pid())), "whose? {second:?}");
    }
    assert_eq!(workspace.client()?.status()?.pid, first.pid(), "the first one is not disturbed");
    first.stop()
}

#[watertight::test]
fn a_killed_daemon_is_replaced_by_the_next() -> Ending {
    let workspace = workspace!()?;
    let first = Daemon::start(&workspace)?;
    let id = workspace.client()?.create(&titled("survives"))?.id;
    first.kill()?;
    ensure!(workspace.paths().pidfile().exists(), "a killed daemon cannot remove its pidfile");
    ensure!(workspace.paths().socket().exists(), "nor its socket");
    assert_eq!(control::state(workspace.paths())?, State::Stopped, "its lock went with it");

    let second = Daemon::start(&workspace)?;
    assert_eq!(workspace.client()?.show(&id)?.title, "survives");
    second.stop()
}

#[watertight::test]
fn a_stale_pidfile_never_gets_a_stranger_signalled() -> Ending {
    let workspace = workspace!()?;
    let mut stranger = Bystander::start()?;
    fs::write(workspace.paths().pidfile(), format!("{}\n", stranger.pid()))?;

    assert_eq!(workspace.tracker(["daemon", "status"])?.status, Some(6));
    let stopped = workspace.tracker(["--json", "daemon", "stop"])?.ok()?.json()?;
    assert_eq!(stopped["stopped"], false);
    let daemon = Daemon::start(&workspace)?;
    daemon.stop()?;
    ensure!(stranger.is_alive()?, "a pid in a file is only a number");
    Ok(())
}

#[watertight::test]
fn a_stale_socket_is_taken_over() -> Ending {
    let workspace = workspace!()?;
    drop(UnixListener::bind(workspace.paths().socket())?);
    ensure!(workspace.client().is_err(), "nobody listens there");
    let daemon = Daemon::start(&workspace)?;
    workspace.client()?.ping()?;
    daemon.stop()
}

#[watertight::test]
fn neighbours_in_one_process_do_not_mix() -> Ending {
    let mut neighbours = Vec::new();
    for number in 0..NEIGHBOURS {
        let workspace = workspace!()?;
        let daemon = Embedded::start(&workspace, options())?;
        neighbours.push((number.to_string(), workspace, daemon));
    }
    for (title, workspace, _) in &neighbours {
        workspace.client()?.create(&titled(title))?;
    }
    for (title, workspace, daemon) in neighbours {
        let issues = workspace.client()?.list(None)?;
        assert_eq!(issues.iter().map(|issue| &issue.title).collect::<Vec<_>>(), [&title]);
        assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    }
    Ok(())
}

// Every way in which it ends.

#[watertight::test]
fn a_stop_takes_pidfile_and_socket_away() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let pid = daemon.pid();
    let process = PidFd::open(pid)?;
    assert_eq!(control::stop(workspace.paths(), PATIENCE)?, Some(pid));
    ensure!(process.wait(Instant::now())?, "`stop` returned before the daemon was gone");
    ensure!(!workspace.paths().pidfile().exists(), "the pidfile is still there");
    ensure!(!workspace.paths().socket().exists(), "the socket is still there");
    assert_eq!(control::stop(workspace.paths(), PATIENCE)?, None, "there is none any more");
    assert_eq!(daemon.wait()?.code(), Some(0));
    Ok(())
}

#[watertight::test]
fn sigterm_ends_it_well() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let _connected = workspace.client()?;
    daemon.signal(Signal::SIGTERM)?;
    assert_eq!(daemon.wait()?.code(), Some(0), "an idle client does not hold it");
    ensure!(!workspace.paths().pidfile().exists(), "the pidfile is still there");
    Ok(())
}

#[watertight::test]
fn sigterm_reaches_a_daemon_whose_launcher_has_blocked_it() -> Ending {
    let workspace = workspace!()?;
    let mask = SigSet::from_iter([Signal::SIGTERM]).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = Daemon::start(&workspace);
    mask.thread_set_mask()?;
    started?.stop()
}

#[watertight::test]
fn sigint_ends_it_with_exit_130() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    daemon.signal(Signal::SIGINT)?;
    assert_eq!(daemon.wait()?.code(), Some(130));
    ensure!(!workspace.paths().socket().exists(), "the socket is still there");
    Ok(())
}

#[watertight::test]
fn a_client_may_end_it_and_is_answered_first() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, options())?;
    workspace.client()?.shutdown()?;
    let report = daemon.wait()?;
    assert_eq!((report.reason, report.unclosed.len()), (StopReason::Asked, 0));
    ensure!(workspace.client().is_err(), "somebody still listens");
    Ok(())
}

#[watertight::test]
fn a_daemon_leaves_when_its_workspace_is_deleted() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    fs::remove_dir_all(workspace.paths().dir())?;
    assert_eq!(daemon.wait()?.code(), Some(0));
    ensure!(!workspace.paths().dir().exists(), "it has made the workspace anew");
    Ok(())
}

#[watertight::test]
fn a_daemon_leaves_when_its_lock_file_is_replaced() -> Ending {
    let workspace = workspace!()?;
    let pidfile = workspace.paths().pidfile();
    let daemon = Embedded::start(&workspace, options())?;
    fs::remove_file(&pidfile)?;
    let theirs = DaemonLock::acquire(&pidfile)?;
    let report = daemon.wait()?;
    assert_eq!((report.reason, report.unclosed.len()), (StopReason::LockReplaced, 0));
    ensure!(theirs.is_in_place(), "what somebody else holds is not ours to remove");
    Ok(())
}

#[watertight::test]
async fn a_daemon_whose_future_is_dropped_leaves_nothing() -> Ending {
    let workspace = workspace!()?;
    let daemon = watertight_tracker::daemon::Daemon::bind(workspace.paths(), options())?;
    let ping = async {
        let mut stream = BufReader::new(UnixStream::connect(workspace.paths().socket()).await?);
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::select! {
        ended = daemon.run(CancellationToken::new()) => bail!("it ended by itself: {ended:?}"),
        answer = ping => answer?,
    };
    ensure!(answer.contains("result"), "not answered: {answer}");
    // Its tasks end when the runtime next turns to them.
    let gone = async {
        while control::state(workspace.paths())? != State::Stopped {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, gone).await??;
    ensure!(!workspace.paths().socket().exists(), "the socket is still there");
    Ok(())
}

#[watertight::test]
fn a_hundred_daemons_start_and_stop_in_one_process() -> Ending {
    let workspace = workspace!()?;
    for cycle in 0..CYCLES {
        let daemon = Embedded::start(&workspace, options())?;
        workspace.client()?.sync()?;
        let report = daemon.stop()?;
        assert_eq!(report.unclosed, [""; 0], "cycle {cycle}");
    }
    Ok(())
}

#[watertight::test]
fn what_a_daemon_is_asked_does_not_stay_with_it(cx: &watertight::Context) -> Ending {
    let workspace = workspace!()?;
    // Without ticks of its own it is at rest whenever it is looked at.
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"])?;
    let mut client = workspace.client()?;
    wait_for("the first pass", || Ok(client.status()?.passes == 1))?;
    cx.watch(&daemon.pid());
    let steady = cx.steady(REPETITIONS, || {
        let id = client.create(&titled("comes and goes"))?.id;
        client.sync()?;
        client.delete(&id)?;
        client.sync()?;
        Ok(())
    });
    steady.map_err(|failed| anyhow!("{failed}"))?;
    daemon.stop()
}

fn titled(title: &str) -> NewIssue {
    NewIssue::titled(title)
}
