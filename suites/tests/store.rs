//! The store by itself: what it keeps, what it refuses, and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};
use watertight_suites::{Ending, Workspace, workspace};
use watertight_tracker::issue::{DependencyKind, Issue, NewIssue};
use watertight_tracker::jsonl;
use watertight_tracker::store::{Store, StoreError};

const WRITERS: usize = 4;
const ISSUES_EACH: usize = 50;

watertight::main!();

#[watertight::test]
fn what_was_written_is_there_after_closing() -> Ending {
    let workspace = workspace!()?;
    let id = workspace.create("kept")?;
    let store = workspace.store()?;
    assert_eq!(store.show(&id)?.title, "kept");
    store.close()?;
    let left: Vec<_> = fs::read_dir(workspace.paths().dir())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    ensure!(!left.iter().any(|name| name.contains("-wal")), "the log was not folded in: {left:?}");
    Ok(())
}

#[watertight::test]
fn a_store_in_memory_is_gone_when_it_is_closed() -> Ending {
    let mut store = Store::open_in_memory()?;
    store.create(NewIssue::titled("here"))?;
    assert_eq!(store.count()?, 1);
    store.close()?;
    let store = Store::open_in_memory()?;
    assert_eq!(store.count()?, 0);
    Ok(store.close()?)
}

#[watertight::test]
fn an_import_of_an_export_exports_the_same_bytes() -> Ending {
    let (one, two) = (workspace!()?, workspace!()?);
    let mut store = one.store()?;
    fill(&mut store)?;
    store.close()?;
    let (first, second) = (one.root().join("first.jsonl"), two.root().join("second.jsonl"));
    one.tracker(["export".as_ref(), first.as_os_str()])?.ok()?;
    two.tracker(["import".as_ref(), first.as_os_str()])?.ok()?;
    two.tracker(["export".as_ref(), second.as_os_str()])?.ok()?;
    let bytes = fs::read(first)?;
    ensure!(bytes == fs::read(second)?, "the second export differs from the first");
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 3);
    Ok(())
}

#[watertight::test]
fn an_import_with_a_broken_line_changes_nothing() -> Ending {
    let workspace = workspace!()?;
    let mut from = Store::open_in_memory()?;
    fill(&mut from)?;
    let file = workspace.root().join("broken.jsonl");
    jsonl::export_file(&from, &file)?;
    from.close()?;
    let good = fs::read_to_string(&file)?;
    for broken in ["{\"id\":", "<<<<<<< HEAD", "{\"id\":\"tt-1\",\"title\":\"\"}"] {
        fs::write(&file, format!("{good}{broken}\n"))?;
        let said = workspace.tracker(["import".as_ref(), file.as_os_str()])?;
        assert_eq!(said.status, Some(4), "{said:?}");
        ensure!(said.err.contains("line 4"), "which line? {said:?}");
    }
    assert_eq!(count(&workspace)?, 0, "the good lines before it are not taken over either");
    Ok(())
}

#[watertight::test]
fn a_dependency_cycle_is_refused_with_exit_5() -> Ending {
    let workspace = workspace!()?;
    let mut store = workspace.store()?;
    let ids = [1, 2, 3].map(|number| NewIssue::titled(number.to_string()));
    let ids = ids.map(|new| store.create(new).map(|issue| issue.id));
    let [a, b, c] = ids;
    let (a, b, c) = (a?, b?, c?);
    store.add_dependency(&a, &b, DependencyKind::Blocks)?;
    store.add_dependency(&b, &c, DependencyKind::Blocks)?;
    let refused = store.add_dependency(&c, &a, DependencyKind::Blocks).err().context("added")?;
    ensure!(matches!(&refused, StoreError::Cycle { path } if path.len() == 4), "{refused}");
    ensure!(store.show(&c)?.dependencies.is_empty(), "the refused edge is there");
    store.close()?;
    let said = workspace.tracker(["dep", "add", &c, &a])?;
    assert_eq!(said.status, Some(5), "{said:?}");
    Ok(())
}

#[watertight::test]
fn an_id_is_found_by_its_unique_start() -> Ending {
    let mut store = Store::open_in_memory()?;
    // From a store of its own: its id is drawn, and may begin like any of these.
    let mut other = Store::open_in_memory()?;
    let some = other.create(NewIssue::titled("a"))?;
    other.close()?;
    store.import(["tt-aaa1", "tt-aaa2"].map(|id| Issue { id: id.into(), ..some.clone() }))?;
    assert_eq!(store.resolve("tt-aaa1")?, "tt-aaa1");
    assert_eq!(store.resolve("aaa2")?, "tt-aaa2", "without its prefix too");
    let resolved = store.resolve("tt-aaa");
    let Err(StoreError::Ambiguous { candidates, .. }) = &resolved else {
        anyhow::bail!("not ambiguous: {resolved:?}");
    };
    assert_eq!(candidates, &["tt-aaa1", "tt-aaa2"]);
    ensure!(matches!(store.resolve("zzz"), Err(StoreError::NotFound { .. })), "found nothing");
    Ok(store.close()?)
}

#[watertight::test]
fn concurrent_writers_lose_nothing() -> Ending {
    let workspace = workspace!()?;
    let made: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..WRITERS).map(|_| scope.spawn(|| write_some(&workspace))).collect();
        writers.into_iter().map(|writer| writer.join()).collect()
    });
    let mut all = BTreeSet::new();
    for made in made {
        all.extend(made.map_err(|_| anyhow::anyhow!("a writer panicked"))??);
    }
    assert_eq!(all.len(), WRITERS * ISSUES_EACH, "no id was given twice");
    assert_eq!(count(&workspace)?, all.len() as u64);
    Ok(())
}

#[watertight::test]
fn a_directory_without_a_workspace_is_told_with_exit_2() -> Ending {
    let workspace = workspace!()?;
    fs::remove_dir_all(workspace.paths().dir())?;
    let said = workspace.tracker(["list"])?;
    assert_eq!(said.status, Some(2), "{said:?}");
    ensure!(said.err.contains("tracker init"), "what to do? {said:?}");
    workspace.tracker(["init", "--prefix", "drip"])?.ok()?;
    let id = workspace.tracker(["create", "-q", "a"])?.ok()?.out;
    ensure!(id.starts_with("drip-"), "not its prefix: {id}");
    Ok(())
}

fn fill(store: &mut Store) -> anyhow::Result<()> {
    let labels = vec!["wet".into(), "kitchen".into()];
    let tap = store.create(NewIssue { labels, ..NewIssue::titled("the tap drips") })?;
    let description = "of rubber\n\tand \"quoted\" \u{1f6bf}".into();
    let washer = store.create(NewIssue { description, ..NewIssue::titled("a washer") })?;
    let done = store.create(NewIssue { priority: Some(0), ..NewIssue::titled("turn it off") })?;
    store.add_dependency(&tap.id, &washer.id, DependencyKind::Blocks)?;
    store.add_dependency(&tap.id, &done.id, DependencyKind::Related)?;
    store.close_issue(&done.id)?;
    Ok(())
}

fn write_some(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut store = workspace.store()?;
    let mut made = Vec::new();
    for number in 0..ISSUES_EACH {
        made.push(store.create(NewIssue::titled(number.to_string()))?.id);
    }
    store.close()?;
    Ok(made)
}

fn count(workspace: &Workspace) -> anyhow::Result<u64> {
    let store = workspace.store()?;
    let count = store.count()?;
    store.close()?;
    Ok(count)
}
