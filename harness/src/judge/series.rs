//! What a series of counts says, one at each boundary.

/// How many last rounds must agree.
pub(crate) const LAST_ROUNDS: usize = 3;
/// Heap growth is believed after this many growing rounds at the end.
pub(crate) const HEAP_ROUNDS: usize = 3;

/// What a series of counts says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Nothing is left.
    None,
    /// Growth that has stopped.
    Step,
    /// Growth in every round that counts, within what is allowed.
    Allowed,
    /// Growth in every round that counts.
    Leak,
    /// Growth, in too few rounds to tell.
    Unconfirmed,
}

/// Growth in each round.
pub(crate) fn deltas(series: &[i64]) -> Vec<i64> {
    series.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Judges one series. `confirm` is the number of rounds after the first that must agree.
pub(crate) fn classify(series: &[i64], allowed: i64, confirm: usize) -> Growth {
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return Growth::None };
    if last <= first {
        return Growth::None;
    }
    // Round 1 warms up; it never is evidence of a leak by itself.
    let later = later(series);
    let tail = &later[later.len().saturating_sub(LAST_ROUNDS)..];
    if tail.is_empty() {
        return Growth::Unconfirmed;
    }
    if !tail.iter().all(|delta| *delta > 0) {
        return Growth::Step;
    }
    if tail.iter().all(|delta| *delta <= allowed) {
        return Growth::Allowed;
    }
    if tail.len() < confirm { Growth::Unconfirmed } else { Growth::Leak }
}

/// Judges a series of live heap. A budget is a round's, so with one what comes after pauses is not judged.
pub(super) fn classify_heap(series: &[i64], allowed: i64) -> Growth {
    match classify(series, allowed, HEAP_ROUNDS) {
        Growth::Step if allowed == 0 && keeps_coming(&later(series)) => Growth::Leak,
        Growth::Leak if was_taken_back(&later(series)) => Growth::Step,
        growth => growth,
    }
}

/// Whether growth like that of the last rounds has gone before: after as many rounds or more most of it went
/// at once. So does what is released by the batch (ended children that a runtime collects, garbage of an epoch).
fn was_taken_back(later: &[i64]) -> bool {
    let last = later.iter().rev().take_while(|delta| **delta > 0).count();
    let mut run = (0, 0);
    later.iter().any(|delta| match *delta {
        1.. => {
            run = (run.0 + 1, run.1 + delta);
            false
        }
        fall => {
            let (rounds, grown) = std::mem::take(&mut run);
            rounds >= last && grown > 0 && -2 * fall >= grown
        }
    })
}

/// Growth in the rounds after the first, which warms up.
pub(super) fn later(series: &[i64]) -> Vec<i64> {
    deltas(series).get(1..).unwrap_or_default().to_vec()
}

/// Rounds after the first that must have been seen before growth with pauses is believed: a cache that
/// fills now and then is full by then.
const PAUSING_ROUNDS: usize = 32;
/// How often growth must have come back after a pause.
const COMEBACKS: usize = 3;

/// Whether growth comes back after pauses and has not stopped: often enough, never a fall, and the last
/// pause is not longer than growth that goes on would make it.
pub(crate) fn keeps_coming(later: &[i64]) -> bool {
    let comebacks = later.windows(2).filter(|pair| pair[0] == 0 && pair[1] > 0).count();
    later.len() >= PAUSING_ROUNDS && comebacks >= COMEBACKS && may_come_back(later)
}

/// Whether growth may be expected again: it never fell, and what a doubling container pauses is twice
/// its pause before.
pub(crate) fn may_come_back(later: &[i64]) -> bool {
    if later.iter().any(|delta| *delta < 0) {
        return false;
    }
    let grew = later.iter().enumerate().filter(|(_, delta)| **delta > 0).map(|(at, _)| at + 1);
    let rounds: Vec<usize> = std::iter::once(0).chain(grew).collect();
    let longest = rounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let quiet = later.len() - rounds.last().unwrap_or(&0);
    rounds.len() > 1 && quiet <= 2 * longest + 1
}

/// What there was before the growth that decides: that of the last rounds, or the one after the last
/// pause.
pub(crate) fn before_last_growth(series: &[i64]) -> i64 {
    let last = series.last().copied().unwrap_or(0);
    let dense = series.len().saturating_sub(LAST_ROUNDS + 1);
    let grew = deltas(series).iter().rposition(|delta| *delta > 0);
    match (grew, later(series).last()) {
        (Some(at), Some(0)) => series[at],
        (Some(_), _) => series.get(dense).copied().unwrap_or(last),
        (None, _) => last,
    }
}

/// Whether a series grew in every repetition after the first, which warms up, and in at least `confirm`
/// of them: repetitions are many and cheap, so one that is quiet acquits.
pub(crate) fn grows_each_time(series: &[i64], confirm: usize) -> bool {
    let later = later(series);
    later.len() >= confirm && later.iter().all(|delta| *delta > 0)
}

/// By how much a count of things may be off where a repetition ends while the subject goes on: a number
/// that a thread waiting in accept(2) has reserved counts, a connection that is about to be closed does.
const BLUR: i64 = 1;
/// Repetitions after the first among which that no longer hides one thing each time.
const SURE: usize = 6;

/// Whether a count of things grew by at least one a repetition after the first, each boundary read with a
/// [`BLUR`]. Of many repetitions none may fall further behind than that, whichever were read too high; of
/// few all but one must show the growth.
pub(crate) fn counts_up_each_time(series: &[i64]) -> bool {
    let later = later(series);
    let (repetitions, grown) = (later.len() as i64, later.iter().sum::<i64>());
    if later.len() < SURE {
        let grew = later.iter().filter(|delta| **delta > 0).count();
        return grew + 1 >= later.len() && grown >= repetitions.max(BLUR + 1);
    }
    let mut ahead = 0;
    let mut furthest = 0;
    let keeps_up = later.iter().all(|delta| {
        ahead += delta - 1;
        furthest = furthest.max(ahead);
        ahead >= furthest - BLUR
    });
    keeps_up && grown >= repetitions - BLUR
}

/// The typical value: the upper median.
pub(crate) fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Growth in the rounds that show what is typical: those after the first, where there are any.
pub(super) fn telling(series: &[i64]) -> Vec<i64> {
    let later = later(series);
    if later.is_empty() { deltas(series) } else { later }
}

/// The typical growth of a round; where growth pauses, its mean.
pub(super) fn typical_growth(series: &[i64]) -> i64 {
    let deltas = telling(series);
    match median(&deltas) {
        0 if !deltas.is_empty() => deltas.iter().sum::<i64>() / deltas.len() as i64,
        median => median,
    }
}
