//! Planted growth is told as planted: its slope, its rhythm, its ticks, its limit.

use std::time::Duration;

use watertight_report::metric::Unit;
use watertight_report::trend::{Growth, Limit, Question, Series, Trend, judge, slope};

use crate::daemons::{flickering, series};
use crate::dice::Dice;

const SERIES: u64 = 400;

fn growth(series: &Series, question: &Question) -> Growth {
    match judge(series, question) {
        Trend::Growing(growth) => *growth,
        other => panic!("{other:?}"),
    }
}

/// In how many of the series the planted slope is in its interval.
fn recovered(noise: impl Fn(&mut Dice, usize) -> Vec<f64>) -> u64 {
    let found = (0..SERIES).filter(|seed| {
        let dice = &mut Dice::new(*seed);
        let planted = dice.between(0.001, 2.0);
        let n = dice.between(100.0, 400.0) as usize;
        let noise = noise(dice, n);
        let points =
            noise.iter().enumerate().map(|(x, noise)| (x as f64, planted * x as f64 + noise));
        let slope = slope::of(&points.collect::<Vec<_>>()).unwrap();
        (slope.low..=slope.high).contains(&planted)
    });
    found.count() as u64
}

#[test]
fn the_planted_slope_is_in_its_interval() {
    let white = recovered(|dice, n| (0..n).map(|_| 5.0 * dice.normal()).collect());
    let wild = recovered(|dice, n| {
        let wild = |dice: &mut Dice| if dice.chance(0.1) { 100.0 } else { 1.0 };
        (0..n).map(|_| wild(dice) * dice.normal()).collect()
    });
    let with_memory = recovered(|dice, n| {
        let keeps = dice.between(0.3, 0.8);
        let mut last = 0.0;
        (0..n)
            .map(|_| {
                last = keeps * last + dice.normal();
                last
            })
            .collect()
    });
    let flicker = recovered(|dice, n| flickering(dice, n, |_| 0.0));
    let found = [white, wild, with_memory, flicker];
    println!("slopes in their interval, of {SERIES}: {found:?}");
    assert!(found.iter().all(|found| *found >= SERIES * 95 / 100), "{found:?}");
}

#[test]
fn the_daemon_of_the_story_is_named_within_six_ticks() {
    for phase in 0..5 {
        let mut descriptors = Series::default();
        for second in 0..30 {
            let ticked = (second + phase) / 5;
            if second > 0 && (second + phase) % 5 == 0 {
                descriptors.tick();
            }
            descriptors.push(Duration::from_secs(second), (9 + ticked) as f64);
        }
        let question = Question::new(Unit::Things).limit(Limit::new("RLIMIT_NOFILE", 1_024.0));
        let growth = growth(&descriptors, &question);
        let period = growth.period.unwrap();
        assert!((period.seconds - 5.0).abs() < 0.01 && period.added == 1.0, "{period:?}");
        // The sixth tick may be the one that has just begun.
        assert!(growth.per_tick.is_none_or(|per_tick| per_tick.value == 1.0), "{growth:?}");
        let met = growth.limit.unwrap();
        let planted_s = (1_024.0 - 9.0) * 5.0 - phase as f64;
        assert!((met.at_s / planted_s - 1.0).abs() < 0.1, "{met:?}, planted {planted_s}");
    }
}

#[test]
fn ticks_tell_what_time_does_not() {
    let mut descriptors = Series::default();
    let dice = &mut Dice::new(5);
    let mut now_s = 0.0;
    for tick in 0..60 {
        now_s += dice.pick(&[0.3, 0.5, 9.0]);
        descriptors.tick();
        descriptors.push(Duration::from_secs_f64(now_s), f64::from(20 + 2 * tick));
    }
    let growth = growth(&descriptors, &Question::new(Unit::Things));
    let per_tick = growth.per_tick.unwrap();
    assert_eq!((per_tick.low, per_tick.value, per_tick.high), (2.0, 2.0, 2.0));
}

#[test]
fn a_leak_after_a_warm_up_is_found_and_dated() {
    let values: Vec<f64> = (0..1_000)
        .map(|second| f64::from(second.min(150)) * 10.0 + f64::from(second / 20))
        .collect();
    let growth = growth(&series(&values), &Question::new(Unit::Things));
    assert!(growth.since_s >= 150.0, "{growth:?}");
    assert!((growth.per_second.value - 0.05).abs() < 0.001, "{growth:?}");
    assert_eq!(growth.period.map(|period| (period.seconds, period.added)), Some((20.0, 1.0)));
}

#[test]
fn a_rhythm_shorter_than_the_thinned_samples_is_still_read() {
    let values: Vec<f64> = (0..7_200).map(|second| f64::from(12 + second / 5)).collect();
    let growth = growth(&series(&values), &Question::new(Unit::Things));
    assert_eq!(growth.period.map(|period| (period.seconds, period.added)), Some((5.0, 1.0)));
}

#[test]
fn steady_growth_without_rhythm_waits_for_the_warm_up_to_pass() {
    let heap = |seconds: u32| {
        let values: Vec<f64> = (0..seconds).map(|second| 1e6 + 1e4 * f64::from(second)).collect();
        judge(&series(&values), &Question::new(Unit::Bytes))
    };
    let Trend::TooShort { more_s, so_far: Some(so_far) } = heap(100) else {
        panic!("{:?}", heap(100));
    };
    assert_eq!((more_s, so_far.value), (261.0, 1e4));
    assert!(heap(100 + 261).is_growing());
}

#[test]
fn what_the_daemons_do_is_told_in_a_line() {
    let warm_up: Vec<f64> = (0..600).map(|second| f64::from(second.min(120)) * 1e5).collect();
    let shown = judge(&series(&warm_up), &Question::new(Unit::Bytes)).show(Unit::Bytes);
    assert_eq!(shown, "step, +11.1 MiB from 7.0 s to 1 min 58 s");
    let opened: Vec<f64> = (0..150).map(|second| f64::from(9 + second / 60)).collect();
    let shown = judge(&series(&opened), &Question::new(Unit::Things)).show(Unit::Things);
    assert_eq!(shown, "too short to tell, 31.0 s more needed");
    let pool: Vec<f64> = (0..600).map(|second| f64::from(4 + second / 30 % 3)).collect();
    let shown = judge(&series(&pool), &Question::new(Unit::Things)).show(Unit::Things);
    assert_eq!(shown, "flat at 5");
    let shown = judge(&series(&[1.0, 2.0, 1.0]), &Question::new(Unit::Things)).show(Unit::Things);
    assert_eq!(shown, "too short to tell, 21.0 s more needed");
}
