//! What lies around.

use super::*;

#[test]
fn a_run_directory_that_others_may_enter_is_closed() {
    let case = Case::new();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(case.workspace.run_dir(), open).unwrap();
    assert_eq!(case.only(Subject::RunDir).verdict, Verdict::Wrong);
    case.is_mended(Subject::RunDir, Verdict::Wrong);
    fs::remove_dir_all(case.workspace.run_dir()).unwrap();
    case.is_clean();
    std::os::unix::fs::symlink("/tmp", case.workspace.run_dir()).unwrap();
    assert_eq!(one(&case.look(), Subject::RunDir).verdict, Verdict::Wrong);
    assert_eq!(one(&case.fix(), Subject::RunDir).verdict, Verdict::Wrong);
}

#[test]
fn lines_that_are_missing_from_the_gitignore_are_added_to_it() {
    let case = Case::new();
    fs::write(case.workspace.gitignore(), "mine\ntracker.db").unwrap();
    assert_eq!(case.only(Subject::GitIgnore).verdict, Verdict::Wrong);
    case.is_mended(Subject::GitIgnore, Verdict::Wrong);
    let text = fs::read_to_string(case.workspace.gitignore()).unwrap();
    assert_eq!(text, "mine\ntracker.db\n*\n!issues.jsonl\n");
    fs::remove_file(case.workspace.gitignore()).unwrap();
    case.is_mended(Subject::GitIgnore, Verdict::Wrong);
}

/// What a daemon that was killed can leave.
fn left_by_a_daemon(workspace: &Workspace) -> [(Subject, std::path::PathBuf); 5] {
    [
        (Subject::Pidfile, workspace.pidfile()),
        (Subject::Socket, workspace.socket()),
        (Subject::TcpFile, workspace.tcp_file()),
        (Subject::Pieces, workspace.run_dir().join("daemon.log.new")),
        (Subject::Pieces, workspace.run_dir().join("daemon.tcp.new")),
    ]
}

#[test]
fn what_a_killed_daemon_has_left_is_removed() {
    let case = Case::new();
    for (subject, path) in left_by_a_daemon(&case.workspace) {
        fs::write(&path, "1\n").unwrap();
        assert_eq!(case.only(subject).verdict, Verdict::Wrong, "{}", path.display());
        case.is_mended(subject, Verdict::Wrong);
        assert!(!path.exists());
    }
}

#[test]
fn the_same_of_a_daemon_that_lives_is_left_alone() {
    let case = Case::new();
    let lock = DaemonLock::acquire(&case.workspace.pidfile()).unwrap();
    for (subject, path) in left_by_a_daemon(&case.workspace).into_iter().skip(1) {
        fs::write(&path, "1\n").unwrap();
        for checks in [case.look(), case.fix()] {
            assert_eq!(one(&checks, subject).verdict, Verdict::Ok);
            assert_eq!(one(&checks, Subject::Pidfile).verdict, Verdict::Ok);
            // It holds the lock, and that is all it does.
            assert_eq!(one(&checks, Subject::Daemon).verdict, Verdict::Wrong);
        }
        assert!(path.exists());
    }
    assert!(lock.is_in_place());
}

#[test]
fn the_directory_of_a_deep_workspaces_socket_is_removed() {
    let case = Case::below(&["d".repeat(100), "e".repeat(100)].join("/"));
    let socket = case.workspace.socket();
    assert!(socket.starts_with("/tmp") && !socket.starts_with(case.workspace.dir()));
    case.is_clean();
    let dir = socket.parent().unwrap();
    crate::paths::ensure_private_dir(dir).unwrap();
    assert_eq!(case.only(Subject::Socket).verdict, Verdict::Wrong);
    fs::write(&socket, "").unwrap();
    case.is_mended(Subject::Socket, Verdict::Wrong);
    assert!(!dir.exists());
}

#[test]
fn temporaries_of_a_killed_export_are_removed_and_those_of_a_live_one_are_not() {
    let case = Case::new();
    let temporary = case.workspace.dir().join(".issues.jsonl.a1b2.tmp");
    fs::write(&temporary, "{").unwrap();
    let held = sync::lock(&case.workspace, WhenBusy::Refuse).unwrap();
    for checks in [case.look(), case.fix()] {
        assert_eq!(one(&checks, Subject::Temporaries).verdict, Verdict::Ok);
    }
    assert!(temporary.exists());
    drop(held);
    assert_eq!(case.only(Subject::Temporaries).verdict, Verdict::Wrong);
    case.is_mended(Subject::Temporaries, Verdict::Wrong);
    assert!(!temporary.exists());
}
