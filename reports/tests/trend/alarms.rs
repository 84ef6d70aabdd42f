//! How often a flat daemon is called growing, and how often a leaking one is not.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight_report::metric::Unit;
use watertight_report::trend::{Question, Series, Trend, judge};

use crate::daemons::{FLAT, flickering, series};
use crate::dice::Dice;

const DAEMONS: u64 = 1_000;

/// What is asked about those that were watched long enough: without the patience for warm-ups, which
/// would hide what the shapes alone do.
fn impatient(unit: Unit) -> Question {
    Question::new(unit).warm_up(Duration::ZERO)
}

fn is_growing(series: &Series, unit: Unit) -> bool {
    judge(series, &impatient(unit)).is_growing()
}

/// How many of the flat daemons are called growing, by name.
fn false_alarms(
    seeds: impl Iterator<Item = u64>,
    (shortest_s, longest_s): (f64, f64),
    question: fn(Unit) -> Question,
) -> usize {
    let mut alarms: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds {
        let (name, unit, daemon) = FLAT[seed as usize % FLAT.len()];
        let dice = &mut Dice::new(seed);
        let seconds = dice.between(shortest_s, longest_s) as usize;
        if judge(&series(&daemon(dice, seconds)), &question(unit)).is_growing() {
            *alarms.entry(name).or_default() += 1;
        }
    }
    println!("false alarms: {alarms:?}");
    alarms.values().sum()
}

#[test]
fn flat_daemons_raise_less_than_one_alarm_in_a_hundred() {
    let alarms = false_alarms(0..DAEMONS, (600.0, 1_000.0), impatient);
    assert!(alarms <= 10, "{alarms} of {DAEMONS}");
}

#[test]
fn nor_do_those_watched_for_hours() {
    let alarms = false_alarms(10_000..10_200, (2_000.0, 20_000.0), impatient);
    assert!(alarms <= 2, "{alarms} of 200");
}

/// Some of them still warm up when the watch ends.
#[test]
fn nor_those_watched_for_a_minute_to_ten() {
    let alarms = false_alarms(30_000..30_000 + DAEMONS, (60.0, 600.0), Question::new);
    assert!(alarms <= 10, "{alarms} of {DAEMONS}");
}

/// The hardest of them by itself: nothing but its length tells a walk from a leak.
#[test]
fn a_walk_of_chance_is_called_growing_less_than_five_times_in_a_hundred() {
    let (_, unit, walk) = FLAT.into_iter().find(|daemon| daemon.0 == "a walk of chance").unwrap();
    let alarms = (0..DAEMONS)
        .filter(|seed| is_growing(&series(&walk(&mut Dice::new(*seed), 800)), unit))
        .count();
    println!("walks called growing: {alarms}");
    assert!(alarms <= 50, "{alarms} of {DAEMONS}");
}

/// How many of the leaking daemons are not called growing: one descriptor more in a hundred
/// samples. `noisy` samples it for so many seconds, and puts something on top.
fn misses(daemons: u64, noisy: impl Fn(&mut Dice, usize, f64) -> Vec<f64>) -> usize {
    (0..daemons)
        .filter(|seed| {
            let dice = &mut Dice::new(*seed);
            let seconds = dice.between(600.0, 1_000.0) as usize;
            let phase = dice.share();
            !is_growing(&series(&noisy(dice, seconds, phase)), Unit::Things)
        })
        .count()
}

fn leaked(second: usize, phase: f64) -> f64 {
    12.0 + (second as f64 / 100.0 + phase).floor()
}

#[test]
fn one_descriptor_in_a_hundred_samples_is_found() {
    let misses = misses(500, |dice, seconds, phase| {
        flickering(dice, seconds, |second| leaked(second, phase))
    });
    println!("misses with flicker: {misses}");
    assert!(misses <= 5, "{misses} of 500");
}

#[test]
fn also_where_no_sample_is_like_the_last() {
    let misses = misses(300, |dice, seconds, phase| {
        let noise = |dice: &mut Dice| dice.pick(&[-2.0, -1.0, 0.0, 1.0, 2.0]);
        (0..seconds).map(|second| leaked(second, phase) + noise(dice)).collect()
    });
    println!("misses with noise: {misses}");
    assert!(misses <= 3, "{misses} of 300");
}

/// How many of a hundred of each daemon are told as flat, and as a step.
fn told() -> BTreeMap<&'static str, (u32, u32)> {
    let mut told: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (name, unit, daemon) in FLAT {
        let told = told.entry(name).or_default();
        for seed in 20_000..20_100 {
            let values = daemon(&mut Dice::new(seed), 800);
            match judge(&series(&values), &Question::new(unit)) {
                Trend::Flat { .. } => told.0 += 1,
                Trend::Step(_) => told.1 += 1,
                _ => {}
            }
        }
    }
    println!("of a hundred, flat and step: {told:?}");
    told
}

#[test]
fn what_warms_up_is_a_step_and_what_comes_back_is_flat() {
    let told = told();
    for step in [
        "two to three minutes of warm-up",
        "threads that start one by one",
        "a cache of so many keys",
    ] {
        assert!(told[step].1 >= 90, "{step}: {:?}", told[step]);
    }
    // Some have been full for less time than they took to fill: not yet told.
    let fills = told["a cache that fills and stops"];
    assert!(fills.0 == 0 && fills.1 >= 66, "{fills:?}");
    for flat in ["noise with outliers", "resident pages", "a sawtooth", "load in waves"] {
        assert!(told[flat].0 >= 95, "{flat}: {:?}", told[flat]);
    }
}
