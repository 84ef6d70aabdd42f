//! The verbs on files: the workspace itself, JSONL and git.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::git::Git;
use crate::id;
use crate::issue::Invalid;
use crate::jsonl::{self, JsonlError};
use crate::paths::Workspace;
use crate::store::{PREFIX_DEFAULT, Store};
use crate::sync::{self, GIT_TIMEOUT, SyncError, SyncOptions};

use super::args::{ConfigKey, Init};
use super::output::{Output, Trouble};
use super::place::Place;

/// As much of a directory's name as a person would type before each id.
const PREFIX_CHARS: usize = 16;

pub(crate) fn init(place: &Place, init: &Init, output: &mut Output) -> Result<Exit, Trouble> {
    // Everything that can be wrong is looked at before anything is made.
    let prefix = match &init.prefix {
        Some(prefix) => prefix.clone(),
        None => prefix_of_file(place.dir()).unwrap_or_else(|| prefix_of(place.dir())),
    };
    if !id::is_valid_prefix(&prefix) {
        return Err(Invalid::Prefix { given: prefix }.into());
    }
    if init.git {
        check_work_tree(place.dir())?;
    }
    let workspace = Workspace::create(place.dir())?;
    let mut store = Store::open(&workspace.database())?;
    let set = store
        .set_prefix(&prefix)
        .and_then(|()| if init.git { store.set_git_enabled(true) } else { Ok(()) });
    let closed = store.close();
    set?;
    closed?;
    if init.git {
        warn_of_git(&workspace, output);
    }
    let made = serde_json::json!({
        "workspace": workspace.dir().to_string_lossy(), "prefix": prefix, "git": init.git
    });
    output.print(&made, |_| {
        format!("initialised {}, ids start with {prefix}-", workspace.dir().display())
    })?;
    output.say(match workspace.jsonl().exists() {
        true => "next: `tracker sync` takes in the issues of .tracker/issues.jsonl",
        false => "next: `tracker create TITLE`",
    });
    Ok(Exit::Ok)
}

/// The prefix that most ids of a file that is there already have: that of a clone's others.
fn prefix_of_file(dir: &Path) -> Option<String> {
    let there = Workspace::find(dir).ok()?;
    if there.root() != fs::canonicalize(dir).ok()? {
        return None;
    }
    let issues = jsonl::read_file(&there.jsonl()).ok()?;
    let mut counts = BTreeMap::<&str, usize>::new();
    let prefixes = issues.iter().filter_map(|issue| Some(issue.id.rsplit_once('-')?.0));
    for prefix in prefixes.filter(|prefix| id::is_valid_prefix(prefix)) {
        *counts.entry(prefix).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(prefix, _)| prefix.to_owned())
}

/// A prefix from the name of the directory, as far as it can be one.
fn prefix_of(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_default();
    let name = dir.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let plain: String = name
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let words: Vec<_> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let prefix: String = words.join("-").chars().take(PREFIX_CHARS).collect();
    let prefix = prefix.trim_end_matches('-');
    if prefix.is_empty() { PREFIX_DEFAULT.into() } else { prefix.into() }
}

pub(crate) fn config(
    place: &Place,
    key: ConfigKey,
    value: Option<&str>,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let now = place.with_store(|store, workspace| {
        match (key, value) {
            (_, None) => {}
            (ConfigKey::Prefix, Some(prefix)) => store.set_prefix(prefix)?,
            (ConfigKey::Git, Some("true")) => {
                check_work_tree(workspace.root())?;
                store.set_git_enabled(true)?;
            }
            (ConfigKey::Git, Some("false")) => store.set_git_enabled(false)?,
            (ConfigKey::Git, Some(other)) => {
                let message = format!("git is either true or false, not `{other}`");
                let hint = "run `tracker config git true`";
                return Err(Failure::new(Exit::Validation, "invalid", message, hint).into());
            }
        }
        Ok(match key {
            ConfigKey::Prefix => store.prefix()?,
            ConfigKey::Git => store.git_enabled()?.to_string(),
        })
    })?;
    output.print(&now, String::clone)?;
    Ok(Exit::Ok)
}

pub(crate) fn export(
    place: &Place,
    file: &Path,
    force: bool,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    if file == Path::new("-") {
        let mut out = io::BufWriter::new(io::stdout().lock());
        place.with_store(|store, _| Ok(jsonl::export(store, &mut out)?))?;
        return Ok(Exit::Ok);
    }
    let exported = place.with_store(|store, _| {
        if !force && let Some(loss) = jsonl::loss(store, file)? {
            return Err(JsonlError::Lossy { path: file.into(), loss }.into());
        }
        Ok(jsonl::export_file(store, file)?)
    })?;
    output.print(&exported, |exported| {
        format!("exported {} issues to {}", exported.issues, file.display())
    })?;
    Ok(Exit::Ok)
}

pub(crate) fn import(place: &Place, file: &Path, output: &mut Output) -> Result<Exit, Trouble> {
    let report = place.with_store(|store, _| {
        Ok(match file == Path::new("-") {
            true => jsonl::import(store, file, io::stdin().lock())?,
            false => jsonl::import_file(store, file)?,
        })
    })?;
    output.print(&report, |report| format!("imported: {report}"))?;
    if !report.cycle.is_empty() {
        let cycle = report.cycle.join(" -> ");
        output.say(&format!("there is a cycle now: {cycle}; `tracker dep cycles` lists them"));
    }
    Ok(Exit::Ok)
}

pub(crate) fn sync(place: &Place, output: &mut Output) -> Result<Exit, Trouble> {
    let synced = place
        .with_store(|store, workspace| Ok(sync::pass(store, workspace, &SyncOptions::default())))?;
    let (report, refused) = match synced {
        Ok(report) => (report, None),
        // What it did before git refused is told all the same.
        Err(SyncError::Git { report, source }) if !report.is_idle() => (*report, Some(source)),
        Err(error) => return Err(error.into()),
    };
    output.print(&report, ToString::to_string)?;
    match refused {
        None => Ok(Exit::Ok),
        Some(refused) => Err(Failure::from(&refused).into()),
    }
}

/// Says what keeps git from taking the file, where something does from the start.
fn warn_of_git(workspace: &Workspace, output: &Output) {
    let git = Git { root: workspace.root(), timeout: GIT_TIMEOUT, interrupt: None };
    let path = workspace.jsonl_from_root();
    // Before the first issue there is no file, and only a rule that hides it tells.
    if let Ok(true) = git.is_ignored(&path) {
        output.say(&format!(
            "note: git ignores {}; take it out of .gitignore, or nothing is committed",
            path.display()
        ));
    }
}

fn check_work_tree(dir: &Path) -> Result<(), Trouble> {
    let root = fs::canonicalize(dir)?;
    let git = Git { root: &root, timeout: GIT_TIMEOUT, interrupt: None };
    if git.is_work_tree().map_err(|error| Failure::from(&error))? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failure,
        "no_git",
        format!("{} is not in a git work tree", root.display()),
        "run `git init` first, or leave git off",
    )
    .into())
}
