//! What the bin `soak` runs under the harness: one daemon, ten thousand ticks and ten thousand calls.
//!
//! A tick comes every few milliseconds and not every five seconds, and sees changes, commits and idleness as
//! it would in a month. `SOAK_ROUNDS`, `SOAK_TICKS` and `SOAK_CALLS` say how much there is in all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use watertight::watch::{Settings, Watch};
use watertight::{Case, Context, Failed, Resource, Suite};
use watertight_suites::dice::Dice;
use watertight_suites::generated::Generated;
use watertight_suites::{Daemon, Workspace, siblings, wait_within};
use watertight_tracker::client::Client;
use watertight_tracker::issue::{IssuePatch, NewIssue};

const ROUNDS: u64 = 20;
const TICKS: u64 = 10_000;
const CALLS: u64 = 10_000;
const ISSUES: Generated = Generated { seed: 5, count: 500 };
/// A tick takes less.
const ARGUMENTS: [&str; 4] = ["--interval", "2ms", "--tcp", "127.0.0.1:0"];
/// Calls on one connection before there is a new one; every other of them is by TCP.
const CALLS_A_CONNECTION: u64 = 50;
/// For all of it, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    let body = |cx: &Context| soak(cx).map_err(|error| Failed::new(format!("{error:#}")));
    let case = Case::new("a_daemon_of_many_ticks_and_calls", body)
        .package(env!("CARGO_MANIFEST_DIR"))
        .deadline(DEADLINE)
        // A client by TCP that leaves first leaves its port pair, as anybody's does.
        .allow(Resource::TimeWait, CALLS / CALLS_A_CONNECTION)
        // It repeats what is to be flat by itself.
        .rounds(1);
    Suite::new("soak-case").case(case).main()
}

fn given(name: &str, otherwise: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().context(name.to_owned()))
}

fn soak(cx: &Context) -> Result<()> {
    let rounds = given("SOAK_ROUNDS", ROUNDS)?;
    let (ticks, calls) = (given("SOAK_TICKS", TICKS)?, given("SOAK_CALLS", CALLS)?);
    let workspace = Workspace::new(siblings::beside("tracker-under-test")?)?;
    let file = workspace.root().join("given.jsonl");
    ISSUES.write(&file)?;
    workspace.tracker(["import".as_ref(), file.as_os_str()])?.ok()?;
    workspace.enable_git()?;
    let daemon = Daemon::start_with(&workspace, &ARGUMENTS)?;
    let mut watcher = workspace.client()?;
    watcher.sync()?;

    cx.watch(&daemon.pid());
    let (begun, first) = (Instant::now(), watcher.status()?);
    // Of three rounds alone: what is kept of each would be growth, and is found as such.
    let told = [1, rounds / 2, rounds];
    let mut figures = Vec::with_capacity(told.len());
    let mut dice = Dice::new(ISSUES.seed);
    let mut number = 0;
    let mut round = || {
        let before = watcher.status()?.ticks;
        talk(&workspace, &mut dice, calls / rounds)?;
        watcher.sync()?;
        wait_within(DEADLINE, "so many ticks", || {
            Ok(watcher.status()?.ticks >= before + ticks / rounds)
        })?;
        // Whoever has left is gone when this holds: the count is of its own connection.
        wait_within(DEADLINE, "everybody has left", || Ok(watcher.status()?.connections == 1))?;
        number += 1;
        if told.contains(&number) {
            figures.push((number, look(&daemon, &mut watcher)?));
        }
        anyhow::Ok(())
    };
    cx.steady(u32::try_from(rounds)?, || {
        round().map_err(|error| Failed::new(format!("{error:#}")))
    })
    .map_err(|failed| anyhow::anyhow!("{failed}"))?;

    let last = watcher.status()?;
    println!(
        "soak: {} ticks, {} requests, {} exports, {} commits in {:.1} s, {rounds} rounds",
        last.ticks - first.ticks,
        last.requests - first.requests,
        last.exports - first.exports,
        workspace.commits()?,
        begun.elapsed().as_secs_f64()
    );
    print(&figures);
    ensure!(last.last_error.is_none(), "a pass failed: {:?}", last.last_error);
    ensure!(last.ticks - first.ticks >= ticks / rounds * rounds, "too few ticks");
    ensure!(last.requests - first.requests >= calls / rounds * rounds, "too few calls");
    daemon.stop()
}

/// Calls of every kind, on several connections. No issue is added that is not deleted again.
fn talk(workspace: &Workspace, dice: &mut Dice, calls: u64) -> Result<()> {
    let mut client = None;
    for number in 0..calls {
        let connection = number / CALLS_A_CONNECTION;
        if number % CALLS_A_CONNECTION == 0 {
            client = Some(match connection % 2 {
                0 => Client::connect(workspace.paths())?,
                _ => Client::connect_tcp(workspace.paths())?,
            });
        }
        let client = client.as_mut().context("a client")?;
        let id = ISSUES.id(dice.below(ISSUES.count as u64) as usize);
        match dice.below(10) {
            0 => {
                let title = Some(format!("call {number:06}"));
                client.update(&id, IssuePatch { title, ..IssuePatch::default() })?;
            }
            1 => drop(client.list(Some(50))?),
            2 => drop(client.ready(Some(10))?),
            3 => drop(client.status()?),
            4 => {
                ensure!(client.show("tt-nothing").is_err(), "there is no such issue");
            }
            5 => {
                let untitled = client.create(&NewIssue::titled(" "));
                ensure!(untitled.is_err(), "nothing has no title");
            }
            6 => client.ping()?,
            _ => drop(client.show(&id)?),
        }
    }
    Ok(())
}

/// Populations by name.
type Figures = BTreeMap<String, f64>;

/// What the harness sees of the daemon, and what it says of itself.
fn look(daemon: &Daemon, client: &mut Client) -> Result<Figures> {
    let look = Watch::of(daemon.pid(), Settings::default())?.look();
    let seen = look.samples.iter().find(|sample| sample.is_main).context("nothing was seen")?;
    let mut figures: Figures =
        seen.values.iter().map(|(name, value)| (name.clone(), *value as f64)).collect();
    for line in client.metrics()?.text.lines() {
        // Populations alone: what is counted since the start grows.
        let Some((name, value)) = line.split_once(' ') else { continue };
        let is_total = ["_total", "_sum", "_count"].iter().any(|end| name.ends_with(end));
        if name.starts_with("tracker_") && !name.contains('{') && !is_total {
            figures.insert(name.to_owned(), value.trim().parse()?);
        }
    }
    Ok(figures)
}

/// A row for each figure, a column for each round that is told.
fn print(figures: &[(u64, Figures)]) {
    let row = |name: &str, values: &mut dyn Iterator<Item = String>| {
        let values: String = values.map(|value| format!(" {value:>10}")).collect();
        println!("soak: {name:<34}{values}");
    };
    row("after round", &mut figures.iter().map(|(number, _)| number.to_string()));
    let names: BTreeSet<&String> = figures.iter().flat_map(|(_, figures)| figures.keys()).collect();
    for name in names {
        let of = |(_, figures): &(u64, Figures)| {
            figures.get(name).map_or_else(String::new, f64::to_string)
        };
        row(name, &mut figures.iter().map(of));
    }
}
