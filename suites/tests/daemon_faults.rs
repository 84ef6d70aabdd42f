//! What has brought down trackers in the field: files that vanish or are replaced under a daemon,
//! descriptors that are used up, pids that mean somebody else, clients that belong elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::libc;
use watertight_suites::{
    Bystander, Daemon, Embedded, Ending, GitGate, Launched, PATIENCE, RawClient, Workspace,
    options, wait_for, workspace,
};
use watertight_tracker::client::{Client, ClientError, TcpEndpoint};
use watertight_tracker::daemon::control::{self, ControlError, State};
use watertight_tracker::daemon::{DaemonLock, Options, StopReason};
use watertight_tracker::failure::Failure;
use watertight_tracker::issue::NewIssue;
use watertight_tracker::store::Store;

/// As many as somebody with many projects has.
const MANY: usize = 20;
/// So long that no test sees a tick.
const NEVER: Duration = Duration::from_secs(3600);
/// The daemon does not try to accept more often than this when it has failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Longer than a socket's address can be.
const DEEP_PATH_BYTES: usize = 200;

watertight::main!();

// Files that go.

#[watertight::test(deadline = "120s")]
fn twenty_daemons_leave_when_their_directories_are_deleted() -> Ending {
    let mut daemons = Vec::new();
    for _ in 0..MANY {
        let workspace = workspace!()?;
        let daemon = Daemon::start(&workspace)?;
        daemons.push((workspace, daemon));
    }
    for (workspace, _) in &daemons {
        fs::remove_dir_all(workspace.root())?;
    }
    for (workspace, daemon) in daemons {
        assert_eq!(daemon.wait()?.code(), Some(0));
        ensure!(!workspace.root().exists(), "it has made its directory anew");
    }
    Ok(())
}

#[watertight::test]
fn a_daemon_leaves_when_its_database_is_replaced() -> Ending {
    for is_deleted in [false, true] {
        let workspace = workspace!()?;
        let daemon = Embedded::start(&workspace, options())?;
        workspace.client()?.create(&NewIssue::titled("in the old one"))?;
        wait_for("it is exported", || Ok(!workspace.exported_titles()?.is_empty()))?;
        let exported = fs::read(workspace.paths().jsonl())?;
        match is_deleted {
            true => fs::remove_file(workspace.paths().database())?,
            false => replace_database(&workspace)?,
        }
        let report = daemon.wait()?;
        assert_eq!((report.reason, report.unclosed.len()), (StopReason::DatabaseReplaced, 0));
        assert_eq!(fs::read(workspace.paths().jsonl())?, exported, "it has written once more");
        if !is_deleted {
            let store = workspace.store()?;
            assert_eq!(store.count()?, 1, "the new one is not as it was put there");
            store.close()?;
        }
    }
    Ok(())
}

#[watertight::test]
fn a_git_that_hangs_does_not_keep_a_daemon_where_it_has_lost_its_place() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    let mut gate = GitGate::close(&workspace)?;
    workspace.create("in the making")?;
    let patient = Options { git_timeout: NEVER, shutdown_timeout: NEVER, ..options() };
    let daemon = Embedded::start(&workspace, patient)?;
    gate.wait()?;
    fs::remove_file(workspace.paths().pidfile())?;
    let report = daemon.wait()?;
    assert_eq!((report.reason, report.unclosed.len()), (StopReason::LockReplaced, 0));
    assert_eq!(workspace.commits()?, 0);
    Ok(())
}

#[watertight::test]
fn nothing_is_acknowledged_that_goes_to_a_database_that_is_gone() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, Options { interval: NEVER, ..options() })?;
    let mut client = workspace.client()?;
    client.create(&NewIssue::titled("in the old one"))?;
    replace_database(&workspace)?;
    let refused = client.create(&NewIssue::titled("lost")).err().context("acknowledged")?;
    assert_eq!(Failure::from(&refused).code, "database_replaced", "{refused}");
    let report = daemon.wait()?;
    assert_eq!((report.reason, report.unclosed.len()), (StopReason::DatabaseReplaced, 0));
    Ok(())
}

/// Puts another database, with one issue, in the place of the workspace's.
fn replace_database(workspace: &Workspace) -> Ending {
    let other = workspace.root().join("other.db");
    let mut store = Store::open(&other)?;
    store.create(NewIssue::titled("in the new one"))?;
    store.close()?;
    let database = workspace.paths().database();
    for log in ["db-wal", "db-shm"] {
        fs::remove_file(database.with_extension(log))?;
    }
    Ok(fs::rename(other, database)?)
}

// Pids that mean somebody else.

#[watertight::test]
fn a_stranger_whose_pid_stands_in_a_locked_file_is_not_signalled() -> Ending {
    let workspace = workspace!()?;
    let pidfile = workspace.paths().pidfile();
    let mut stranger = Bystander::start()?;
    let lock = DaemonLock::acquire(&pidfile)?;
    fs::write(&pidfile, format!("{}\n", stranger.pid()))?;
    assert_eq!(control::state(workspace.paths())?, State::Running { pid: Some(stranger.pid()) });
    let stopped = control::stop(workspace.paths(), Duration::from_millis(50));
    ensure!(matches!(stopped, Err(ControlError::StillThere { .. })), "{stopped:?}");
    ensure!(stranger.is_alive()?, "a stranger was ended");
    drop(lock);
    Ok(())
}

#[watertight::test]
fn a_daemon_that_does_not_answer_is_signalled() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    // Nobody can ask it, but it is the one who holds the lock.
    fs::remove_file(workspace.paths().socket())?;
    assert_eq!(control::stop(workspace.paths(), PATIENCE)?, Some(daemon.pid()));
    assert_eq!(daemon.wait()?.code(), Some(0));
    Ok(())
}

// Descriptors that are used up.

#[watertight::test(deadline = "60s")]
fn without_descriptors_it_neither_spins_nor_floods_and_recovers() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut watcher = workspace.client()?;
    watcher.sync()?;
    let told =
        |of: &mut Client, name: &str| -> anyhow::Result<f64> { value(&of.metrics()?.text, name) };
    let before = set_descriptors_max(daemon.pid(), told(&mut watcher, "process_open_fds")? as u64)?;
    let began = Instant::now();
    let mut waiting =
        (0..5).map(|_| RawClient::connect(&workspace)).collect::<anyhow::Result<Vec<_>>>()?;
    wait_for("it has failed often enough to be seen to wait in between", || {
        Ok(told(&mut watcher, "tracker_refused_connections_total")? >= 5.0)
    })?;
    let failures = told(&mut watcher, "tracker_refused_connections_total")?;
    let most = began.elapsed().as_secs_f64() / ACCEPT_BACKOFF.as_secs_f64() + 2.0;
    ensure!(failures <= most, "{failures} failures in {:?}", began.elapsed());

    // The file cannot be written either: that is told once, and tried again later and later.
    let id = watcher.create(&NewIssue::titled("meanwhile"))?.id;
    wait_for("the sync has failed", || Ok(watcher.status()?.last_error.is_some()))?;
    wait_for("and again", || Ok(told(&mut watcher, "tracker_failed_passes_total")? >= 2.0))?;
    let log = fs::read_to_string(workspace.paths().log())?;
    for what in ["cannot accept", "sync failed"] {
        let lines = log.lines().filter(|line| line.contains(what)).count();
        assert_eq!(lines, 1, "{what}: {log}");
    }

    set_descriptors_max(daemon.pid(), before)?;
    for client in &mut waiting {
        let answer = client.ask(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#)?;
        assert_eq!(answer["id"], 7);
    }
    watcher.sync()?;
    ensure!(watcher.status()?.last_error.is_none(), "the failure is still told");
    assert_eq!(watcher.show(&id)?.title, "meanwhile");
    assert_eq!(workspace.exported_titles()?, ["meanwhile"]);
    drop(waiting);
    daemon.stop()
}

/// Sets how many descriptors a process may have open, and returns what it was.
fn set_descriptors_max(pid: u32, most: u64) -> anyhow::Result<u64> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let pid = i32::try_from(pid)?;
    // SAFETY: both pointers are null or to a limit that lives until the call returns.
    let got = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &mut before) };
    nix::errno::Errno::result(got)?;
    let after = libc::rlimit { rlim_cur: most, ..before };
    // SAFETY: as above.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &after, std::ptr::null_mut()) };
    nix::errno::Errno::result(set)?;
    Ok(before.rlim_cur)
}

fn value(text: &str, name: &str) -> anyhow::Result<f64> {
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(sample.with_context(|| format!("no {name} in {text}"))?.parse()?)
}

// Clients that belong elsewhere.

#[watertight::test]
fn two_workspaces_never_touch_each_other() -> Ending {
    let (ours, theirs) = (workspace!()?, workspace!()?);
    let (mut our_daemon, their_daemon) = (Daemon::start(&ours)?, Daemon::start(&theirs)?);
    let mut client = theirs.client()?;
    let id = client.create(&NewIssue::titled("theirs"))?.id;
    for round in 0..3 {
        match round {
            0 => our_daemon.stop()?,
            1 => our_daemon.kill()?,
            _ => {
                fs::remove_file(ours.paths().pidfile())?;
                assert_eq!(our_daemon.wait()?.code(), Some(0));
            }
        }
        our_daemon = Daemon::start(&ours)?;
        ours.client()?.create(&NewIssue::titled("ours"))?;
        ours.client()?.sync()?;
        assert_eq!(client.show(&id)?.title, "theirs");
        assert_eq!(client.status()?.pid, their_daemon.pid());
    }
    client.sync()?;
    assert_eq!(client.list(None)?.len(), 1);
    assert_eq!(theirs.exported_titles()?, ["theirs"]);
    our_daemon.stop()?;
    their_daemon.stop()
}

#[watertight::test]
fn a_socket_that_leads_to_another_workspace_is_noticed() -> Ending {
    let (ours, theirs) = (workspace!()?, workspace!()?);
    let daemon = Daemon::start(&theirs)?;
    std::os::unix::fs::symlink(theirs.paths().socket(), ours.paths().socket())?;
    let refused = ours.client().err().context("connected")?;
    let refused = refused.downcast::<ClientError>()?;
    ensure!(matches!(refused, ClientError::OtherWorkspace { .. }), "{refused:?}");
    let dir = theirs.paths().dir().display().to_string();
    ensure!(refused.to_string().contains(&dir), "which one? {refused}");
    theirs.client()?.ping()?;
    daemon.stop()
}

#[watertight::test]
fn a_workspace_by_another_name_is_the_same() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let elsewhere = tempfile::tempdir()?;
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(workspace.root(), &link)?;
    let found = watertight_tracker::paths::Workspace::find(&link)?;
    Client::connect(&found)?.ping()?;
    daemon.stop()
}

#[watertight::test]
fn a_daemon_of_another_version_is_to_be_restarted() -> Ending {
    let workspace = workspace!()?;
    let listener = UnixListener::bind(workspace.paths().socket())?;
    let refused = std::thread::scope(|scope| -> anyhow::Result<_> {
        let old = scope.spawn(|| -> Ending {
            let mut stream = BufReader::new(listener.accept()?.0);
            stream.read_line(&mut String::new())?;
            let hello =
                r#"{"jsonrpc":"2.0","id":1,"result":{"protocol":1,"version":"0.0.9","pid":1}}"#;
            Ok(writeln!(stream.get_mut(), "{hello}")?)
        });
        let refused = Client::connect(workspace.paths()).err().context("connected")?;
        old.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        Ok(refused)
    })?;
    ensure!(matches!(refused, ClientError::OtherVersion { protocol: 1, .. }), "{refused:?}");
    let told = Failure::from(&refused);
    ensure!(told.hint.contains("tracker daemon restart"), "{told:?}");
    Ok(())
}

#[watertight::test]
fn a_stranger_who_says_nothing_does_not_keep_a_place() -> Ending {
    let workspace = workspace!()?;
    let tcp = Some("127.0.0.1:0".parse()?);
    let request_timeout = Duration::from_millis(50);
    let daemon = Embedded::start(&workspace, Options { tcp, request_timeout, ..options() })?;
    let silent = RawClient::connect_tcp(TcpEndpoint::of(workspace.paths())?.address)?;
    silent.expect_end()?;
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

// Directories that are deep.

#[watertight::test]
fn a_deep_workspace_is_served_and_nothing_of_it_stays() -> Ending {
    let below = ["d".repeat(DEEP_PATH_BYTES / 2), "e".repeat(DEEP_PATH_BYTES / 2)].join("/");
    let program = env!("CARGO_BIN_EXE_tracker-under-test");
    let workspace = Workspace::below(program, Path::new(&below))?;
    let dir = workspace.paths().socket().parent().context("no directory")?.to_owned();
    ensure!(dir.starts_with("/tmp"), "the test's path is not deep enough");
    let daemon = Launched::start(&workspace)?;
    assert_eq!(workspace.client()?.create(&NewIssue::titled("deep"))?.title, "deep");
    workspace.tracker(["daemon", "stop"])?.ok()?;
    ensure!(daemon.has_ended()?, "it is still there");
    ensure!(!dir.exists(), "{} outlived the daemon", dir.display());

    // Neither does it after its workspace is gone.
    let daemon = Daemon::start(&workspace)?;
    fs::remove_dir_all(workspace.root())?;
    assert_eq!(daemon.wait()?.code(), Some(0));
    ensure!(!dir.exists(), "{} outlived the workspace", dir.display());
    Ok(())
}
