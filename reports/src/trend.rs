//! What the samples of one resource of a running process say: flat, a step, or growth.
//!
//! Data in, data out: whoever samples pushes into a [`Series`], and [`judge`] tells.
//!
//! ```text
//!  push, tick ──► Series ──► steady     is it still growing, and has it all the time?
//!                              │ yes: slope (and per tick), period, limit ──► Growing
//!                              └ no:  plateau                             ──► Step or Flat
//! ```
//!
//! **What counts as growth.** A resource that goes on growing, as evenly as chance allows, up to
//! the last sample. What comes back down (a sawtooth, load, noise) is flat. What grew and stayed (a
//! warm-up, a cache that filled, a few steps) for as long as it grew is a step. Every program warms up, and a warm-up looks
//! like a leak while it lasts: so before two [warm-ups](Question::warm_up) have passed, growth is
//! only told where it is tied to something: to the program's own ticks, or to a period.
//!
//! **What cannot be told apart.** A walk that wanders up by chance and a slow leak with much noise
//! (three walks of a hundred are called growing); a warm-up in even steps, as of threads that start
//! one by one, and a leak, until it stops; a warm-up that lasts for nearly all of the series and a
//! leak; a sawtooth of which less than three periods were seen and a leak. Of flat daemons of all
//! kinds together less than one in a hundred is called growing, and one descriptor more in a hundred
//! samples is found in 99 series of a hundred: `tests/trend/alarms.rs` measures both.
//!
//! ```
//! use std::time::Duration;
//! use watertight_report::metric::Unit;
//! use watertight_report::trend::{Limit, Question, Series, judge};
//!
//! let mut descriptors = Series::default();
//! for second in 0..600 {
//!     descriptors.push(Duration::from_secs(second), (12 + second / 5) as f64);
//! }
//! let question = Question::new(Unit::Things).limit(Limit::new("RLIMIT_NOFILE", 1_024.0));
//! assert_eq!(
//!     judge(&descriptors, &question).show(Unit::Things),
//!     "growing, +1 every 5.0 s (0.2/s), RLIMIT_NOFILE 1,024 in 1 h 14 min"
//! );
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metric::Unit;

pub mod series;

mod steady;

pub mod slope;

pub mod period;

pub mod limit;

mod plateau;

mod middle;
mod show;

pub use limit::{Limit, LimitMet};
pub use period::Period;
pub use series::{Sample, Series};
pub use slope::Slope;

pub(crate) use show::gain;

/// Samples below which nothing but "it never changed" is told: three for each of the eight blocks
/// that are compared.
pub const SAMPLES_MIN: usize = 3 * steady::BLOCKS;

/// Things that must have been added before a count is said to grow.
const THINGS_MIN: f64 = 4.0;

/// Ticks after which growth per tick is told.
const TICKS_MIN: u64 = 6;

/// How long a program may warm up, unless told otherwise.
const WARM_UP: Duration = Duration::from_secs(3 * 60);

/// What is asked of a series.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Question {
    /// Things are exact small integers, bytes are noisy.
    pub unit: Unit,
    /// Where the resource ends, if it does.
    pub limit: Option<Limit>,
    /// Growth that is tied to no tick and no period is told after twice this time.
    pub warm_up: Duration,
}

impl Question {
    /// About things or bytes, with no limit and a warm-up of three minutes.
    pub fn new(unit: Unit) -> Self {
        Self { unit, limit: None, warm_up: WARM_UP }
    }

    /// The resource ends at this limit.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The program may warm up so long.
    #[must_use]
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }
}

/// What a series says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "trend", rename_all = "snake_case")]
#[non_exhaustive]
#[must_use]
pub enum Trend {
    /// It stays, or comes back down.
    Flat {
        /// Half of the samples are below this.
        level: f64,
    },
    /// It grew once or a few times, and then stayed for as long as that had taken.
    Step(Step),
    /// It goes on growing.
    Growing(Box<Growth>),
    /// Nothing can be said yet.
    TooShort {
        /// Seconds of further samples that may be enough.
        more_s: f64,
        /// How fast it grew so far, where it did.
        so_far: Option<Slope>,
    },
}

impl Trend {
    /// Whether it goes on growing.
    pub fn is_growing(&self) -> bool {
        matches!(self, Self::Growing(_))
    }
}

impl Growth {
    /// The part of it that one of several causes has, from 0 to 1. The limit stays: all of them meet it together.
    #[must_use]
    pub fn share(&self, part: f64) -> Self {
        Self {
            per_second: self.per_second.times(part),
            per_tick: self.per_tick.map(|slope| slope.times(part)),
            period: self.period.map(|period| Period { added: period.added * part, ..period }),
            ..self.clone()
        }
    }
}

/// Growth that ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Step {
    /// From the level at the beginning to the level at the end.
    pub size: f64,
    /// The second at which it began.
    pub began_s: f64,
    /// The second since which it stays.
    pub settled_s: f64,
}

impl Step {
    /// Seconds from its first rise to its last.
    pub fn climb_s(&self) -> f64 {
        self.settled_s - self.began_s
    }
}

/// Growth that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Growth {
    /// The second since which it grows like this: later than the first sample after a warm-up.
    pub since_s: f64,
    /// Growth in one second.
    pub per_second: Slope,
    /// Growth in one tick of the program, where its ticks are known and there were six.
    pub per_tick: Option<Slope>,
    /// The rhythm of a count's rises, where it has one.
    pub period: Option<Period>,
    /// When the limit is met if it goes on like this, where there is one.
    pub limit: Option<LimitMet>,
}

/// What `series` says to `question`.
pub fn judge(series: &Series, question: &Question) -> Trend {
    let samples = series.samples();
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Trend::TooShort { more_s: 0.0, so_far: None };
    };
    if samples.iter().all(|sample| sample.value == first.value) {
        return Trend::Flat { level: first.value };
    }
    let duration_s = last.at_s - first.at_s;
    if samples.len() < SAMPLES_MIN {
        // The last one may have come early.
        let gaps = samples.windows(2).map(|two| two[1].at_s - two[0].at_s);
        let interval_s = gaps.fold(0.0, f64::max);
        let more_s = interval_s * (SAMPLES_MIN - samples.len()) as f64;
        return Trend::TooShort { more_s, so_far: None };
    }

    if let Some(growth) = growth(series, question) {
        let warm_s = 2.0 * question.warm_up.as_secs_f64();
        // A warm-up is tied to neither.
        let is_tied = growth.period.is_some() || growth.per_tick.is_some();
        if duration_s >= warm_s || is_tied {
            return Trend::Growing(Box::new(growth));
        }
        let so_far = Some(growth.per_second);
        return Trend::TooShort { more_s: warm_s - duration_s, so_far };
    }

    let Some(step) = plateau::step(samples, question.unit) else {
        return Trend::Flat { level: middle::median(samples.iter().map(|s| s.value).collect()) };
    };
    let more_s = step.climb_s() - (last.at_s - step.settled_s);
    if more_s > 0.0 { Trend::TooShort { more_s, so_far: None } } else { Trend::Step(step) }
}

/// The growth that goes on until the last sample, looked for in the whole series and in its later
/// parts, so that a warm-up before it does not hide it.
fn growth(series: &Series, question: &Question) -> Option<Growth> {
    steady::windows(series.samples())
        .filter(|window| steady::grows_over_time(window) || steady::grows_over_ticks(window))
        .find_map(|window| growth_in(window, series.recent(), question))
}

fn growth_in(window: &[Sample], recent: &[Sample], question: &Question) -> Option<Growth> {
    let (first, last) = (window.first()?, window.last()?);
    let per_second = slope::of(&window.iter().map(|s| (s.at_s, s.value)).collect::<Vec<_>>())?;
    let is_count = question.unit == Unit::Things;
    let grown = per_second.value * (last.at_s - first.at_s);
    if per_second.low <= 0.0 || (is_count && grown < THINGS_MIN) {
        return None;
    }

    let per_tick = if last.ticks - first.ticks >= TICKS_MIN {
        slope::of(&steady::by_ticks(window)).filter(|slope| slope.low > 0.0)
    } else {
        None
    };
    let period = if is_count {
        let begin = recent.partition_point(|sample| sample.at_s < first.at_s);
        period::of(&recent[begin..]).or_else(|| period::of(window))
    } else {
        None
    };
    let limit = question.limit.as_ref().and_then(|limit| limit.met(window, per_second));
    Some(Growth { since_s: first.at_s, per_second, per_tick, period, limit })
}
