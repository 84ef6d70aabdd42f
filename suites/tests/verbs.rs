//! What a person types, and what comes of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use watertight_suites::{Ending, Said, Workspace, workspace};

watertight::main!();

// Beginning.

#[watertight::test]
fn a_directory_of_any_name_can_be_a_workspace() -> Ending {
    let workspace = workspace!()?;
    let dir = workspace.root().join(OsStr::from_bytes(b"not \xff UTF-8"));
    fs::create_dir(&dir)?;
    let said = tracker_in(&workspace, &dir, &["init", "--json"])?.ok()?;
    assert_eq!(said.json()?["prefix"], "not-utf-8");
    tracker_in(&workspace, &dir, &["create", "a"])?.ok()?;
    Ok(())
}

#[watertight::test]
fn a_clone_goes_on_with_the_ids_of_its_file_and_says_how_to_take_it_in() -> Ending {
    let workspace = workspace!()?;
    let clone = workspace.root().join("clone");
    fs::create_dir_all(clone.join(".tracker"))?;
    let line = |id| format!(r#"{{"id":"{id}","title":"t","created_at":"2026-01-01T00:00:00Z"}}"#);
    let lines = ["other-1", "the-drip-2", "the-drip-3.1"].map(line).join("\n");
    fs::write(clone.join(".tracker/issues.jsonl"), lines)?;
    let said = tracker_in(&workspace, &clone, &["list"])?;
    ensure!(said.err.contains("`tracker init`, then `tracker sync`"), "{said:?}");
    let said = tracker_in(&workspace, &clone, &["init", "--json"])?.ok()?;
    assert_eq!(said.json()?["prefix"], "the-drip");
    let said = tracker_in(&workspace, &clone, &["list"])?.ok()?;
    ensure!(said.err.contains("`tracker sync`"), "they are not lost: {said:?}");
    tracker_in(&workspace, &clone, &["sync"])?.ok()?;
    let said = tracker_in(&workspace, &clone, &["list", "--json"])?.ok()?;
    assert_eq!(said.json()?.as_array().map(Vec::len), Some(3));
    Ok(())
}

// Finding.

#[watertight::test]
fn a_list_is_what_its_filters_say() -> Ending {
    let workspace = workspace!()?;
    let drip = ["create", "-q", "the tap drips", "-p0", "-tbug", "-lwet", "-lkitchen", "-ame"];
    let drip = id(&workspace, &drip)?;
    let buy = id(&workspace, &["create", "-q", "buy a washer", "-d", "for the TAP", "-lwet"])?;
    let rest = id(&workspace, &["create", "-q", "rest", "--priority", "P4"])?;
    workspace.tracker(["close", &rest, "--reason", "rested"])?.ok()?;
    let cases: [(&[&str], &[&str]); 15] = [
        (&[], &[&drip, &buy, &rest]),
        (&["--status", "open"], &[&drip, &buy]),
        (&["--status", "open,closed", "--limit", "1"], &[&drip]),
        (&["-t", "bug,epic"], &[&drip]),
        (&["--priority", "0-2"], &[&drip, &buy]),
        (&["--priority", "3-"], &[&rest]),
        (&["-p", "-1"], &[&drip]),
        (&["-l", "wet", "-l", "kitchen"], &[&drip]),
        (&["--label-any", "kitchen,dry"], &[&drip]),
        (&["--unassigned", "--status", "open"], &[&buy]),
        (&["--text", "tap", "--sort", "title"], &[&buy, &drip]),
        (&["--closed-after", "1h"], &[&rest]),
        (&["--created-before", "2020-01-01"], &[]),
        (&["--sort", "created"], &[&rest, &buy, &drip]),
        (&["--sort", "id", "--reverse", "--assignee", "me"], &[&drip]),
    ];
    for (args, expected) in cases {
        let said = json(&workspace, ["list"].iter().chain(args))?;
        assert_ids(&said, expected, &args.join(" "))?;
    }
    let said = workspace.tracker(["list", "--status", "done"])?;
    assert_eq!(said.status, Some(4), "{said:?}");
    ensure!(said.err.contains("in_progress"), "what is allowed? {said:?}");
    let said = workspace.tracker(["list", "--created-after", "soon"])?;
    ensure!(said.status == Some(2) && said.err.contains("7d"), "{said:?}");
    Ok(())
}

#[watertight::test]
fn words_find_an_issue_and_stats_count_it() -> Ending {
    let workspace = workspace!()?;
    let tap = id(&workspace, &["create", "-q", "the tap drips"])?;
    workspace.tracker(["comment", &tap, "the washer is worn", "--author", "me"])?.ok()?;
    workspace.tracker(["comment", &tap, "as a script whose variable is empty", "--author", ""])?;
    let author = &json(&workspace, &["show", &tap])?["comments"][1]["author"];
    ensure!(author.as_str().is_some_and(|author| !author.is_empty()), "nobody says that: {author}");
    for words in [&["drip"][..], &["worn", "tap"], &["WASH"]] {
        let said = json(&workspace, ["search"].iter().chain(words))?;
        assert_ids(&said, &[&tap], &words.join(" "))?;
    }
    assert_ids(&json(&workspace, &["search", "sink"])?, &[], "no sink")?;
    let stats = json(&workspace, &["stats"])?;
    assert_eq!((&stats["issues"], &stats["ready"]), (&1.into(), &1.into()));
    Ok(())
}

#[watertight::test]
fn what_waits_is_told_with_what_it_waits_for() -> Ending {
    let workspace = workspace!()?;
    let [a, b, c] = ["a", "b", "c"].map(|title| id(&workspace, &["create", "-q", title]));
    let (a, b, c) = (a?, b?, c?);
    for (from, to) in [(&a, &b), (&b, &c)] {
        workspace.tracker(["dep", "add", from, to])?.ok()?;
    }
    assert_ids(&json(&workspace, &["ready"])?, &[&c], "it waits for nothing")?;
    let blocked = json(&workspace, &["blocked"])?;
    assert_eq!(blocked[0]["blocked_by"][0], b.as_str());
    let tree = workspace.tracker(["dep", "tree", &a])?.ok()?.out;
    ensure!(tree.lines().nth(2).is_some_and(|line| line.contains(&format!("   └─ {c}"))), "{tree}");
    let refused = workspace.tracker(["dep", "add", &c, &a])?;
    assert_eq!(refused.status, Some(5));
    ensure!(refused.err.contains(&format!("{c} -> {a} -> {b} -> {c}")), "the path: {refused:?}");
    workspace.tracker(["dep", "cycles"])?.ok()?;
    workspace.tracker(["dep", "remove", &a, &b])?.ok()?;
    workspace.tracker(["dep", "add", &c, &a])?.ok()?;
    Ok(())
}

#[watertight::test]
fn an_ambiguous_start_lists_what_it_could_mean() -> Ending {
    let workspace = workspace!()?;
    let line = |id: &str| {
        format!("{{\"id\":\"{id}\",\"title\":\"t\",\"created_at\":\"2026-01-01T00:00:00Z\"}}\n")
    };
    let lines = line("tt-ab1") + &line("tt-ab2");
    workspace.tracker_reads(["import", "-"], &lines)?.ok()?;
    let said = workspace.tracker(["show", "ab"])?;
    assert_eq!(said.status, Some(3));
    ensure!(said.err.contains("tt-ab1, tt-ab2"), "{said:?}");
    workspace.tracker(["show", "ab1"])?.ok()?;
    let said = workspace.tracker(["show", "pulled"])?;
    ensure!(said.err.contains("`tracker sync`"), "it may be in the file only: {said:?}");
    Ok(())
}

// Changing.

#[watertight::test]
fn every_field_can_be_changed() -> Ending {
    let workspace = workspace!()?;
    let id = id(&workspace, &["create", "-q", "a"])?;
    let change = [
        "update",
        &id,
        "--title",
        "b",
        "--status",
        "in_progress",
        "--priority",
        "1",
        "--type",
        "epic",
        "--assignee",
        "me",
        "--add-label",
        "x",
        "--description",
        "-",
    ];
    workspace.tracker_reads(change, "from a pipe\n")?.ok()?;
    let issue = json(&workspace, &["show", &id])?;
    let expected = [
        ("title", "b"),
        ("status", "in_progress"),
        ("issue_type", "epic"),
        ("assignee", "me"),
        ("description", "from a pipe"),
    ];
    for (field, value) in expected {
        assert_eq!(issue[field], value, "{field}");
    }
    assert_eq!((&issue["priority"], &issue["labels"][0]), (&1.into(), &"x".into()));
    workspace.tracker(["label", "add", &id, "y", "z"])?.ok()?;
    workspace.tracker(["label", "remove", &id, "x"])?.ok()?;
    workspace.tracker(["update", &id, "--assignee", ""])?.ok()?;
    let issue = json(&workspace, &["show", &id])?;
    assert_eq!(
        (issue["labels"].to_string(), &issue["assignee"]),
        (r#"["y","z"]"#.into(), &Value::Null)
    );
    Ok(())
}

#[watertight::test]
fn a_deleted_issue_comes_back_by_restore_and_by_nothing_else() -> Ending {
    let workspace = workspace!()?;
    let id = id(&workspace, &["create", "-q", "a", "-l", "x"])?;
    let file = workspace.root().join("before.jsonl");
    let file = file.to_str().context("a path of text")?;
    workspace.tracker(["export", file])?.ok()?;
    workspace.tracker(["delete", &id, "--reason", "twice"])?.ok()?;
    let gone = workspace.tracker(["show", &id])?;
    ensure!(gone.status == Some(3) && gone.err.contains("tracker restore"), "{gone:?}");
    let imported = json(&workspace, &["import", file])?;
    assert_eq!(imported["kept"], 1);
    assert_ids(&json(&workspace, &["list"])?, &[], "deleted")?;
    assert_ids(&json(&workspace, &["list", "--status", "deleted"])?, &[&id], "remembered")?;
    workspace.tracker(["sync"])?.ok()?;
    workspace.tracker(["restore", &id])?.ok()?;
    // What is deleted elsewhere and was restored here since stays restored.
    let deleted = workspace.paths().jsonl();
    let deleted = deleted.to_str().context("a path of text")?;
    assert_eq!(json(&workspace, &["import", deleted])?["kept"], 1);
    assert_eq!(json(&workspace, &["show", &id])?["labels"][0], "x");
    Ok(())
}

#[watertight::test]
fn an_editor_changes_what_it_changes() -> Ending {
    let workspace = workspace!()?;
    let id = id(&workspace, &["create", "-q", "a", "-d", "one"])?;
    let edit = |script: &str| -> anyhow::Result<Said> {
        let editor = format!("sh -c '{script}' sh");
        let mut command = workspace.command(["edit", &id]);
        command.env("VISUAL", editor).env("TMPDIR", workspace.root());
        Ok(command.output()?.into())
    };
    edit("sed -i s/^title:.*/title:\\ b/ \"$1\" && echo two >> \"$1\"")?.ok()?;
    let issue = json(&workspace, &["show", &id])?;
    assert_eq!((&issue["title"], &issue["description"]), (&"b".into(), &"one\ntwo".into()));
    let same = edit("true")?.ok()?;
    ensure!(same.out.contains("nothing was changed"), "{same:?}");
    let emptied = edit("echo > \"$1\"")?.ok()?;
    ensure!(emptied.out.contains("nothing was changed"), "{emptied:?}");
    let nothing = workspace.tracker_reads(["edit", &id, "-"], "\n")?;
    assert_eq!(nothing.status, Some(4), "as from a command that failed: {nothing:?}");
    assert_eq!(json(&workspace, &["show", &id])?, issue);
    let failed = edit("exit 3")?;
    assert_eq!(failed.status, Some(1), "{failed:?}");

    let wrong = edit("echo status: done > \"$1\"")?;
    assert_eq!(wrong.status, Some(4), "{wrong:?}");
    let kept =
        wrong.err.split("what you wrote is in ").nth(1).and_then(|rest| rest.split(':').next());
    let kept = Path::new(kept.context("where is it?")?);
    assert_eq!(fs::read_to_string(kept)?, "status: done\n", "it is not lost");
    workspace.tracker_reads(["edit", &id, "-"], "status: closed\n")?.ok()?;
    assert_eq!(json(&workspace, &["show", &id])?["status"], "closed");
    let program = workspace.program().display();
    let raced = edit(&format!(
        "{program} --dir {} reopen {id} && echo x >> \"$1\"",
        workspace.root().display()
    ))?;
    ensure!(raced.status == Some(5) && raced.err.contains("meanwhile"), "{raced:?}");
    ensure!(raced.err.contains("take out"), "it would undo what the other did: {raced:?}");
    Ok(())
}

// Talking to programs.

#[watertight::test]
fn every_verb_speaks_json_and_so_does_every_refusal() -> Ending {
    let workspace = workspace!()?;
    let id = id(&workspace, &["create", "-q", "a"])?;
    let other = id_of(&json(&workspace, &["create", "b"])?)?;
    let verbs: [&[&str]; 19] = [
        &["list"],
        &["search", "a"],
        &["show", &id],
        &["show", &id, &other],
        &["update", &id, "-p", "1"],
        &["close", &id],
        &["reopen", &id],
        &["comment", &id, "hm"],
        &["label", "list"],
        &["label", "add", &id, "x"],
        &["dep", "add", &id, &other],
        &["dep", "tree", &id],
        &["dep", "cycles"],
        &["dep", "remove", &id, &other],
        &["ready"],
        &["blocked"],
        &["stats"],
        &["sync"],
        &["config", "prefix"],
    ];
    for verb in verbs {
        json(&workspace, verb)?;
    }
    for (verb, status) in [
        (&["show", "nobody"][..], 3),
        (&["create", " "], 4),
        (&["update", &id, "--status", "done"], 4),
        (&["update", &id, "--priority", "7"], 4),
        (&["import", "/nowhere"], 1),
        (&["init"], 5),
        (&["nonsense"], 2),
        (&["update", &id], 2),
    ] {
        let said = workspace.tracker(["--json"].iter().chain(verb))?;
        assert_eq!((said.status, said.out.as_str()), (Some(status), ""), "{verb:?}: {said:?}");
        let error: Value = serde_json::from_str(&said.err).with_context(|| format!("{said:?}"))?;
        for field in ["code", "message", "hint"] {
            ensure!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {error}");
        }
    }
    let said = workspace.tracker(["show", "--json"])?;
    ensure!(said.err.contains("<ID>"), "what is missing? {said:?}");
    Ok(())
}

#[watertight::test]
fn data_goes_to_standard_output_plain_where_nobody_looks() -> Ending {
    let workspace = workspace!()?;
    let urgent = "create -q -p 0 \u{1b}";
    ensure!(workspace.tracker(urgent.split(' '))?.status == Some(4), "a title without control");
    let line =
        r#"{"id":"tt-x","title":"a\u001b[31mb","priority":0,"created_at":"2026-01-01T00:00:00Z"}"#;
    workspace.tracker_reads(["import", "-"], line)?.ok()?;
    for verb in [&["list"][..], &["show", "tt-x"], &["ready"], &["dep", "tree", "tt-x"]] {
        let said = workspace.tracker(verb)?.ok()?;
        ensure!(!said.out.contains('\u{1b}'), "{verb:?}: {said:?}");
        ensure!(said.out.contains("tt-x") && said.err.is_empty(), "{verb:?}: {said:?}");
    }
    Ok(())
}

#[watertight::test]
fn a_reader_that_has_seen_enough_is_no_failure() -> Ending {
    let workspace = workspace!()?;
    let mut store = workspace.store()?;
    let one = store.create(watertight_tracker::issue::NewIssue::titled("a"))?;
    store.import(
        (0..3000)
            .map(|n| watertight_tracker::issue::Issue { id: format!("tt-{n:06}"), ..one.clone() }),
    )?;
    store.close()?;
    for verb in [&["list"][..], &["--json", "list"], &["export", "-"]] {
        let mut command = workspace.command(verb);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "waited for below")]
        let mut child = command.spawn()?;
        let mut out = child.stdout.take().context("piped")?;
        out.read_exact(&mut [0; 10])?;
        drop(out);
        let said = Said::from(child.wait_with_output()?);
        assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{verb:?}");
    }
    Ok(())
}

#[watertight::test]
fn completions_are_printed_for_every_shell() -> Ending {
    let workspace = workspace!()?;
    for shell in ["bash", "zsh", "fish"] {
        let script = workspace.tracker(["completions", shell])?.ok()?.out;
        ensure!(script.contains("tracker") && script.contains("search"), "{shell}: {script}");
    }
    Ok(())
}

#[watertight::test]
fn whoever_makes_a_workspace_that_git_ignores_is_told() -> Ending {
    let workspace = workspace!()?;
    workspace.init_git()?;
    for (rule, is_told) in [(".tracker/", true), ("other", false)] {
        fs::remove_dir_all(workspace.paths().dir())?;
        fs::write(workspace.root().join(".gitignore"), rule)?;
        let said = workspace.tracker(["init", "--git"])?.ok()?;
        assert_eq!(said.err.contains("git ignores .tracker/issues.jsonl"), is_told, "{said:?}");
    }
    Ok(())
}

// Losing nothing.

#[watertight::test]
fn an_export_that_would_lose_issues_is_refused_with_the_way_out() -> Ending {
    let (full, empty) = (workspace!()?, workspace!()?);
    id(&full, &["create", "-q", "a"])?;
    let file = full.root().join("out.jsonl");
    let file = file.to_str().context("a path of text")?;
    full.tracker(["export", file])?.ok()?;
    let before = fs::read(file)?;
    let refused = empty.tracker(["export", file])?;
    assert_eq!(refused.status, Some(5), "{refused:?}");
    ensure!(
        refused.err.contains("tracker import") && refused.err.contains("--force"),
        "{refused:?}"
    );
    ensure!(fs::read(file)? == before, "it was written over");
    empty.tracker(["import", file])?.ok()?;
    empty.tracker(["export", file])?.ok()?;
    fs::write(file, "a letter\n")?;
    assert_eq!(empty.tracker(["export", file])?.status, Some(5), "what it is not sure of, too");
    empty.tracker(["export", file, "--force"])?.ok()?;
    ensure!(fs::read(file)? == before, "the same issues are the same bytes");
    Ok(())
}

#[watertight::test]
fn a_full_disk_is_told_and_loses_nothing() -> Ending {
    let workspace = workspace!()?;
    let id = id(&workspace, &["create", "-q", "a"])?;
    let said = workspace.tracker(["export", "/dev/full"])?;
    ensure!(said.status == Some(1) && said.err.contains("/dev/full"), "{said:?}");
    // A limit on the size of files is a disk that is full, for this process alone.
    let script = "ulimit -f 100; trap '' XFSZ; head -c 200000 /dev/zero | tr '\\0' x |
        \"$0\" --dir \"$1\" create b -d -";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(workspace.program()).arg(workspace.root());
    let said = Said::from(command.output()?);
    ensure!(said.status == Some(1) && said.out.is_empty(), "{said:?}");
    ensure!(said.err.contains("hint: "), "what to do? {said:?}");
    assert_ids(&json(&workspace, &["list"])?, &[&id], "and nothing else")?;
    Ok(())
}

#[watertight::test]
fn a_directory_that_may_not_be_written_to_is_told() -> Ending {
    let workspace = workspace!()?;
    id(&workspace, &["create", "-q", "a"])?;
    let dir = workspace.paths().dir();
    let database = workspace.paths().database();
    let mode = |dir_mode, file_mode| -> anyhow::Result<()> {
        fs::set_permissions(&database, fs::Permissions::from_mode(file_mode))?;
        Ok(fs::set_permissions(dir, fs::Permissions::from_mode(dir_mode))?)
    };
    mode(0o555, 0o444)?;
    fs::set_permissions(workspace.root(), fs::Permissions::from_mode(0o755))?;
    let as_reader = |args: &[&str]| -> anyhow::Result<Said> {
        let mut command = workspace.command(args);
        // Root may write everywhere, so the command is somebody else's where we are root.
        if nix::unistd::geteuid().is_root() {
            use std::os::unix::process::CommandExt as _;
            command.uid(65534).gid(65534);
        }
        Ok(command.output()?.into())
    };
    let said = as_reader(&["create", "b"])?;
    let read = ["list", "ready", "stats"].map(|verb| as_reader(&[verb]));
    mode(0o755, 0o644)?;
    ensure!(said.status == Some(1) && said.err.contains("permissions"), "{said:?}");
    for said in read {
        let said = said?;
        ensure!(
            said.status == Some(0) && !said.out.is_empty(),
            "whoever may read, reads: {said:?}"
        );
    }
    assert_eq!(json(&workspace, &["list"])?.as_array().map(Vec::len), Some(1));
    Ok(())
}

fn id(workspace: &Workspace, args: &[&str]) -> anyhow::Result<String> {
    Ok(workspace.tracker(args)?.ok()?.out.trim().to_owned())
}

/// In another directory than that of the workspace.
fn tracker_in(workspace: &Workspace, dir: &Path, args: &[&str]) -> anyhow::Result<Said> {
    let mut command = Command::new(workspace.program());
    Ok(command.current_dir(dir).args(args).stdin(Stdio::null()).output()?.into())
}

fn json<'a>(
    workspace: &Workspace,
    args: impl IntoIterator<Item = &'a &'a str>,
) -> anyhow::Result<Value> {
    workspace.tracker(["--json"].iter().chain(args))?.ok()?.json()
}

fn assert_ids(issues: &Value, expected: &[&str], why: &str) -> Ending {
    let found = issues.as_array().context("no list")?.iter().map(id_of);
    let found = found.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(found == expected, "{why}: {found:?}, not {expected:?}");
    Ok(())
}

fn id_of(issue: &Value) -> anyhow::Result<String> {
    Ok(issue["id"].as_str().context("no id")?.to_owned())
}
