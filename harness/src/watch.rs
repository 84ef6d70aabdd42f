//! A running program, looked at over time: what it and its descendants have, what happens to them, and what
//! grows.
//!
//! ```text
//!  look, in every interval ──► samples and events                      (screen, `--json`, exports)
//!      │  each process: outside, and the agent's notes where it is in it
//!      └─► history: a series for each metric, a census now and then
//!  end ──► trends ─► what grew, with its lines ─► judge ─► a trial     (ledger, report, gate)
//! ```
//!
//! A program that was started with a [`Table`]'s variables has lines; any other is seen from outside alone.
//! Memory is bounded, however long it is watched.

mod canary;
mod census;
mod clock;
mod followed;
mod history;
mod notes;
mod record;
mod sites;
mod table;
mod told;

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;
use watertight_report::model::{Frame, Resource, Trial};
use watertight_report::watch::{Event as Told, Sample};

pub use canary::run_record;
pub use table::{HeapStacks, Table};

use crate::judge::Made;
use crate::outside::{self, Ending, OpenError, Reading, Relative, Subject};
use crate::symbol::Symbolizer;
use census::Census;
use clock::Clock;
use followed::{Followed, Seen};
use told::{Relatives, Who};

/// Descendants that are looked into; more are counted.
const FOLLOWED_MAX: usize = 64;
/// Processes that have ended and are judged at the end all the same.
const PAST_MAX: usize = 64;

/// How a program is watched.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// How long it may warm up.
    pub warm_up: Duration,
    /// When it has ended, the next program of this name is watched.
    pub name: Option<String>,
    /// Whether it is a child of this process, a subreaper, that nobody else waits for. Then it is over only when
    /// its descendants have ended as well, those whose parents have ended among them.
    pub is_child: bool,
    /// Whether it was started with the agent, which is to be missed then.
    pub expects_notes: bool,
}

/// What one look has shown: the watched process first, then its descendants.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Look {
    /// One for each process that could be looked at.
    pub samples: Vec<Sample>,
    /// What has happened since the look before.
    pub events: Vec<Told>,
}

/// Something that a process has, or several of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holding {
    /// Its kind.
    pub resource: Resource,
    /// Its name, or that of one of them.
    pub what: String,
    /// How many, or how many bytes for a resource that is counted in bytes.
    pub amount: u64,
    /// The line that made it, where that is known.
    pub site: Option<Frame>,
}

/// A program that is watched.
pub struct Watch {
    clock: Clock,
    settings: Settings,
    main: Followed,
    /// Living descendants, by their identity.
    family: BTreeMap<(u32, u64), Followed>,
    /// What was seen, for long enough, of those that have ended or run another program, and of earlier processes of
    /// the name.
    past: Vec<Seen>,
    ticks: u64,
    relatives: Relatives,
    /// Whether something of the main process could not be read at the last look.
    blind: Option<String>,
    was_crowded: bool,
    symbols: Mutex<Symbolizer>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Takes hold of a running process.
    ///
    /// # Errors
    /// It cannot be looked at: see [`OpenError`].
    pub fn of(pid: u32, settings: Settings) -> Result<Self, OpenError> {
        let open = if settings.is_child { Subject::open_child } else { Subject::open };
        Ok(Self {
            clock: Clock::start(),
            main: Followed::new(open(pid)?, true),
            settings,
            family: BTreeMap::new(),
            past: Vec::new(),
            ticks: 0,
            relatives: Relatives::default(),
            blind: None,
            was_crowded: false,
            symbols: Mutex::new(Symbolizer::new()),
        })
    }

    /// The watched process.
    pub fn pid(&self) -> u32 {
        self.main.subject.pid()
    }

    /// How long it has been watched.
    pub fn watched(&self) -> Duration {
        self.clock.now()
    }

    /// Becomes readable (poll(2)) when the process ends; none before Linux 5.3, and while the next of its name
    /// is waited for.
    pub fn ends(&self) -> Option<BorrowedFd<'_>> {
        self.main.subject.ends().filter(|_| !self.main.is_over())
    }

    /// How the process ended; none while it lives.
    pub fn ending(&self) -> Option<Reading<Ending>> {
        self.main.last.as_ref()?.ending.clone()
    }

    /// Whether nothing is left to look at: the process has ended, and no other of its name is waited for.
    pub fn is_over(&self) -> bool {
        let family_goes_on = self.settings.is_child && !self.family.is_empty();
        self.main.is_over() && self.settings.name.is_none() && !family_goes_on
    }

    /// Signals all descendants that live, also those that were not seen yet: of a child of ours nothing is left.
    pub fn signal_descendants(&self, signal: Signal) {
        for followed in self.family.values() {
            followed.subject.signal(signal);
        }
        let unseen = outside::own_descendants().into_iter().filter(|one| {
            self.settings.is_child && !self.family.contains_key(&(one.pid, one.started))
        });
        for subject in unseen.filter_map(|one| Subject::open(one.pid).ok()) {
            subject.signal(signal);
        }
    }

    /// The program has ticked `times` more.
    pub fn tick(&mut self, times: u64) {
        self.ticks += times;
        for followed in [&mut self.main].into_iter().chain(self.family.values_mut()) {
            followed.seen.history.tick(times);
        }
    }

    /// How often it has ticked.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// What the process had most of at the last look, by the line that made it, or by name.
    pub fn holdings(&self) -> Vec<Holding> {
        let Some(last) = &self.main.last else { return Vec::new() };
        let census = self.main.census(last, 0.0);
        let all = census.grown_since(&Census::default(), None);
        let made = sites::made(all, self.main.seen.notes.as_ref(), &self.symbols);
        let mut holdings: Vec<Holding> = Vec::new();
        for Made { resource, what, growth, creation } in made {
            let site = creation.and_then(|creation| creation.site);
            let is_it =
                |it: &&mut Holding| it.resource == resource && it.what == what && it.site == site;
            match holdings.iter_mut().find(is_it) {
                Some(holding) => holding.amount += growth,
                None => holdings.push(Holding { resource, what, amount: growth, site }),
            }
        }
        holdings.sort_by_key(|it| (it.resource, std::cmp::Reverse(it.amount)));
        holdings
    }

    /// Looks once: 0.2 ms a process, less where nothing dear is due.
    pub fn look(&mut self) -> Look {
        self.look_at_all(false)
    }

    /// Looks a last time, at everything, and judges.
    pub fn finish(&mut self) -> (Look, Trial) {
        let look = self.look_at_all(true);
        let trial = record::trial(self);
        let ended = self.main.is_over().then_some(&self.main.seen);
        ended.into_iter().chain(&self.past).for_each(Seen::forget);
        (look, trial)
    }

    fn look_at_all(&mut self, whole: bool) -> Look {
        let mut look = Look::default();
        if self.main.is_over() && !self.found_again(&mut look) {
            self.meet();
            self.look_at_family(whole, &mut look);
            return look;
        }
        let is_first = self.main.last.is_none();
        let seen = self.main.look(&self.clock, self.ticks, whole);
        let who = who(&self.main);
        if is_first {
            look.events.push(who.event("attached", self.attached(), &self.clock));
        }
        look.events.extend(who.tell(&seen.events, &mut self.relatives, &self.clock));
        if let Some(unavailable) = &seen.unreadable_notes {
            look.events.push(who.event("unreadable", unavailable.reason.clone(), &self.clock));
        }
        self.say_blindness(&mut look);
        if !self.main.is_over() {
            look.samples.push(seen.sample);
        }
        if let Some(replaced) = seen.replaced {
            self.remember(replaced);
        }
        self.meet();
        self.look_at_family(whole, &mut look);
        if self.main.is_over() {
            self.say_what_follows(&mut look);
        }
        look
    }

    /// All that was seen: of the process now, of its living descendants, and of what has been.
    fn seen(&self) -> impl Iterator<Item = &Seen> {
        let living = [&self.main].into_iter().chain(self.family.values());
        living.map(|followed| &followed.seen).chain(&self.past)
    }

    /// What is watched, in one sentence.
    fn attached(&self) -> String {
        if self.main.is_over() {
            return format!(
                "process {} ({}) had ended before it was looked at",
                self.pid(),
                self.main.seen.command
            );
        }
        let lines = match (self.main.seen.notes.is_some(), self.settings.expects_notes) {
            (true, _) => "the lines are known that make what it holds",
            (false, true) => {
                "the agent is not in it (a static or setuid program, or one that has just ended), so it is seen \
                 from outside alone"
            }
            (false, false) => "it is seen from outside, so no lines are known",
        };
        format!("watching process {} ({}); {lines}", self.pid(), self.main.seen.command)
    }

    /// Says once what of the process cannot be read, and again when that is another thing.
    fn say_blindness(&mut self, look: &mut Look) {
        let Some(last) = self.main.last.as_ref().filter(|_| !self.main.is_over()) else { return };
        let barred = self.main.subject.barred().map(|barred| barred.reason.clone());
        let unread =
            || last.descriptors.as_ref().err().map(|unavailable| unavailable.reason.clone());
        let now = barred.or_else(unread);
        if let Some(reason) = now.as_ref().filter(|reason| Some(*reason) != self.blind.as_ref()) {
            let said = format!("not all of it can be seen: {reason}");
            look.events.push(who(&self.main).event("unreadable", said, &self.clock));
        }
        self.blind = now;
    }

    /// Follows descendants that are new.
    fn meet(&mut self) {
        let family = self.main.last.as_ref().and_then(|last| last.family.value.as_ref().ok());
        let mut relatives = family.map_or_else(Vec::new, |family| family.descendants.clone());
        if self.settings.is_child {
            // One that was given away between two looks is ours now.
            relatives.extend(outside::own_descendants());
        }
        let pid = self.pid();
        let is_new = |one: &Relative| {
            !one.is_zombie && one.pid != pid && !self.family.contains_key(&(one.pid, one.started))
        };
        relatives.retain(is_new);
        for one in relatives {
            if self.family.len() == FOLLOWED_MAX {
                self.was_crowded = true;
                return;
            }
            // One that has ended since was not to be followed.
            if !self.family.contains_key(&(one.pid, one.started))
                && let Ok(subject) = Subject::open(one.pid)
                && subject.started() == one.started
            {
                self.family.insert((one.pid, one.started), Followed::new(subject, false));
            }
        }
    }

    fn look_at_family(&mut self, whole: bool, look: &mut Look) {
        let mut past = Vec::new();
        for followed in self.family.values_mut() {
            let seen = followed.look(&self.clock, self.ticks, whole);
            look.events.extend(who(followed).tell(&seen.events, &mut self.relatives, &self.clock));
            past.extend(seen.replaced);
            if !followed.is_over() {
                look.samples.push(seen.sample);
            }
        }
        for (identity, followed) in std::mem::take(&mut self.family) {
            if followed.is_over() {
                past.push(followed.seen);
            } else {
                self.family.insert(identity, followed);
            }
        }
        past.into_iter().for_each(|seen| self.remember(seen));
    }

    /// Keeps what has ended for the verdict, where enough of it was seen.
    fn remember(&mut self, seen: Seen) {
        if seen.history.is_long() && self.past.len() < PAST_MAX {
            self.past.push(seen);
        } else {
            seen.forget();
        }
    }

    /// Whether another process of the name has come since the last one ended; then it is watched.
    fn found_again(&mut self, look: &mut Look) -> bool {
        let Some(name) = &self.settings.name else { return false };
        let Ok(pid) = only(name) else { return false };
        let Ok(subject) = Subject::open(pid) else { return false };
        let before = std::mem::replace(&mut self.main, Followed::new(subject, true));
        let said = format!("{name} is back as process {pid}; what is counted begins anew");
        look.events.push(who(&self.main).event("again", said, &self.clock));
        self.remember(before.seen);
        true
    }

    /// What happens after the process has ended, told once.
    fn say_what_follows(&self, look: &mut Look) {
        let who = who(&self.main);
        if let Some(name) = &self.settings.name {
            let said = format!("waiting for the next process called {name}; Ctrl-C ends it");
            look.events.push(who.event("waiting", said, &self.clock));
        } else if !self.is_over() {
            let said = match self.family.len() {
                1 => "1 descendant goes on and is watched".to_owned(),
                many => format!("{many} descendants go on and are watched"),
            };
            look.events.push(who.event("waiting", said, &self.clock));
        }
    }
}

fn who(followed: &Followed) -> Who<'_> {
    let limits = followed.last.as_ref().map(|last| &last.limits);
    Who {
        pid: followed.subject.pid(),
        command: &followed.seen.command,
        is_main: followed.seen.is_main,
        group: limits.and_then(|limits| limits.memory.as_ref().ok()),
    }
}

/// The process of a name that is no other's child of the same name.
///
/// # Errors
/// There is none, or more than one.
pub fn only(name: &str) -> Result<u32, NotOne> {
    let own = std::process::id();
    let named: Vec<u32> = outside::named(name).into_iter().filter(|pid| *pid != own).collect();
    let is_child = |pid: &u32| outside::parent(*pid).is_some_and(|parent| named.contains(&parent));
    let first: Vec<u32> = named.iter().copied().filter(|pid| !is_child(pid)).collect();
    match first.as_slice() {
        [one] => Ok(*one),
        [] => Err(NotOne::Nobody(name.to_owned())),
        _ => Err(NotOne::Several(name.to_owned(), first)),
    }
}

/// No process, or no single one, has a name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOne {
    /// Nobody is called so.
    #[error("no process is called {0:?}: `ps -eo pid,comm` lists their names")]
    Nobody(String),
    /// Several are, and none is the parent of the others.
    #[error("{0:?} is the name of the processes {1:?}: name one of them by its number")]
    Several(String, Vec<u32>),
}
