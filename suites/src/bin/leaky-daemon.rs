//! The daemons that the leaky twins start: `leaky-daemon VERB DIRECTORY [TICK]`, the tick as `5s`.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio_util::sync::CancellationToken;
use watertight_suites::leaky::{engine_per_tick, session_per_call};
use watertight_tracker::daemon::{Daemon, Options, control};
use watertight_tracker::paths::Workspace;

/// No tick but the first: a daemon that notices that its workspace has gone would end by itself.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().context("which daemon?")?;
    let root = arguments.next().context("in which directory?")?;
    let workspace = Workspace::find(Path::new(&root))?;
    let tick = arguments.next().map(|text| humantime::parse_duration(&text)).transpose()?;
    let tick = tick.unwrap_or(engine_per_tick::TICK);
    match verb.as_str() {
        "tick-leaky" => engine_per_tick::serve(&workspace, tick, true),
        "tick-clean" => engine_per_tick::serve(&workspace, tick, false),
        "session-leaky" => session_per_call::serve(&workspace, true),
        "session-clean" => session_per_call::serve(&workspace, false),
        "serve" => serve(&workspace),
        other => bail!("no daemon is called {other:?}"),
    }
}

/// The tracker's own daemon, with both transports.
fn serve(workspace: &Workspace) -> Result<()> {
    let options = Options {
        tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        interval: NEVER,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let daemon = {
        // Its listeners register with the runtime.
        let _entered = runtime.enter();
        Daemon::bind(workspace, options)?
    };
    std::io::stdout().write_all(&control::report_ready(Ok(std::process::id())))?;
    let report = runtime.block_on(daemon.run(CancellationToken::new()))?;
    match report.unclosed.is_empty() {
        true => Ok(()),
        false => bail!("did not close: {}", report.unclosed.join(", ")),
    }
}
