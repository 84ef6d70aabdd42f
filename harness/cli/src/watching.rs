//! Watching a program, from the first look to the verdict: what `run` and `watch` do alike.
//!
//! ```text
//!  poll: the next look is due, the program ends, prints or ticks, somebody wants us to stop
//!    └─► look ─► screen, exports                    (every interval)
//!  end ─► verdict ─► ledger, screen, exit code
//! ```

mod exports;
mod figures;
mod once;
mod options;
mod out;
mod poll;
mod program;
mod screen;
mod stop;
mod table;
mod ticks;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use watertight::InForce;
use watertight::watch::{Look, Watch, run_record};
use watertight_report::ledger::Ledger;
use watertight_report::model::{Record, Trial, Verdict};
use watertight_report::render::terminal::{self, Style};
use watertight_report::watch::Line;

use crate::acceptance::Acceptance;
use crate::exit::Usage;
use crate::talk::{Talk, shown};
use crate::underway::Underway;
use crate::{exit, ledgers};
use exports::Exports;
use figures::Figures;
pub(crate) use once::once;
pub(crate) use options::Options;
use out::To;
pub(crate) use program::{Program, Start};
use screen::Screen;
use stop::Stop;

/// A watch at work.
pub(crate) struct Watching<'a> {
    watch: Watch,
    program: Option<Program>,
    options: &'a Options,
    talk: &'a Talk,
    screen: Screen,
    figures: Figures,
    prepared: Prepared,
    to: To,
    /// What a person types to do it again.
    command: String,
    /// Says beside the ledger that its run has not come to its end.
    _underway: Option<Underway>,
}

/// What is ready before a program is started, so that what is wrong is said first.
pub(crate) struct Prepared {
    exports: Exports,
    stop: Stop,
    ledger: Option<PathBuf>,
    acceptance: Acceptance,
    profile: InForce,
    /// The id of the run, in the ledger.
    run: String,
}

impl Prepared {
    /// Opens what will be written to.
    ///
    /// # Errors
    /// A file that was named cannot be written, or the acceptance file is wrong.
    pub(crate) fn new(options: &Options, talk: &Talk) -> anyhow::Result<Self> {
        let acceptance = Acceptance::load(talk)?;
        let profile = InForce::load().map_err(|error| Usage(error.to_string()))?;
        let exports = Exports::open(options)?;
        let run = ledgers::run_id();
        let ledger = match &options.ledger {
            Some(named) => Some(ledgers::made(named, "--ledger")?),
            None => match (ledgers::named()?, ledgers::workspace()) {
                (Some(named), _) => Some(named),
                (None, Some(root)) => Some(ledgers::begin(&ledgers::target(&root), &run)?),
                (None, None) => None,
            },
        };
        let stop = Stop::listen().context("signals cannot be listened to")?;
        Ok(Self { exports, stop, ledger, acceptance, profile, run })
    }
}

impl<'a> Watching<'a> {
    pub(crate) fn new(
        watch: Watch,
        program: Option<Program>,
        prepared: Prepared,
        options: &'a Options,
        command: String,
        talk: &'a Talk,
    ) -> anyhow::Result<Self> {
        let to = if program.is_some() { To::Stderr } else { To::Stdout };
        if let Some(path) = &prepared.ledger {
            let make = || run_record(&prepared.run, prepared.profile.name());
            Ledger::open(path)
                .and_then(|ledger| ledger.begin(&prepared.run, make))
                .with_context(unwritten)?;
        }
        let underway = prepared.ledger.as_ref().map(|path| Underway::mark(path, &prepared.run));
        Ok(Self {
            _underway: underway,
            watch,
            program,
            options,
            talk,
            screen: Screen::new(options.json, to, options.length, options.interval, talk),
            figures: Figures::default(),
            prepared,
            to,
            command,
        })
    }

    /// Watches to the end; gives the exit code.
    ///
    /// # Errors
    /// Something that was asked for could not be written; the verdict was said all the same.
    pub(crate) fn run(mut self) -> anyhow::Result<u8> {
        let began = Instant::now();
        let end = self.options.length.map(|length| began + length);
        let mut next = began;
        loop {
            let now = Instant::now();
            if now >= next {
                let look = self.watch.look();
                self.tell(&look);
                if let Some(program) = &mut self.program {
                    program.reap();
                }
                // Looks that took too long are left out, not made up for.
                while next <= now {
                    next += self.options.interval;
                }
            }
            if self.watch.is_over() && self.is_left_alone()
                || self.screen.out.has_failed()
                || self.prepared.stop.signal().is_some()
                || end.is_some_and(|end| now >= end)
            {
                break;
            }
            let until = end.map_or(next, |end| end.min(next));
            if self.wait(until.saturating_duration_since(Instant::now())) {
                // It has ended: that is looked at now.
                next = Instant::now();
            }
        }
        self.conclude()
    }

    /// Whether nobody is left of the program: one that goes into the background may be on its way to us, and is seen
    /// at the next look.
    fn is_left_alone(&self) -> bool {
        self.program.as_ref().is_none_or(Program::is_gone)
    }

    /// Waits for whatever comes first; true where the process has ended.
    fn wait(&mut self, timeout: Duration) -> bool {
        let own = self.watch.ends();
        let has_own = own.is_some();
        let readable = self.program.iter().flat_map(Program::readable);
        let fds = [self.prepared.stop.woken()].into_iter().chain(own).chain(readable);
        let ready = poll::ready(fds, timeout);
        let streams = ready.get(1 + usize::from(has_own)..).unwrap_or_default();
        let screen = &self.screen;
        if let Some(program) = &mut self.program {
            let ticks = program.read(streams, |write| screen.aside(write));
            self.watch.tick(ticks);
        }
        has_own && ready.get(1).copied().unwrap_or(false)
    }

    /// Tells of one look.
    fn tell(&mut self, look: &Look) {
        for event in &look.events {
            self.screen.event(event);
            self.prepared.exports.event(event);
        }
        self.figures.enter(&look.samples);
        self.screen.look(&look.samples, &self.figures, self.watch.watched());
        self.prepared.exports.samples(&look.samples);
    }

    /// The last look, the verdict, the end of what we have started.
    fn conclude(mut self) -> anyhow::Result<u8> {
        let screen = &self.screen;
        if let Some(program) = &mut self.program {
            let ticks = program.drain(|write| screen.aside(write));
            self.watch.tick(ticks);
        }
        let (look, mut trial) = self.watch.finish();
        self.tell(&look);
        self.screen.close();
        (trial.run, trial.command) = (self.prepared.run.clone(), Some(self.command.clone()));
        self.prepared.acceptance.baseline.judge_again(&mut trial, self.prepared.acceptance.today);
        let written = self.write(&trial);
        let ended = self.end();
        self.say(&trial);
        if self.watch.ticks() == 0 && self.program.as_ref().is_some_and(Program::has_ticks) {
            self.talk.warn("no tick was counted: no line matched, or the program keeps its output until it has much of it");
        }
        let code = self.code(&trial, ended);
        let told =
            self.screen.out.failure().map_or(Ok(()), Err).context("stdout cannot be written");
        let mut failed = self.prepared.exports.finish();
        failed.extend([told, written].into_iter().filter_map(Result::err));
        // All are said, the last of them as the reason for the exit code.
        let last = failed.into_iter().reduce(|before, error| {
            self.talk.error(&before);
            error
        });
        last.map_or(Ok(code), Err)
    }

    fn write(&self, trial: &Trial) -> anyhow::Result<()> {
        let Some(path) = &self.prepared.ledger else { return Ok(()) };
        let record = Record::Trial(Box::new(trial.clone()));
        Ledger::open(path).and_then(|ledger| ledger.append(&record)).with_context(unwritten)
    }

    /// Ends the program where it runs on; gives its exit code where it has ended by itself.
    fn end(&mut self) -> Option<u8> {
        let program = self.program.as_mut()?;
        program.reap();
        let own = program.code();
        let first = self.prepared.stop.signal().unwrap_or(Signal::SIGTERM);
        self.prepared.stop.forget();
        let (watch, stop, talk) = (&self.watch, &self.prepared.stop, self.talk);
        let also = |signal| watch.signal_descendants(signal);
        program.end(first, also, || stop.signal().is_some(), talk);
        own
    }

    fn say(&mut self, trial: &Trial) {
        if self.options.json {
            self.screen.out.print(&Line::Trial(Box::new(trial.clone())));
            return;
        }
        let style = Style {
            colour: self.to.is_coloured(),
            stacks: self.talk.is_verbose(),
            ledger: self.prepared.ledger.as_deref().map(|path| shown(path).to_owned()),
            ..Style::default()
        };
        // What grows is told with what to do about it.
        let verdict = match trial.verdict {
            Verdict::Leaked => terminal::failure(trial, &style),
            _ => terminal::verdict(trial, &style),
        };
        self.screen.out.say(&format!("\n{}", verdict.trim_end()));
    }

    /// Growth is worse than what the program ended with, and that than a wish to stop.
    fn code(&self, trial: &Trial, ended: Option<u8>) -> u8 {
        let is_red = match trial.verdict {
            Verdict::Leaked => true,
            Verdict::Unmeasured | Verdict::Unsettled => {
                self.prepared.profile.fails_unmeasured(&trial.suite, &trial.case)
            }
            Verdict::Clean | Verdict::Tolerated => false,
        };
        if self.options.fail_on_growth && is_red {
            return exit::RED;
        }
        ended.unwrap_or(exit::OK)
    }
}

fn unwritten() -> &'static str {
    "the ledger cannot be written; name another with --ledger"
}
