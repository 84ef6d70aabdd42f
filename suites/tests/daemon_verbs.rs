//! What a person does with a daemon: start it, ask how it is, read its log and its numbers.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use nix::sys::signal::Signal;
use watertight_suites::{
    Daemon, Embedded, Ending, Launched, PATIENCE, Said, Workspace, options, wait_for, workspace,
};
use watertight_tracker::daemon::{Options, control};
use watertight_tracker::issue::NewIssue;
use watertight_tracker::protocol::Metrics;

/// All at once, more than the machine has processors.
const LAUNCHERS: usize = 20;
/// As long as a log gets before it is put aside.
const LOG_BYTES_MAX: usize = 1024 * 1024;

watertight::main!();

// Start and restart.

#[watertight::test(deadline = "120s")]
fn of_many_launchers_at_once_one_starts_a_daemon_and_all_name_it() -> Ending {
    let workspace = workspace!()?;
    let said: Vec<_> = std::thread::scope(|scope| {
        let start = || workspace.tracker(["--json", "daemon", "start", "--interval", "20ms"]);
        let launchers: Vec<_> = (0..LAUNCHERS).map(|_| scope.spawn(start)).collect();
        launchers.into_iter().map(|launcher| launcher.join()).collect()
    });
    let said: Vec<Said> = said
        .into_iter()
        .map(|said| said.map_err(|_| anyhow!("a launcher panicked"))?)
        .collect::<anyhow::Result<_>>()?;
    let (started, refused): (Vec<_>, Vec<_>) =
        said.into_iter().partition(|said| said.status == Some(0));
    let daemons = started.iter().map(Launched::told).collect::<anyhow::Result<Vec<_>>>()?;
    assert_eq!(daemons.len(), 1, "{started:?}");
    assert_eq!(workspace.client()?.status()?.pid, daemons[0].pid);
    for said in refused {
        assert_eq!(said.status, Some(5), "{said:?}");
        ensure!(said.err.contains(&format!("(pid {})", daemons[0].pid)), "whose? {said:?}");
    }
    workspace.tracker(["daemon", "stop"])?.ok()?;
    Ok(())
}

#[watertight::test]
fn a_daemon_whose_launcher_is_gone_does_not_stay() -> Ending {
    let workspace = workspace!()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = Command::new(workspace.program());
    command.arg("--dir").arg(workspace.root()).args(["daemon", "run", "--detached"]);
    let output = command.stdin(Stdio::null()).stdout(writer).output()?;
    let said = Said::from(output);
    assert_eq!(said.status, Some(1), "{said:?}");
    ensure!(said.err.contains("is gone"), "{said:?}");
    ensure!(!workspace.paths().pidfile().exists(), "its pidfile is still there");
    ensure!(!workspace.paths().socket().exists(), "its socket is still there");
    Ok(())
}

#[watertight::test]
fn a_restart_keeps_what_it_is_not_told_to_change() -> Ending {
    let workspace = workspace!()?;
    let given =
        ["--interval=20ms", "--tcp=127.0.0.1:0", "--idle-timeout=1h", "--commit-interval=7m"];
    let first = workspace.tracker(["--json", "daemon", "start"].iter().chain(&given))?.ok()?;
    let first = Launched::told(&first)?;
    let before = workspace.client()?.status()?;

    let second = Launched::told(&workspace.tracker(["--json", "daemon", "restart"])?.ok()?)?;
    ensure!(first.has_ended()?, "the old one is still there");
    let after = workspace.client()?.status()?;
    assert_eq!(after.pid, second.pid);
    let settings = |of: &watertight_tracker::protocol::Status| {
        (of.interval_ms, of.tcp, of.idle_timeout_ms, of.commit_interval_ms)
    };
    assert_eq!(settings(&after), settings(&before));
    assert_eq!((after.interval_ms, after.idle_timeout_ms), (20, Some(3_600_000)));
    assert_eq!(after.commit_interval_ms, 420_000);

    let third = ["--json", "daemon", "restart", "--interval", "50ms"];
    let third = Launched::told(&workspace.tracker(third)?.ok()?)?;
    let changed = workspace.client()?.status()?;
    assert_eq!((changed.pid, changed.interval_ms, changed.tcp), (third.pid, 50, before.tcp));
    control::stop(workspace.paths(), PATIENCE)?;
    Ok(())
}

#[watertight::test]
fn a_restart_without_a_daemon_starts_one() -> Ending {
    let workspace = workspace!()?;
    let started = workspace.tracker(["--json", "daemon", "restart", "--interval", "20ms"])?.ok()?;
    assert_eq!(started.json()?["stopped"], serde_json::Value::Null);
    let daemon = Launched::told(&started)?;
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid);
    control::stop(workspace.paths(), PATIENCE)?;
    Ok(())
}

// How it is.

#[watertight::test]
fn health_is_told_by_exit_code_and_reasons() -> Ending {
    let workspace = workspace!()?;
    let none = workspace.tracker(["daemon", "health", "--json"])?;
    assert_eq!((none.status, &none.json()?["healthy"]), (Some(6), &false.into()));

    let daemon = Daemon::start(&workspace)?;
    let well = workspace.tracker(["daemon", "health"])?.ok()?;
    assert_eq!(well.out.lines().count(), 1, "{well:?}");
    daemon.stop()?;

    workspace.enable_git()?;
    workspace.git_ignores(".tracker/")?;
    workspace.create("a")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    wait_for("the failure is told", || Ok(client.status()?.last_error.is_some()))?;
    let ill = workspace.tracker(["daemon", "health"])?;
    assert_eq!(ill.status, Some(1), "{ill:?}");
    ensure!(ill.out.contains("git ignores") && ill.out.contains("tried again in"), "{ill:?}");
    let reasons = workspace.tracker(["daemon", "health", "--json"])?.json()?;
    assert_eq!(reasons["reasons"].as_array().map(Vec::len), Some(1), "{reasons}");

    workspace.git_ignores("")?;
    client.sync()?;
    workspace.tracker(["daemon", "health"])?.ok()?;
    daemon.stop()
}

#[watertight::test]
fn metrics_agree_with_what_is_seen_from_outside() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    client.create(&NewIssue::titled("a"))?;
    client.sync()?;
    client.call("frobnicate", serde_json::Value::Null).err().context("answered")?;
    let text = client.metrics()?.text;
    ensure!(text.ends_with("\n# EOF\n"), "not whole: {text}");
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<_> = families.iter().collect();
    assert_eq!(names.len(), families.len(), "a family is told twice: {text}");

    let pid = daemon.pid();
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.count();
    assert_eq!(value(&text, "process_open_fds")?, fds as f64);
    assert_eq!(value(&text, "process_threads")?, threads as f64);
    for (name, expected) in [
        ("tracker_open_stores", 2.0),
        ("tracker_connections", 1.0),
        ("tracker_exports_total", 1.0),
        ("tracker_requests_total{method=\"create\"}", 1.0),
        ("tracker_requests_total{method=\"unknown\"}", 1.0),
        ("tracker_refused_requests_total", 1.0),
        ("tracker_backoff_seconds", 0.0),
    ] {
        assert_eq!(value(&text, name)?, expected, "{name}");
    }
    for name in [
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "tracker_passes_total",
        "tracker_pass_seconds_sum",
        "tracker_tasks",
        "tracker_wal_bytes",
    ] {
        ensure!(value(&text, name)? > 0.0, "{name} is nothing: {text}");
    }
    let printed = workspace.tracker(["daemon", "metrics"])?.ok()?.out;
    ensure!(printed.ends_with("# EOF\n"), "not as it came: {printed}");
    let json = workspace.tracker(["daemon", "metrics", "--json"])?.ok()?.json()?;
    let json: Metrics = serde_json::from_value(json)?;
    ensure!(json.content_type.starts_with("application/openmetrics-text"), "{json:?}");
    daemon.stop()
}

// Its log.

#[watertight::test]
fn a_log_that_has_grown_is_put_aside_by_the_daemon() -> Ending {
    let workspace = workspace!()?;
    fs::write(workspace.paths().log(), "of yesterday\n".repeat(LOG_BYTES_MAX / 13 + 1))?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"])?;
    let mut client = workspace.client()?;
    wait_for("the first pass", || Ok(client.status()?.passes == 1))?;
    let (log, aside) = (workspace.paths().log(), workspace.paths().log_aside());
    ensure!(fs::metadata(&aside)?.len() >= LOG_BYTES_MAX as u64, "what was said is gone");
    ensure!(fs::read_to_string(&log)?.contains("ready"), "it does not say so in the new one");

    // While it runs, too.
    let mut long = fs::File::options().append(true).open(&log)?;
    long.write_all("of today\n".repeat(LOG_BYTES_MAX / 9 + 1).as_bytes())?;
    client.create(&NewIssue::titled("a"))?;
    client.sync()?;
    let said = fs::read_to_string(&log)?;
    ensure!(said.contains("synced") && said.len() < 4096, "not put aside: {} bytes", said.len());
    ensure!(fs::read_to_string(&aside)?.contains("of today"), "what was said is gone");
    assert_eq!(fs::metadata(&log)?.permissions().mode() & 0o777, 0o600);

    // Standard error has followed, for those who write there without asking us.
    let open = fs::read_link(format!("/proc/{}/fd/2", daemon.pid()))?;
    assert_eq!(open, fs::canonicalize(&log)?);
    let last = workspace.tracker(["daemon", "logs", "-n", "3"])?.ok()?.out;
    assert_eq!(last.lines().count(), 3, "{last}");
    ensure!(last.contains("synced"), "{last}");
    daemon.stop()
}

#[watertight::test]
fn a_follower_sees_all_until_the_daemon_ends() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"])?;
    let mut follower = Follower::start(&workspace)?;
    follower.until("ready")?;
    let mut client = workspace.client()?;
    let log = workspace.paths().log();
    for round in 0..2 {
        client.create(&NewIssue::titled(format!("in round {round}")))?;
        client.sync()?;
        follower.until("synced")?;
        // The next line that the daemon writes stands in another file.
        let filler = format!("of round {round}\n");
        let mut long = fs::File::options().append(true).open(&log)?;
        long.write_all(filler.repeat(LOG_BYTES_MAX / filler.len() + 1).as_bytes())?;
        follower.until(filler.trim())?;
    }
    daemon.stop()?;
    follower.until("stopped")?;
    follower.expect_end()
}

#[watertight::test]
fn a_follower_whose_reader_leaves_ends() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"])?;
    let mut follower = Follower::start(&workspace)?;
    follower.until("ready")?;
    drop(follower.lines);
    let ended = follower.child.0.wait()?;
    assert_eq!(ended.code(), Some(0), "a closed pipe is no failure");
    daemon.stop()
}

#[watertight::test]
fn without_a_log_it_is_said_where_there_may_be_one() -> Ending {
    let workspace = workspace!()?;
    let none = workspace.tracker(["daemon", "logs"])?;
    assert_eq!(none.status, Some(1), "{none:?}");
    ensure!(none.err.contains("tracker daemon start"), "{none:?}");
    Ok(())
}

// Under a service manager.

#[watertight::test]
fn a_service_manager_is_told_of_start_and_end() -> Ending {
    let workspace = workspace!()?;
    let at = workspace.paths().run_dir().join("notify");
    let manager = UnixDatagram::bind(&at)?;
    manager.set_read_timeout(Some(PATIENCE))?;
    let told = || -> anyhow::Result<String> {
        let mut bytes = [0; 512];
        let count = manager.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    };
    let daemon = Daemon::in_foreground(&workspace, &[("NOTIFY_SOCKET", at.as_os_str())])?;
    assert_eq!(told()?.trim(), "READY=1");
    workspace.client()?.ping()?;
    daemon.signal(Signal::SIGTERM)?;
    assert_eq!(told()?.trim(), "STOPPING=1");
    assert_eq!(daemon.wait()?.code(), Some(0));
    Ok(())
}

#[watertight::test]
fn the_unit_names_this_program_and_workspace() -> Ending {
    let workspace = workspace!()?;
    let unit = workspace.tracker(["daemon", "unit", "--idle-timeout", "30m"])?.ok()?.out;
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("none")?;
    let words: Vec<_> = command.split(' ').collect();
    ensure!(words[0].starts_with('/'), "{command}");
    let root = workspace.root().display().to_string();
    ensure!(words.contains(&root.as_str()), "{command}");
    ensure!(command.contains("daemon run --interval 5s "), "{command}");
    ensure!(command.ends_with("--idle-timeout 30m"), "{command}");
    Ok(())
}

// Leaving by itself.

#[watertight::test]
fn a_daemon_that_nobody_needs_leaves() -> Ending {
    use watertight_tracker::daemon::StopReason;
    let workspace = workspace!()?;
    let idle_timeout = Some(Duration::from_millis(60));
    let daemon = Embedded::start(&workspace, Options { idle_timeout, ..options() })?;
    let mut client = workspace.client()?;
    wait_for("some ticks", || Ok(client.status()?.ticks >= 12))?;
    drop(client);
    let report = daemon.wait()?;
    assert_eq!((report.reason, report.unclosed.len()), (StopReason::Idle, 0));
    Ok(())
}

/// `tracker daemon logs --follow`, read line by line.
struct Follower {
    child: Reaped,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

struct Reaped(Child);

impl Follower {
    fn start(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut command = Command::new(workspace.program());
        command.arg("--dir").arg(workspace.root()).args(["daemon", "logs", "--follow"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "ended and reaped when dropped")]
        let mut child = Reaped(command.spawn()?);
        let lines = BufReader::new(child.0.stdout.take().context("no output")?).lines();
        Ok(Self { child, lines })
    }

    /// Reads until a line holds `word`.
    fn until(&mut self, word: &str) -> Ending {
        for line in &mut self.lines {
            if line?.contains(word) {
                return Ok(());
            }
        }
        Err(anyhow!("it ended without a line that says {word:?}"))
    }

    fn expect_end(mut self) -> Ending {
        let rest: Vec<_> = self.lines.by_ref().collect::<Result<_, _>>()?;
        ensure!(rest.is_empty(), "unexpected: {rest:?}");
        assert_eq!(self.child.0.wait()?.code(), Some(0));
        Ok(())
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The value of a metric.
fn value(text: &str, name: &str) -> anyhow::Result<f64> {
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(sample.with_context(|| format!("no {name} in {text}"))?.parse()?)
}
