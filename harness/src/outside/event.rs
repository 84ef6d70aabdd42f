//! What has become of a process between two snapshots. Pure: no clock, no I/O.

use super::{Ending, Image, Reading, Relative, Snapshot, State, User};

/// Something that happened to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It runs another program, or the same from its start: what it held may be closed since.
    Execed {
        /// What it ran before.
        from: Image,
        /// What it runs now.
        to: Image,
    },
    /// It has other rights.
    UserChanged {
        /// Whose it had.
        from: User,
        /// Whose it has.
        to: User,
    },
    /// It was stopped.
    Suspended,
    /// It goes on.
    Continued,
    /// It has a descendant that was not there before.
    Forked(Relative),
    /// A descendant has ended.
    DescendantEnded(Relative),
    /// It has ended.
    Ended(Reading<Ending>),
    /// Its parent has asked how it ended.
    Reaped,
}

/// Tells the events in the order in which they are told best: the process's own, then its descendants', which
/// are told when they are looked at next ([`Paced`](super::Paced)).
pub fn events(before: &Snapshot, after: &Snapshot) -> Vec<Event> {
    let mut events = Vec::new();
    if let (Ok(from), Ok(to)) = (&before.user, &after.user)
        && from != to
    {
        events.push(Event::UserChanged { from: *from, to: *to });
    }
    if let (Ok(from), Ok(to)) = (&before.image, &after.image)
        && from.was_replaced_by(to)
    {
        events.push(Event::Execed { from: from.clone(), to: to.clone() });
    }
    if let (Ok(from), Ok(to)) = (&before.state, &after.state) {
        match (*from == State::Suspended, *to == State::Suspended) {
            (false, true) => events.push(Event::Suspended),
            (true, false) if !to.is_over() => events.push(Event::Continued),
            _ => {}
        }
        if let (false, Some(ending)) = (from.is_over(), &after.ending) {
            events.push(Event::Ended(ending.clone()));
        }
        if *from != State::Gone && *to == State::Gone {
            events.push(Event::Reaped);
        }
    }
    if let (Ok(from), Ok(to)) = (&before.family.value, &after.family.value) {
        relatives(&from.descendants, &to.descendants, &mut events);
    }
    events
}

fn relatives(before: &[Relative], after: &[Relative], events: &mut Vec<Event>) {
    let find = |all: &[Relative], one: &Relative| {
        let identity = one.identity();
        all.binary_search_by_key(&identity, Relative::identity).ok()
    };
    for one in after {
        let was = find(before, one).map(|at| &before[at]);
        if was.is_none() {
            events.push(Event::Forked(one.clone()));
        }
        if one.is_zombie && was.is_none_or(|was| !was.is_zombie) {
            events.push(Event::DescendantEnded(one.clone()));
        }
    }
    // A zombie's end was told.
    let gone = before.iter().filter(|one| !one.is_zombie && find(after, one).is_none());
    events.extend(gone.cloned().map(Event::DescendantEnded));
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::super::pace::Paced;
    use super::super::{Snapshot, Unavailable};
    use super::*;

    fn snapshot(state: State, descendants: &[Relative]) -> Snapshot {
        let family = Family { descendants: descendants.to_vec(), ..Family::default() };
        Snapshot {
            state: Ok(state),
            family: Paced::read(|| Ok(family)),
            ..Snapshot::unavailable(&Unavailable::new("not planted"))
        }
    }

    fn relative(pid: u32, started: u64, is_zombie: bool) -> Relative {
        Relative { pid, started, parent: 1, name: "worker".to_owned(), is_zombie }
    }

    #[test]
    fn nothing_happens_between_two_equal_snapshots() {
        let one = snapshot(State::Sleeping, &[relative(7, 1, false), relative(8, 1, true)]);
        assert_eq!(events(&one, &one), []);
        assert_eq!(
            events(&one, &snapshot(State::Running, &[relative(7, 1, false), relative(8, 1, true)])),
            []
        );
    }

    #[test]
    fn stops_and_goes_on() {
        let (runs, stopped) = (snapshot(State::Running, &[]), snapshot(State::Suspended, &[]));
        assert_eq!(events(&runs, &stopped), [Event::Suspended]);
        assert_eq!(events(&stopped, &runs), [Event::Continued]);
    }

    #[test]
    fn ends_once_and_is_reaped_once() {
        let runs = snapshot(State::Running, &[]);
        let ending = || Some(Ok(Ending::Killed(9)));
        let zombie = Snapshot { ending: ending(), ..snapshot(State::Zombie, &[]) };
        let gone = Snapshot { ending: ending(), ..snapshot(State::Gone, &[]) };
        assert_eq!(events(&runs, &zombie), [Event::Ended(Ok(Ending::Killed(9)))]);
        assert_eq!(events(&zombie, &gone), [Event::Reaped]);
        assert_eq!(events(&runs, &gone), [Event::Ended(Ok(Ending::Killed(9))), Event::Reaped]);
        assert_eq!(events(&gone, &gone), []);
    }

    #[test]
    fn a_number_that_was_given_away_is_another_descendant() {
        let (old, new) = (relative(7, 1, false), relative(7, 900, false));
        let before = snapshot(State::Running, std::slice::from_ref(&old));
        let after = snapshot(State::Running, std::slice::from_ref(&new));
        assert_eq!(events(&before, &after), [Event::Forked(new), Event::DescendantEnded(old)]);
    }

    #[test]
    fn a_descendant_ends_once() {
        let (runs, zombie) = (relative(7, 1, false), relative(7, 1, true));
        let with = |one: &Relative| snapshot(State::Running, std::slice::from_ref(one));
        let none = snapshot(State::Running, &[]);
        assert_eq!(events(&with(&runs), &with(&zombie)), [Event::DescendantEnded(zombie.clone())]);
        assert_eq!(events(&with(&zombie), &none), []);
        assert_eq!(events(&with(&runs), &none), [Event::DescendantEnded(runs)]);
    }

    #[test]
    fn other_rights_are_told() {
        let user = |effective| User { real: 0, effective };
        let of =
            |effective| Snapshot { user: Ok(user(effective)), ..snapshot(State::Running, &[]) };
        let changed = Event::UserChanged { from: user(0), to: user(33) };
        assert_eq!(events(&of(0), &of(33)), [changed]);
    }

    #[test]
    fn what_could_not_be_looked_at_is_no_event() {
        let blind = Snapshot::unavailable(&Unavailable::new("no"));
        let seen = snapshot(State::Suspended, &[relative(7, 1, false)]);
        assert_eq!(events(&blind, &seen), []);
        assert_eq!(events(&seen, &blind), []);
    }
}
