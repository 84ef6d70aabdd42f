//! The command line of the daemon's verbs.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Run in the foreground until SIGTERM or Ctrl-C
    Run(Run),
    /// Start in the background; returns when it answers
    Start {
        #[command(flatten)]
        run: Serve,
        /// How long to wait until it is ready
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// End the daemon; returns when it is gone
    Stop {
        /// How long to wait until it is gone
        #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Tell whether it runs and how it is
    Status,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Leave the terminal and report readiness on standard output, as `start` wants it
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// The time between two syncs, such as 50ms or 5s
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) interval: Duration,
    /// Listen on loopback TCP too, such as 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) tcp: Option<SocketAddr>,
}
