//! Simulated daemons, sampled once a second.

use std::time::Duration;

use watertight_report::metric::Unit;
use watertight_report::trend::Series;

use crate::dice::Dice;

/// A daemon's name, what is counted of it, and its samples.
pub(crate) type Daemon = (&'static str, Unit, fn(&mut Dice, usize) -> Vec<f64>);

const PAGE: f64 = 4_096.0;

/// Those that leak nothing.
pub(crate) const FLAT: [Daemon; 14] = [
    ("noise with outliers", Unit::Bytes, |dice, n| {
        let wild = dice.between(0.0, 0.08);
        let value = |dice: &mut Dice| if dice.chance(wild) { 50.0 } else { 1.0 } * dice.normal();
        (0..n).map(|_| value(dice)).collect()
    }),
    ("resident pages", Unit::Bytes, |dice, n| {
        let deviation = dice.between(0.2, 30.0) * PAGE;
        (0..n).map(|_| ((1e8 + deviation * dice.normal()) / PAGE).round() * PAGE).collect()
    }),
    ("noise with a memory", Unit::Bytes, |dice, n| {
        let forgets = 10_f64.powf(dice.between(-3.0, -0.5));
        integrate(dice, n, |dice, last| (1.0 - forgets) * last + dice.normal())
    }),
    ("a walk of chance", Unit::Bytes, |dice, n| {
        integrate(dice, n, |dice, last| last + dice.normal())
    }),
    ("connections that come and go", Unit::Things, |dice, n| {
        let (come, stay) = (dice.between(0.05, 3.0), dice.between(5.0, 200.0));
        let mut now: f64 = (come * stay).floor();
        (0..n)
            .map(|_| {
                now += (0..8).filter(|_| dice.chance(come / 8.0)).count() as f64;
                now -= (0..now as u32).filter(|_| dice.chance(1.0 / stay)).count() as f64;
                now
            })
            .collect()
    }),
    ("a sawtooth", Unit::Bytes, |dice, n| {
        let (period, phase) = (dice.between(8.0, n as f64 / 3.0), dice.share());
        let noise = dice.between(0.0, 0.1);
        let tooth = |second| (second as f64 / period + phase).fract();
        (0..n).map(|second| tooth(second) + noise * dice.normal()).collect()
    }),
    ("a garbage collector", Unit::Bytes, |dice, n| {
        let rate = dice.between(6.0, 40.0) / n as f64;
        let mut full = dice.between(0.8, 1.2);
        integrate(dice, n, |dice, last| {
            if last > full {
                full = dice.between(0.8, 1.2);
                return 0.1 * dice.share();
            }
            last + rate * dice.between(0.5, 1.5)
        })
    }),
    ("steps at any time", Unit::Things, |dice, n| {
        let steps: Vec<(f64, f64)> = (0..dice.pick(&[1, 2, 3, 4]))
            .map(|_| (dice.between(0.0, n as f64), dice.pick(&[1.0, 2.0, 5.0])))
            .collect();
        let level = |second| -> f64 {
            steps.iter().filter(|step| step.0 < second as f64).map(|step| step.1).sum()
        };
        flickering(dice, n, |second| 20.0 + level(second))
    }),
    ("two to three minutes of warm-up", Unit::Bytes, |dice, n| {
        let (warm, noise) = (dice.between(120.0, 180.0), dice.between(0.0, 3.0));
        let value = |second: usize| 100.0 + (second as f64).min(warm);
        (0..n).map(|second| value(second) + noise * dice.normal()).collect()
    }),
    ("threads that start one by one", Unit::Things, |dice, n| {
        let (each, all) = (dice.between(3.0, 15.0), dice.pick(&[4.0, 8.0, 16.0]));
        flickering(dice, n, |second| 1.0 + (second as f64 / each).floor().min(all))
    }),
    ("a cache that fills and stops", Unit::Bytes, |dice, n| {
        let fills = dice.between(0.02, 0.17) * n as f64;
        let noise = dice.between(0.0, 0.02);
        let value = |second: usize| 1.0 - (-(second as f64) / fills).exp();
        (0..n).map(|second| value(second) + noise * dice.normal()).collect()
    }),
    ("a cache of so many keys", Unit::Things, |dice, n| {
        let keys = dice.between(10.0, 300.0).round();
        let asked = dice.between(8.0, 40.0) * keys / n as f64;
        let mut held: f64 = 0.0;
        (0..n)
            .map(|_| {
                let misses = (0..16).filter(|_| dice.chance(asked / 16.0 * (1.0 - held / keys)));
                held = (held + misses.count() as f64).min(keys);
                held
            })
            .collect()
    }),
    ("load in waves", Unit::Things, |dice, n| {
        let (period, phase) = (dice.between(20.0, n as f64 / 3.0), dice.between(0.0, 7.0));
        let wave = |second| (second as f64 / period * std::f64::consts::TAU + phase).sin();
        (0..n).map(|second| (30.0 + 8.0 * wave(second) + 2.0 * dice.normal()).round()).collect()
    }),
    ("a pool that opens and closes", Unit::Things, |dice, n| {
        let turns = dice.between(0.01, 0.1);
        let size = dice.pick(&[2.0, 10.0]);
        let is_turn = |dice: &mut Dice| dice.chance(turns);
        integrate(dice, n, |dice, last| if is_turn(dice) { size - last } else { last })
    }),
];

/// `level` with short-lived things on top, or short-lived gaps: of one or two, for up to three
/// seconds.
pub(crate) fn flickering(dice: &mut Dice, n: usize, level: impl Fn(usize) -> f64) -> Vec<f64> {
    let often = dice.between(0.0, 0.25);
    let (mut flicker, mut left) = (0.0, 0);
    (0..n)
        .map(|second| {
            if left == 0 {
                let is_on = dice.chance(often);
                flicker = if is_on { dice.pick(&[-2.0, -1.0, 1.0, 2.0]) } else { 0.0 };
                left = if is_on { dice.pick(&[1, 2, 3]) } else { 1 };
            }
            left -= 1;
            level(second) + flicker
        })
        .collect()
}

fn integrate(dice: &mut Dice, n: usize, mut next: impl FnMut(&mut Dice, f64) -> f64) -> Vec<f64> {
    let mut value = 0.0;
    (0..n)
        .map(|_| {
            value = next(dice, value);
            value
        })
        .collect()
}

/// The values, one a second.
pub(crate) fn series(values: &[f64]) -> Series {
    let mut series = Series::default();
    for (second, value) in values.iter().enumerate() {
        series.push(Duration::from_secs(second as u64), *value);
    }
    series
}
