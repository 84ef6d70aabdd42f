//! `tracker doctor`: as a person calls it, with what killed programs have really left, and beside a
//! daemon that lives.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use watertight_suites::{Daemon, Ending, Said, Workspace, WriteLock, wait_for, workspace};

watertight::main!();

#[watertight::test]
fn a_workspace_in_use_has_nothing_to_say() -> Ending {
    let workspace = synced()?;
    let before = everything(workspace.root())?;
    let said = workspace.tracker(["doctor"])?.ok()?;
    ensure!(said.out.lines().all(|line| line.starts_with("ok ")), "{said:?}");
    ensure!(said.err.is_empty() && !said.out.contains("->"), "{said:?}");
    let checks = workspace.tracker(["--json", "doctor"])?.ok()?.json()?;
    let checks = checks.as_array().context("no list")?;
    assert_eq!(checks.len(), said.out.lines().count());
    ensure!(checks.iter().all(|it| it["verdict"] == "ok" && it["hint"].is_null()), "{checks:?}");
    ensure!(everything(workspace.root())? == before, "it has written something");
    Ok(())
}

#[watertight::test]
fn a_directory_without_a_workspace_is_told_with_exit_2() -> Ending {
    let workspace = workspace!()?;
    fs::remove_dir_all(workspace.paths().dir())?;
    assert_eq!(workspace.tracker(["doctor"])?.status, Some(2));
    Ok(())
}

#[watertight::test]
fn what_can_be_mended_is_found_with_exit_1_and_mended_with_exit_0() -> Ending {
    let workspace = synced()?;
    sql(&workspace, "UPDATE issues SET title = 'other'; DELETE FROM searchable")?;
    fs::write(workspace.paths().gitignore(), "")?;
    fs::write(workspace.paths().dir().join(".issues.jsonl.x.tmp"), "{")?;
    let before = everything(workspace.root())?;
    let said = workspace.tracker(["doctor"])?;
    assert_eq!(said.status, Some(1), "{said:?}");
    let wrong: Vec<_> = said.out.lines().filter(|line| line.starts_with("WRONG ")).collect();
    ensure!(wrong.len() >= 3 && wrong.iter().all(|line| line.contains(" -> ")), "{said:?}");
    ensure!(everything(workspace.root())? == before, "it has written something");

    let fixed = workspace.tracker(["doctor", "--fix"])?.ok()?;
    let count = fixed.out.lines().filter(|line| line.starts_with("fixed ")).count();
    ensure!(count >= wrong.len(), "{fixed:?}");
    let said = workspace.tracker(["doctor"])?.ok()?;
    ensure!(said.out.lines().all(|line| line.starts_with("ok ")), "{said:?}");
    let shown = workspace.tracker(["list"])?.ok()?.out;
    ensure!(shown.contains("the tap drips"), "{shown}");
    Ok(())
}

#[watertight::test]
fn what_a_killed_daemon_has_left_is_mended_and_the_next_one_starts() -> Ending {
    let workspace = synced()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "20ms", "--tcp", "127.0.0.1:0"])?;
    daemon.kill()?;
    let said = workspace.tracker(["--json", "doctor"])?;
    assert_eq!(said.status, Some(1), "{said:?}");
    let checks = said.json()?;
    for subject in ["pidfile", "socket", "tcp_file"] {
        assert_eq!(verdict(&checks, subject)?, "wrong", "{checks}");
    }
    let checks = workspace.tracker(["--json", "doctor", "--fix"])?.ok()?.json()?;
    for subject in ["pidfile", "socket", "tcp_file"] {
        assert_eq!(verdict(&checks, subject)?, "fixed", "{checks}");
    }
    is_clean(&workspace)?;
    Daemon::start(&workspace)?.stop()
}

#[watertight::test]
fn a_daemon_that_lives_is_told_and_not_disturbed() -> Ending {
    let workspace = synced()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "20ms", "--tcp", "127.0.0.1:0"])?;
    let run = |workspace: &Workspace| -> Result<Vec<(PathBuf, u64)>> {
        let all = everything(&workspace.paths().run_dir())?;
        Ok(all.into_iter().map(|(path, inode, ..)| (path, inode)).collect())
    };
    let before = run(&workspace)?;
    for args in [&["--json", "doctor"][..], &["--json", "doctor", "--fix"][..]] {
        let checks = workspace.tracker(args)?.ok()?.json()?;
        let told = check(&checks, "daemon")?["found"].as_str().context("no words")?.to_owned();
        ensure!(told.contains(&daemon.pid().to_string()), "{told}");
    }
    ensure!(run(&workspace)? == before, "a file of the daemon's has gone or come");
    assert_eq!(workspace.client()?.status()?.pid, daemon.pid());
    // With something to mend, which it exports by itself or as it is asked to.
    workspace.create("while it runs")?;
    sql(&workspace, "UPDATE issues SET title = 'other' WHERE title = 'the tap drips'")?;
    workspace.tracker(["doctor", "--fix"])?.ok()?;
    wait_for("both are in the file", || {
        Ok(workspace.exported_titles()? == ["the tap drips", "while it runs"])
    })?;
    assert_eq!(workspace.client()?.status()?.last_error, None);
    daemon.stop()?;
    is_clean(&workspace)
}

#[watertight::test]
fn a_daemon_whose_last_sync_failed_is_told_with_the_reason() -> Ending {
    let workspace = synced()?;
    let daemon = Daemon::start(&workspace)?;
    let file = workspace.paths().jsonl();
    let good = fs::read(&file)?;
    fs::write(&file, [&good[..], b"<<<<<<< HEAD\n"].concat())?;
    wait_for("the sync fails", || Ok(workspace.client()?.status()?.last_error.is_some()))?;
    let said = workspace.tracker(["--json", "doctor", "--fix"])?;
    assert_eq!(said.status, Some(1), "{said:?}");
    let checks = said.json()?;
    for subject in ["daemon", "file"] {
        assert_eq!(verdict(&checks, subject)?, "wrong", "{checks}");
    }
    ensure!(fs::read(&file)? != good, "a file with a conflict was replaced");
    daemon.stop()
}

#[watertight::test]
fn the_way_out_of_a_damaged_database_leads_out() -> Ending {
    let workspace = synced()?;
    let database = workspace.paths().database();
    let mut bytes = fs::read(&database)?;
    bytes.truncate(bytes.len() / 2);
    fs::write(&database, bytes)?;
    let said = workspace.tracker(["--json", "doctor", "--fix"])?;
    assert_eq!(said.status, Some(1), "{said:?}");
    let checks = said.json()?;
    let hint = checks
        .as_array()
        .context("no list")?
        .iter()
        .filter(|check| check["verdict"] == "wrong")
        .filter_map(|check| check["hint"].as_str())
        .find(|hint| hint.starts_with("move "))
        .context("no way out")?;
    ensure!(hint.contains("`tracker init") && hint.contains("`tracker sync`"), "{hint}");
    fs::rename(&database, workspace.root().join("damaged.db"))?;
    workspace.tracker(["init", "--prefix", "tt"])?.ok()?;
    workspace.tracker(["sync"])?.ok()?;
    is_clean(&workspace)?;
    ensure!(workspace.tracker(["list"])?.ok()?.out.contains("the tap drips"), "it is lost");
    Ok(())
}

#[watertight::test]
fn while_somebody_writes_it_can_be_looked_at() -> Ending {
    let workspace = synced()?;
    let lock = WriteLock::take(&workspace)?;
    let said = workspace.tracker(["doctor"])?.ok()?;
    ensure!(said.out.lines().all(|line| line.starts_with("ok ")), "{said:?}");
    lock.release();
    Ok(())
}

/// A workspace with an issue that has been searched and synced.
fn synced() -> Result<Workspace> {
    let workspace = workspace!()?;
    workspace.create("the tap drips")?;
    workspace.tracker(["search", "tap"])?.ok()?;
    workspace.tracker(["sync"])?.ok()?;
    Ok(workspace)
}

fn is_clean(workspace: &Workspace) -> Ending {
    let said: Said = workspace.tracker(["doctor"])?.ok()?;
    ensure!(said.out.lines().all(|line| line.starts_with("ok ")), "{said:?}");
    Ok(())
}

/// Does to the database what no program of ours does.
fn sql(workspace: &Workspace, sql: &str) -> Ending {
    #[expect(clippy::disallowed_methods, reason = "it misuses a database, and closes it")]
    let database = rusqlite::Connection::open(workspace.paths().database())?;
    database.execute_batch(sql)?;
    database.close().map_err(|(_connection, error)| error.into())
}

fn check<'a>(checks: &'a Value, subject: &str) -> Result<&'a Value> {
    let mut all = checks.as_array().context("no list")?.iter();
    all.find(|check| check["check"] == subject).with_context(|| format!("no {subject}: {checks}"))
}

fn verdict<'a>(checks: &'a Value, subject: &str) -> Result<&'a str> {
    check(checks, subject)?["verdict"].as_str().context("no verdict")
}

/// A file: name, inode, size, time of its last change.
type Found = (PathBuf, u64, u64, (i64, i64));

/// Everything below a directory.
fn everything(dir: &Path) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        all.push((entry.path(), found.ino(), found.size(), (found.ctime(), found.ctime_nsec())));
        if found.is_dir() {
            all.extend(everything(&entry.path())?);
        }
    }
    all.sort();
    Ok(all)
}
