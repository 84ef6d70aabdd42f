//! How often a flat daemon is called growing, and how often a leaking one is not.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight_report::metric::Unit;
use watertight_report::trend::{Question, Series, judge};

use crate::daemons::{FLAT, flickering, series};
use crate::dice::Dice;

const DAEMONS: u64 = 1_000;
const FALSE_ALARMS_MAX: usize = 10;
const MISSES_MAX: usize = 10;

/// Without the patience for warm-ups, which would hide what the shapes alone do.
fn is_growing(series: &Series, unit: Unit) -> bool {
    judge(series, &Question::new(unit).warm_up(Duration::ZERO)).is_growing()
}

/// How many of the flat daemons are called growing, by name.
fn false_alarms(seeds: impl Iterator<Item = u64>, seconds: fn(&mut Dice) -> f64) -> usize {
    let mut alarms: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds {
        let (name, unit, daemon) = FLAT[seed as usize % FLAT.len()];
        let dice = &mut Dice::new(seed);
        let seconds = seconds(dice) as usize;
        if is_growing(&series(&daemon(dice, seconds)), unit) {
            *alarms.entry(name).or_default() += 1;
        }
    }
    println!("false alarms: {alarms:?}");
    alarms.values().sum()
}

#[test]
fn flat_daemons_raise_less_than_one_alarm_in_a_hundred() {
    let alarms = false_alarms(0..DAEMONS, |dice| dice.between(600.0, 1_000.0));
    assert!(alarms <= FALSE_ALARMS_MAX, "{alarms} of {DAEMONS}");
}

#[test]
fn nor_do_those_watched_for_hours() {
    let alarms = false_alarms(10_000..10_200, |dice| dice.between(2_000.0, 20_000.0));
    assert!(alarms <= 2, "{alarms} of 200");
}

/// How many of the leaking daemons are not called growing: one descriptor more in a hundred
/// samples, with what `noise` puts on top of it.
fn misses(noise: fn(&mut Dice, usize, &dyn Fn(usize) -> f64) -> Vec<f64>) -> usize {
    (0..DAEMONS)
        .filter(|seed| {
            let dice = &mut Dice::new(*seed);
            let seconds = dice.between(600.0, 1_000.0) as usize;
            let phase = dice.between(0.0, 100.0) as usize;
            let values = noise(dice, seconds, &|second| (12 + (second + phase) / 100) as f64);
            !is_growing(&series(&values), Unit::Things)
        })
        .count()
}

#[test]
fn one_descriptor_in_a_hundred_samples_is_found() {
    let misses = misses(|dice, n, level| flickering(dice, n, level));
    println!("misses with flicker: {misses}");
    assert!(misses <= MISSES_MAX, "{misses} of {DAEMONS}");
}

#[test]
fn also_where_no_sample_is_like_the_last() {
    let misses = misses(|dice, n, level| {
        (0..n).map(|second| level(second) + dice.pick(&[-2.0, -1.0, 0.0, 1.0, 2.0])).collect()
    });
    println!("misses with noise: {misses}");
    assert!(misses <= MISSES_MAX, "{misses} of {DAEMONS}");
}
