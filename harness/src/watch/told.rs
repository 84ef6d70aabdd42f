//! What happens to a watched process, each in one sentence.

use std::collections::{BTreeMap, BTreeSet};

use watertight_report::watch::Event as Told;

use super::clock::Clock;
use crate::outside::{Ending, Event, GroupUse, Reading, Relative, User};
use crate::probe::state::signal_name;

/// Descendants of one name whose starts are told; a daemon that starts git every few seconds has told enough.
const STARTS_TOLD_MAX: u32 = 3;

/// Which descendants were told of.
#[derive(Debug, Default)]
pub(crate) struct Relatives {
    /// Starts, by name.
    started: BTreeMap<String, u32>,
    /// Those whose start was told, by their identity.
    told: BTreeSet<(u32, u64)>,
}

/// Names that are told apart: who writes numbers into names has told enough as well.
const NAMES_MAX: usize = 64;

impl Relatives {
    /// Whether the start of one is told, and whether as the last of its name.
    fn starts(&mut self, one: &Relative) -> Option<bool> {
        if !self.started.contains_key(&one.name) && self.started.len() == NAMES_MAX {
            return None;
        }
        let times = self.started.entry(one.name.clone()).or_default();
        *times += 1;
        if *times > STARTS_TOLD_MAX {
            return None;
        }
        self.told.insert((one.pid, one.started));
        Some(*times == STARTS_TOLD_MAX)
    }

    /// Whether the end of one is told: where its start was.
    fn ends(&mut self, one: &Relative) -> bool {
        self.told.remove(&(one.pid, one.started))
    }
}

/// Who it happens to.
pub(crate) struct Who<'a> {
    pub(crate) pid: u32,
    pub(crate) command: &'a str,
    pub(crate) is_main: bool,
    /// The memory of its control group, when that was last read.
    pub(crate) group: Option<&'a GroupUse>,
}

/// So much of a group's memory is called full.
const FULL: f64 = 0.9;

impl Who<'_> {
    /// The events of one look.
    pub(crate) fn tell(
        &self,
        events: &[Event],
        relatives: &mut Relatives,
        clock: &Clock,
    ) -> Vec<Told> {
        events.iter().filter_map(|event| self.one(event, relatives, clock)).collect()
    }

    /// Something that happens to it.
    pub(crate) fn event(&self, kind: &str, said: impl Into<String>, clock: &Clock) -> Told {
        let mut told = Told::new(self.command, self.pid, kind, said);
        (told.at_ms, told.unix_ms) = (clock.now().as_millis() as u64, Clock::unix_ms());
        told
    }

    fn one(&self, event: &Event, relatives: &mut Relatives, clock: &Clock) -> Option<Told> {
        let it =
            if self.is_main { "it".to_owned() } else { format!("its descendant {}", self.pid) };
        let (kind, said) = match event {
            // Nearly every child becomes another program; its samples bear the name of that.
            Event::Execed { .. } if !self.is_main => return None,
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
            // A descendant's own family is the main process's too.
            Event::Forked(_) | Event::DescendantEnded(_) if !self.is_main => return None,
            Event::Forked(child) => {
                let is_last = relatives.starts(child)?;
                let more = if is_last { "; more of that name are not told" } else { "" };
                ("forked", format!("{it} has started process {} ({}){more}", child.pid, child.name))
            }
            Event::DescendantEnded(child) if relatives.ends(child) => (
                "descendant_ended",
                format!("its descendant {} ({}) has ended", child.pid, child.name),
            ),
            Event::DescendantEnded(_) => return None,
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
                            "{killed}, when its control group used {current} of {max} bytes of memory: most \
                             likely by the kernel for want of memory"
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

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Who<'static> = Who { pid: 7, command: "x", is_main: true, group: None };

    fn relative(pid: u32, name: &str) -> Relative {
        Relative { pid, started: 1, parent: 7, name: name.to_owned(), is_zombie: false }
    }

    #[test]
    fn starts_of_one_name_are_told_a_few_times_and_ends_where_starts_were() {
        let (clock, mut relatives) = (Clock::start(), Relatives::default());
        let mut said = Vec::new();
        for pid in 10..20 {
            let git = relative(pid, "git");
            let events = [Event::Forked(git.clone()), Event::DescendantEnded(git)];
            said.extend(
                WHO.tell(&events, &mut relatives, &clock).into_iter().map(|told| told.said),
            );
        }
        assert_eq!(said.len(), 6, "{said:#?}");
        assert_eq!(said[4], "it has started process 12 (git); more of that name are not told");
        assert_eq!(said[5], "its descendant 12 (git) has ended");
        assert_eq!(WHO.tell(&[Event::Forked(relative(30, "sh"))], &mut relatives, &clock).len(), 1);
        assert_eq!(relatives.told.len(), 1);
    }

    #[test]
    fn a_kill_at_the_groups_limit_is_told_as_what_it_most_likely_is() {
        let group = GroupUse { group: "/a".into(), current: 95, max: Some(100) };
        let who = Who { group: Some(&group), ..WHO };
        assert!(who.ended(&Ok(Ending::Killed(9))).contains("want of memory"));
        assert_eq!(who.ended(&Ok(Ending::Killed(15))), "killed by SIGTERM");
        assert_eq!(WHO.ended(&Ok(Ending::Killed(9))), "killed by SIGKILL");
        assert_eq!(WHO.ended(&Ok(Ending::Exited(3))), "exit code 3");
    }
}
