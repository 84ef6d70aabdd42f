//! What holds for all series.

use std::mem::discriminant;
use std::time::Duration;

use proptest::prelude::*;
use watertight_report::metric::Unit;
use watertight_report::trend::{Limit, Question, Series, Trend, judge, slope};

use crate::daemons::{FLAT, flickering, series};
use crate::dice::Dice;

/// The samples of any daemon, of those that leak nothing and one that does.
fn any_daemon() -> impl Strategy<Value = Vec<f64>> {
    (0..=FLAT.len(), any::<u64>(), 100..700_usize).prop_map(|(daemon, seed, n)| {
        let dice = &mut Dice::new(seed);
        match FLAT.get(daemon) {
            Some((_, _, daemon)) => daemon(dice, n),
            None => flickering(dice, n, |second| (second / 20) as f64),
        }
    })
}

/// A daemon that does one thing without doubt.
fn plain_daemon() -> impl Strategy<Value = Vec<f64>> {
    (0..3, any::<u64>(), 2_000..6_000_usize).prop_map(|(does, seed, n)| {
        let dice = &mut Dice::new(seed);
        let begin = dice.between(0.1, 0.7) * n as f64;
        flickering(dice, n, |second| match does {
            0 => 30.0,
            1 => f64::from(second as f64 > begin) * 20.0,
            _ => (second / 40) as f64,
        })
    })
}

fn question() -> Question {
    Question::new(Unit::Bytes).warm_up(Duration::ZERO)
}

fn slope_of(values: &[f64]) -> slope::Slope {
    let points: Vec<_> = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
    slope::of(&points).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_constant_series_is_flat_whatever_its_length(
        value in -1e12..1e12_f64, n in 1..5_000_usize, is_count in any::<bool>()
    ) {
        let unit = if is_count { Unit::Things } else { Unit::Bytes };
        let trend = judge(&series(&vec![value; n]), &Question::new(unit));
        prop_assert_eq!(trend, Trend::Flat { level: value });
    }

    /// However odd the values and the times between them, and with ticks at any time.
    #[test]
    fn every_series_is_judged_and_told(
        samples in proptest::collection::vec(
            (1..100_000_u64, prop_oneof![-2..3_i32, any::<i32>()], any::<bool>()), 0..200
        ),
        limit in -1e6..1e6_f64
    ) {
        let mut series = Series::keeping(64);
        let mut at_ms = 0;
        for (wait_ms, value, is_tick) in samples {
            at_ms += wait_ms;
            if is_tick {
                series.tick();
            }
            series.push(Duration::from_millis(at_ms), f64::from(value));
        }
        for unit in [Unit::Things, Unit::Bytes] {
            let question = Question::new(unit).warm_up(Duration::ZERO).limit(Limit::new("limit", limit));
            let trend = judge(&series, &question);
            prop_assert!(!trend.show(unit).contains("NaN"), "{:?}", trend);
            if let Trend::TooShort { more_s, .. } = trend {
                prop_assert!(more_s >= 0.0 && more_s.is_finite(), "{}", more_s);
            }
        }
    }

    /// Powers of two and whole numbers, so that nothing is rounded.
    #[test]
    fn scale_and_shift_change_no_verdict(
        values in any_daemon(), scale in -8..20_i32, shift in -1_000_000..1_000_000_i32
    ) {
        let values: Vec<f64> = values.iter().map(|value| (value * 256.0).round()).collect();
        let scale = 2_f64.powi(scale);
        let moved: Vec<f64> =
            values.iter().map(|value| (value + f64::from(shift)) * scale).collect();
        let (before, after) = (judge(&series(&values), &question()), judge(&series(&moved), &question()));
        prop_assert_eq!(discriminant(&before), discriminant(&after), "{:?}, {:?}", before, after);
        let (before, after) = (slope_of(&values), slope_of(&moved));
        prop_assert_eq!(before.value * scale, after.value);
        prop_assert!((before.low * scale - after.low).abs() <= 1e-9 * after.low.abs());
    }

    #[test]
    fn the_slope_is_in_its_interval(values in any_daemon()) {
        let slope = slope_of(&values);
        prop_assert!(slope.low <= slope.value && slope.value <= slope.high, "{:?}", slope);
    }

    #[test]
    fn thinning_keeps_the_verdict(values in plain_daemon()) {
        let mut whole = Series::keeping(usize::MAX);
        for (second, value) in values.iter().enumerate() {
            whole.push(Duration::from_secs(second as u64), *value);
        }
        let thinned = series(&values);
        prop_assert_eq!(whole.samples().len(), values.len());
        prop_assert!(thinned.samples().len() < values.len());
        let (whole, thinned) = (judge(&whole, &question()), judge(&thinned, &question()));
        match (&whole, &thinned) {
            (Trend::Growing(whole), Trend::Growing(thinned)) => {
                let (whole, thinned) = (whole.per_second.value, thinned.per_second.value);
                prop_assert!((thinned / whole - 1.0).abs() < 0.01, "{} {}", whole, thinned);
            }
            (Trend::Step(whole), Trend::Step(thinned)) => {
                prop_assert!((whole.size - thinned.size).abs() <= 1.0, "{:?} {:?}", whole, thinned);
            }
            _ => prop_assert_eq!(discriminant(&whole), discriminant(&thinned), "{:?}", thinned),
        }
    }

    #[test]
    fn the_limit_is_met_where_the_slope_goes(
        rate in 0.05..50.0_f64, n in 400..700_usize, limit in 1e5..1e6_f64, seed in any::<u64>()
    ) {
        let dice = &mut Dice::new(seed);
        let values: Vec<f64> =
            (0..n).map(|second| rate * second as f64 + 0.5 * dice.normal()).collect();
        let question = question().limit(Limit::new("memory.max", limit));
        let Trend::Growing(growth) = judge(&series(&values), &question) else {
            return Err(TestCaseError::fail("not growing"));
        };
        let met = growth.limit.unwrap();
        prop_assert!(met.in_s_min <= met.in_s && met.in_s <= met.in_s_max, "{:?}", met);
        let line = values[0] + growth.per_second.value * met.at_s;
        prop_assert!((line / limit - 1.0).abs() < 0.01, "{} {:?}", line, met);
        prop_assert!((met.at_s * rate / limit - 1.0).abs() < 0.02, "{:?}", met);
    }

    #[test]
    fn a_trend_survives_the_ledger(values in any_daemon()) {
        let trend = judge(&series(&values), &question());
        let line = serde_json::to_string(&trend).unwrap();
        let back: Trend = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(discriminant(&back), discriminant(&trend), "{}", line);
    }
}
