//! `tracker daemon unit`: a systemd user unit, to be put where `systemctl --user` looks for it.

use std::path::Path;

use super::args::Serve;

/// The text of the unit.
///
/// See systemd.service(5) and, for the quotes, systemd.syntax(7) and systemd.unit(5).
pub(super) fn text(program: &Path, root: &Path, serve: &Serve) -> String {
    let command: Vec<_> =
        [program.display().to_string(), "--dir".into(), root.display().to_string()]
            .into_iter()
            .chain(["daemon".into(), "run".into()])
            .chain(serve.to_args())
            .map(|word| quoted(&word))
            .collect();
    format!(
        "\
[Unit]
Description=The issue tracker of {description}

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=on-failure
# It ends its own children, git among them, and what it was about to write is written.
KillMode=mixed
TimeoutStopSec=15

[Install]
WantedBy=default.target
",
        description = root.display().to_string().replace('%', "%%"),
        command = command.join(" "),
    )
}

/// A word of a command line: specifiers (`%`) and variables (`$`) are doubled, and the rest is what
/// C strings are like.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('%', "%%").replace('$', "$$").replace('\n', "\\n");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,+=@[]%$".contains(c);
    if escaped.chars().all(is_plain) { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_unit_runs_the_daemon_of_this_workspace() {
        let serve = Serve {
            interval: Duration::from_millis(5_500),
            commit_interval: Duration::from_secs(60),
            tcp: None,
            idle_timeout: Some(Duration::from_secs(1800)),
        };
        let text = text(Path::new("/opt/tracker"), Path::new("/home/a b/100%"), &serve);
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        assert_eq!(
            command,
            r#"/opt/tracker --dir "/home/a b/100%%" daemon run --interval 5s500ms --commit-interval 1m --idle-timeout 30m"#
        );
        assert!(text.contains("\nType=notify\n"), "{text}");
    }
}
