//! The command line of the daemon's verbs.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Run in the foreground until SIGTERM or Ctrl-C
    Run(Run),
    /// Start in the background; returns when it answers, exit 5 with its pid if there is one
    Start {
        #[command(flatten)]
        serve: Serve,
        #[command(flatten)]
        ready: Ready,
    },
    /// End the daemon; returns when it is gone
    Stop {
        #[command(flatten)]
        gone: Gone,
    },
    /// End the daemon if there is one and start it, as it was but for what is given here
    Restart {
        #[command(flatten)]
        changes: Changes,
        #[command(flatten)]
        ready: Ready,
    },
    /// Tell whether it runs and how it is
    Status,
    /// Tell whether all is well: exit 0, else 1 with each reason, 6 if there is none
    Health,
    /// Print the end of the daemon's log
    Logs(Logs),
    /// Print the daemon's numbers as OpenMetrics text
    Metrics,
    /// Print a systemd user unit that runs it
    Unit {
        #[command(flatten)]
        serve: Serve,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Leave the terminal and report readiness on standard output, as `start` wants it
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

/// How a daemon is to be.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Serve {
    /// The time between two ticks, such as 50ms or 5s
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) interval: Duration,
    /// Commit to git at most once in so long; `tracker sync` commits at once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) commit_interval: Duration,
    /// Listen on loopback TCP too, such as 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Leave when nobody was connected and nothing has changed for so long, such as 30m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) idle_timeout: Option<Duration>,
}

/// The same for one that takes over from another.
#[derive(Debug, ClapArgs)]
pub(crate) struct Changes {
    /// The time between two ticks, such as 50ms or 5s
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) interval: Option<Duration>,
    /// Commit to git at most once in so long; `tracker sync` commits at once
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) commit_interval: Option<Duration>,
    /// Listen on loopback TCP too, such as 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Leave when nobody was connected and nothing has changed for so long, such as 30m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) idle_timeout: Option<Duration>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ready {
    /// How long to wait until it is ready
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Gone {
    /// How long to wait until it is gone
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Logs {
    /// At most the last N lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub(crate) lines: usize,
    /// Go on with what is added, until the daemon ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

impl Serve {
    /// As the arguments of `tracker daemon run`.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = vec!["--interval".to_owned(), time(self.interval)];
        args.extend(["--commit-interval".to_owned(), time(self.commit_interval)]);
        if let Some(address) = self.tcp {
            args.extend(["--tcp".to_owned(), address.to_string()]);
        }
        if let Some(timeout) = self.idle_timeout {
            args.extend(["--idle-timeout".to_owned(), time(timeout)]);
        }
        args
    }
}

/// A time as one word, which needs no quotes anywhere.
fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}
