//! The power cut, over and over: `kill -9` at a random moment, then a look at what is left.
//!
//! ```text
//!  round = seed + number ─► which work, whom to kill, when
//!     place a workspace with issues ─► run the work ─► stop and kill it at that moment ([`kill`])
//!     ─► one next command, timed ─► every check ([`checks`]) ─► a row of the [`Tally`]
//! ```
//!
//! A round is the same for the same seed and number, but for the moment: that is a part of how long
//! the work takes when nobody disturbs it, which [`Crashes::rehearse`] measures first. Work that has
//! ended before its moment came says again how long it takes.
//! Nothing here knows how the tracker stores anything; it goes by command line, client and file.

mod checks;
mod kill;
mod tally;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::dice::Dice;
use crate::generated::Generated;
use crate::{Daemon, Workspace};

pub use kill::Manner;
pub use tally::Tally;

use kill::Victim;
use traffic::Traffic;

/// Issues that are there before anything happens: an export of them takes some milliseconds.
const ISSUES: usize = 500;
/// Issues of the file that is imported.
const IMPORTED: usize = 1_000;
/// Issues that a writer creates, one after the other, if nobody ends it.
const CREATED: usize = 100;
/// How long a daemon is left alone at most, from its start; it does not end by itself.
const DAEMON_RUN: Duration = Duration::from_millis(600);
/// Shorter than any run, so that a daemon is often in the middle of a pass of its own.
const DAEMON_INTERVAL: [&str; 2] = ["--interval", "10ms"];

/// Lines of a daemon's log that are shown where it has ended badly.
const LOG_LINES: usize = 12;

/// What is under way when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Work {
    /// A process creates issues and prints the id of each when it has been acknowledged.
    Create,
    /// `tracker import` of a file of other issues.
    Import,
    /// `tracker export` over an older export.
    Export,
    /// `tracker sync` after a change, or of everything.
    Sync,
    /// A daemon that is told to create and to sync, with commits.
    Daemon,
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Create, Self::Import, Self::Export, Self::Sync, Self::Daemon];
}

/// The programs of the rounds.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The tracker's command line.
    pub tracker: PathBuf,
    /// `write-many`, which creates issues through the library.
    pub writer: PathBuf,
    /// A program that creates and exports as nobody should, in the place of those that do it well.
    pub careless: Option<PathBuf>,
}

/// Rounds that come from one seed.
#[derive(Debug)]
pub struct Crashes {
    programs: Programs,
    seed: u64,
    /// A workspace's database with issues in it, closed.
    template: PathBuf,
    /// A file to import.
    import: PathBuf,
    /// How long each work takes when it is left alone; by its place in [`Work::ALL`].
    lengths: Vec<Duration>,
    _dir: TempDir,
}

/// What a round has shown.
#[derive(Debug)]
pub struct Round {
    /// What was under way.
    pub work: Work,
    /// Whom it hit.
    pub manner: Manner,
    /// Whether the work was still under way.
    pub was_killed: bool,
    /// Writes that were acknowledged before.
    pub acknowledged: usize,
    /// How long the next command took, its process included; for a daemon, until the next one is ready.
    pub recovery: Duration,
    /// What must never be, a sentence each.
    pub broken: Vec<String>,
    /// What lies about that somebody else must clear away: files, by name.
    pub left: Vec<String>,
}

impl Crashes {
    /// Prepares rounds and measures how long every work takes when it is left alone.
    pub fn rehearse(programs: Programs, seed: u64) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("watertight-crash-").tempdir()?;
        let (given, import) = (dir.path().join("given.jsonl"), dir.path().join("import.jsonl"));
        Generated { seed, count: ISSUES }.write(&given)?;
        Generated { seed: !seed, count: IMPORTED }.write(&import)?;
        let model = Workspace::new(&programs.tracker)?;
        model.tracker(["import".as_ref(), given.as_os_str()])?.ok()?;
        let template = dir.path().join("template.db");
        fs::copy(model.paths().database(), &template)?;
        let mut crashes = Self { programs, seed, template, import, lengths: Vec::new(), _dir: dir };
        for work in Work::ALL {
            let stage = crashes.stage(work, &mut Dice::of(seed, 0, "rehearsal"))?;
            let length = match work {
                Work::Daemon => DAEMON_RUN,
                _ => {
                    let begun = Instant::now();
                    let ended = Victim::start(&mut crashes.command(work, &stage))?.wait()?;
                    ensure!(ended.success, "{work:?} fails when nobody disturbs it");
                    begun.elapsed()
                }
            };
            crashes.lengths.push(length);
        }
        Ok(crashes)
    }

    /// How long each work takes when it is left alone.
    pub fn lengths(&self) -> impl Iterator<Item = (Work, Duration)> {
        Work::ALL.into_iter().zip(self.lengths.iter().copied())
    }

    /// One round: the work by turns, all else by chance.
    pub fn round(&mut self, number: u64) -> Result<Round> {
        self.round_of(Work::ALL[(number % Work::ALL.len() as u64) as usize], number)
    }

    /// One round of this work.
    pub fn round_of(&mut self, work: Work, number: u64) -> Result<Round> {
        let mut dice = Dice::of(self.seed, number, "round");
        let manner = dice.pick(&Manner::ALL);
        let place = Work::ALL.iter().position(|one| *one == work).unwrap_or(0);
        let moment = self.lengths[place].mul_f64(dice.fraction());
        let stage = self.stage(work, &mut dice)?;
        let before = fs::read(&stage.file).ok();

        let begun = Instant::now();
        let victim = Victim::start(&mut self.command(work, &stage))?;
        let traffic = match work {
            Work::Daemon => Some(Traffic::begin(stage.workspace.paths(), DAEMON_RUN)?),
            _ => None,
        };
        let ended = victim.kill_after(moment, manner)?;
        if !ended.was_killed {
            self.lengths[place] = self.lengths[place].min(begun.elapsed());
        }
        let acknowledged = match traffic {
            Some(traffic) => traffic.end()?,
            None => ended.printed.lines().map(str::to_owned).collect(),
        };
        let acknowledged = if stage.prints_ids { acknowledged } else { Vec::new() };
        let mut round = Round {
            work,
            manner,
            was_killed: ended.was_killed,
            acknowledged: acknowledged.len(),
            recovery: Duration::ZERO,
            broken: Vec::new(),
            left: Vec::new(),
        };
        ensure!(ended.was_killed || ended.success, "{work:?} failed by itself: {}", ended.printed);
        let after = fs::read(&stage.file).ok();
        self.recover(&stage.workspace, &mut round)?;
        checks::Scene {
            stage: &stage,
            import: &self.import,
            acknowledged: &acknowledged,
            has_succeeded: ended.success,
            before,
            after,
        }
        .look(&mut round)?;
        Ok(round)
    }

    /// A workspace in which the work can begin.
    fn stage(&self, work: Work, dice: &mut Dice) -> Result<Stage> {
        let workspace = Workspace::new(&self.programs.tracker)?;
        fs::copy(&self.template, workspace.paths().database())?;
        let mut file = workspace.paths().jsonl();
        match work {
            Work::Create | Work::Import => {}
            Work::Export => {
                file = workspace.root().join("all.jsonl");
                workspace.tracker(["export".as_ref(), file.as_os_str()])?.ok()?;
                workspace.create("new since the last export")?;
            }
            Work::Sync => {
                // Either the whole file is new, or one line of it is.
                if dice.hits(50) {
                    workspace.tracker(["sync"])?.ok()?;
                    workspace.create("new since the last sync")?;
                }
            }
            Work::Daemon => {
                workspace.enable_git()?;
                workspace.tracker(["sync"])?.ok()?;
            }
        }
        let prints_ids = matches!(work, Work::Create | Work::Daemon);
        Ok(Stage { workspace, file, prints_ids })
    }

    /// The process that is to be killed.
    fn command(&self, work: Work, stage: &Stage) -> Command {
        let root = stage.workspace.root();
        let mut command = match (&self.programs.careless, work) {
            (Some(careless), Work::Create | Work::Export) => Command::new(careless),
            (None, Work::Create) => Command::new(&self.programs.writer),
            _ => Command::new(&self.programs.tracker),
        };
        match (&self.programs.careless, work) {
            (None, Work::Create) => command.arg(root).arg(CREATED.to_string()),
            (Some(_), Work::Create) => {
                command.arg("create").arg(root).arg(CREATED.to_string()).arg(&self.programs.tracker)
            }
            (Some(_), Work::Export) => command.arg("export").arg(root).arg(&stage.file),
            (_, Work::Import) => command.arg("--dir").arg(root).arg("import").arg(&self.import),
            (None, Work::Export) => command.arg("--dir").arg(root).arg("export").arg(&stage.file),
            (_, Work::Sync) => command.arg("--dir").arg(root).arg("sync"),
            (_, Work::Daemon) => {
                command.arg("--dir").arg(root).args(["daemon", "run"]).args(DAEMON_INTERVAL)
            }
        };
        command
    }

    /// The next command, as somebody would type it who knows of nothing.
    fn recover(&self, workspace: &Workspace, round: &mut Round) -> Result<()> {
        let begun = Instant::now();
        if round.work == Work::Daemon {
            match Daemon::start_with(workspace, &DAEMON_INTERVAL) {
                Ok(daemon) => {
                    round.recovery = begun.elapsed();
                    if let Err(error) = daemon.stop() {
                        let log = fs::read_to_string(workspace.paths().log()).unwrap_or_default();
                        let end: Vec<&str> = log.lines().rev().take(LOG_LINES).collect();
                        let end: String =
                            end.iter().rev().map(|line| format!("\n  {line}")).collect();
                        round
                            .broken
                            .push(format!("the next daemon: {error:#}; its log ends so:{end}"));
                    }
                }
                Err(error) => {
                    round.broken.push(format!("the next daemon does not start: {error:#}"))
                }
            }
        } else {
            let said = workspace.tracker(["list", "--limit", "1"])?;
            round.recovery = begun.elapsed();
            if said.status != Some(0) {
                round.broken.push(format!("the next command fails: {said:?}"));
            }
        }
        Ok(())
    }
}

/// Where a round happens.
#[derive(Debug)]
struct Stage {
    workspace: Workspace,
    /// The file that the work writes.
    file: PathBuf,
    /// Whether what is acknowledged are ids.
    prints_ids: bool,
}

impl Stage {
    fn root(&self) -> &Path {
        self.workspace.root()
    }
}
