//! What happens to a watched process, each in one sentence.

use watertight_report::watch::Event as Told;

use super::clock::Clock;
use crate::outside::{Ending, Event, GroupMemory, Reading, User};
use crate::probe::state::signal_name;

/// Who it happens to.
pub(crate) struct Who<'a> {
    pub(crate) pid: u32,
    pub(crate) command: &'a str,
    pub(crate) is_main: bool,
    /// The memory of its control group, when that was last read.
    pub(crate) group: Option<&'a GroupMemory>,
}

/// Starts and ends of descendants that are told one by one; more at once are counted.
const RELATIVES_TOLD_MAX: usize = 4;

/// So much of a group's memory is called full.
const FULL: f64 = 0.9;

impl Who<'_> {
    /// The events of one look, those of many descendants put together.
    pub(crate) fn tell(&self, events: &[Event], clock: &Clock) -> Vec<Told> {
        let is_of_relative =
            |event: &&Event| matches!(event, Event::Forked(_) | Event::DescendantEnded(_));
        let (relatives, own): (Vec<_>, Vec<_>) = events.iter().partition(is_of_relative);
        let mut told: Vec<Told> =
            own.into_iter().filter_map(|event| self.one(event, clock)).collect();
        // A descendant's own family is the main process's too.
        if !self.is_main {
            return told;
        }
        if relatives.len() <= RELATIVES_TOLD_MAX {
            told.extend(relatives.into_iter().filter_map(|event| self.one(event, clock)));
            return told;
        }
        let started = relatives.iter().filter(|event| matches!(event, Event::Forked(_))).count();
        let said =
            format!("{started} descendants were started, {} have ended", relatives.len() - started);
        told.push(self.event("forked", said, clock));
        told
    }

    /// Something that happens to it.
    pub(crate) fn event(&self, kind: &str, said: impl Into<String>, clock: &Clock) -> Told {
        let mut told = Told::new(self.command, self.pid, kind, said);
        (told.at_ms, told.unix_ms) = (clock.now().as_millis() as u64, Clock::unix_ms());
        told
    }

    fn one(&self, event: &Event, clock: &Clock) -> Option<Told> {
        let it =
            if self.is_main { "it".to_owned() } else { format!("its descendant {}", self.pid) };
        let (kind, said) = match event {
            Event::Execed { to, .. } => (
                "execed",
                format!(
                    "{it} runs another program now: {}; what is counted begins anew",
                    to.command
                ),
            ),
            Event::UserChanged { from, to } => (
                "user_changed",
                format!("{it} has the rights of {} now, not of {}", user(to), user(from)),
            ),
            Event::Suspended => (
                "suspended",
                format!(
                    "{it} is suspended (SIGSTOP, or Ctrl-Z): until it goes on nothing can grow"
                ),
            ),
            Event::Continued => ("continued", format!("{it} goes on")),
            Event::Forked(child) => {
                ("forked", format!("{it} has started process {} ({})", child.pid, child.name))
            }
            Event::DescendantEnded(child) => (
                "descendant_ended",
                format!("its descendant {} ({}) has ended", child.pid, child.name),
            ),
            Event::Ended(ending) if self.is_main => {
                ("ended", format!("it has ended: {}", self.ended(ending)))
            }
            // The main process's family tells of others.
            Event::Ended(_) | Event::Reaped => return None,
        };
        Some(self.event(kind, said, clock))
    }

    /// How it ended, as it follows a colon.
    pub(crate) fn ended(&self, ending: &Reading<Ending>) -> String {
        match ending {
            Ok(Ending::Exited(code)) => format!("exit code {code}"),
            Ok(Ending::Killed(signal)) => {
                let killed = format!("killed by {}", signal_name(u64::from(signal.unsigned_abs())));
                match self.group.and_then(|group| Some((group.current, group.max?))) {
                    Some((current, max)) if *signal == 9 && current as f64 >= FULL * max as f64 => {
                        format!(
                            "{killed}, when its control group used {} of {} bytes of memory: most likely by the \
                         kernel for want of memory",
                            current, max
                        )
                    }
                    _ => killed,
                }
            }
            Err(unavailable) => unavailable.reason.clone(),
        }
    }
}

fn user(user: &User) -> String {
    let name = |id: u32| {
        let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id));
        known
            .ok()
            .flatten()
            .map_or_else(|| format!("user {id}"), |known| format!("{} ({id})", known.name))
    };
    match user.real == user.effective {
        true => name(user.effective),
        false => format!("{}, started by {}", name(user.effective), name(user.real)),
    }
}
