//! A trend in one line, for a person.

use super::{Growth, LimitMet, Period, Slope, Step, Trend};
use crate::metric::{Unit, duration_about_ms, duration_ms};

impl Trend {
    /// As `step, +12 from 40.0 s to 1 min 20 s`; the values are in `unit`.
    pub fn show(&self, unit: Unit) -> String {
        match self {
            Self::Flat { level } => format!("flat at {}", unit.show_about(*level)),
            Self::Step(step) => step_at(unit, step),
            Self::Growing(growth) => growing(unit, growth),
            Self::TooShort { more_s, so_far: None } => {
                format!("too short to tell, {} more needed", seconds(*more_s))
            }
            Self::TooShort { more_s, so_far: Some(slope) } => format!(
                "growing so far ({}), too short to tell from a warm-up, {} more needed",
                rate(unit, slope),
                seconds(*more_s)
            ),
        }
    }
}

impl Growth {
    /// `+3 every 5.0 s`, `+1 per tick` or `+12 a minute`: how fast, in the plainest terms that are
    /// known. `told` says how much.
    pub(crate) fn pace(&self, unit: Unit, told: impl Fn(f64) -> String) -> String {
        if let Some(Period { seconds: every_s, added, .. }) = self.period {
            return format!("{} every {}", told(added), seconds(every_s));
        }
        if let Some(per_tick) = self.per_tick {
            return format!("{} per tick", told(per_tick.value));
        }
        // Whole things, and not many digits of bytes.
        let told_min = match unit {
            Unit::Things => 1.0,
            Unit::Bytes => 1_000.0,
        };
        let times = [("a second", 1.0), ("a minute", 60.0), ("an hour", 3_600.0)];
        let value = self.per_second.value;
        let fast = times.into_iter().find(|(_, seconds)| value * seconds >= told_min);
        let (each, times) = fast.unwrap_or(("a day", 86_400.0));
        format!("{} {each}", told(value * times))
    }
}

fn step_at(unit: Unit, step: &Step) -> String {
    let (size, began, settled) =
        (gain(unit, step.size), seconds(step.began_s), seconds(step.settled_s));
    if began == settled {
        return format!("step, {size} at {began}");
    }
    format!("step, {size} from {began} to {settled}")
}

fn growing(unit: Unit, growth: &Growth) -> String {
    let mut line = String::from("growing");
    if let Some(Period { seconds: every_s, added, .. }) = growth.period {
        line += &format!(", {} every {}", gain(unit, added), seconds(every_s));
    }
    if let Some(per_tick) = growth.per_tick {
        line += &format!(", {} per tick", gain(unit, per_tick.value));
    }
    line += &format!(" ({})", rate(unit, &growth.per_second));
    if let Some(LimitMet { limit, in_s, .. }) = &growth.limit {
        line += &format!(", {} {}", limit.name, unit.show_about(limit.value));
        line += &match *in_s > 0.0 {
            true => format!(" in {}", duration_about_ms((in_s * 1e3).round() as u64)),
            false => " is met".to_owned(),
        };
    }
    line
}

/// `0.199/s, 0.19 to 0.21`, per minute or hour where it is slow; without the interval where it is
/// too narrow to show.
fn rate(unit: Unit, slope: &Slope) -> String {
    let shown_min = match unit {
        Unit::Things => 0.1,
        Unit::Bytes => 100.0,
    };
    let times = [("s", 1.0), ("min", 60.0)];
    let fast = times.into_iter().find(|(_, seconds)| slope.value * seconds >= shown_min);
    let (per, times) = fast.unwrap_or(("h", 3_600.0));
    let [value, low, high] =
        [slope.value, slope.low, slope.high].map(|s| unit.show_about(s * times));
    if low == high {
        return format!("{value}/{per}");
    }
    format!("{value}/{per}, {low} to {high}")
}

pub(crate) fn gain(unit: Unit, value: f64) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", unit.show_about(value))
}

fn seconds(seconds: f64) -> String {
    duration_ms((seconds * 1e3).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trend::Limit;

    fn slope(value: f64, low: f64, high: f64) -> Slope {
        Slope { value, low, high }
    }

    #[test]
    fn slow_rates_are_per_minute_or_hour() {
        let things = |value| rate(Unit::Things, &slope(value, value / 2.0, value * 2.0));
        assert_eq!(things(0.2), "0.2/s, 0.1 to 0.4");
        assert_eq!(things(0.01), "0.6/min, 0.3 to 1.2");
        assert_eq!(things(0.001), "3.6/h, 1.8 to 7.2");
        assert_eq!(rate(Unit::Things, &slope(0.2, 0.19999, 0.20001)), "0.2/s");
        let bytes = rate(Unit::Bytes, &slope(3e6, 2e6, 4e6));
        assert_eq!(bytes, "2.9 MiB/s, 1.9 MiB to 3.8 MiB");
    }

    #[test]
    fn each_trend_is_a_line() {
        let flat = Trend::Flat { level: 12.0 };
        assert_eq!(flat.show(Unit::Things), "flat at 12");
        let warm_up = Trend::Step(Step { size: 12.0, began_s: 40.0, settled_s: 80.0 });
        assert_eq!(warm_up.show(Unit::Things), "step, +12 from 40.0 s to 1 min 20 s");
        let once = Trend::Step(Step { size: 1.0, began_s: 40.0, settled_s: 40.0 });
        assert_eq!(once.show(Unit::Things), "step, +1 at 40.0 s");
        let short = Trend::TooShort { more_s: 14.0, so_far: None };
        assert_eq!(short.show(Unit::Bytes), "too short to tell, 14.0 s more needed");
        let warming = Trend::TooShort { more_s: 300.0, so_far: Some(slope(2e6, 1e6, 3e6)) };
        assert_eq!(
            warming.show(Unit::Bytes),
            "growing so far (1.9 MiB/s, 1,000,000 B to 2.9 MiB), too short to tell from a warm-up, \
             5 min 0 s more needed"
        );
        let growing = Trend::Growing(Box::new(Growth {
            since_s: 0.0,
            per_second: slope(0.199, 0.19, 0.21),
            per_tick: Some(slope(1.0, 1.0, 1.0)),
            period: Some(Period { seconds: 5.0, added: 1.0, rises: 9 }),
            limit: Some(LimitMet {
                limit: Limit::new("RLIMIT_NOFILE", 1_024.0),
                at_s: 5_100.0,
                in_s: 5_040.0,
                in_s_min: 4_800.0,
                in_s_max: 5_300.0,
            }),
        }));
        assert_eq!(
            growing.show(Unit::Things),
            "growing, +1 every 5.0 s, +1 per tick (0.199/s, 0.19 to 0.21), \
             RLIMIT_NOFILE 1,024 in 1 h 24 min"
        );
    }
}
