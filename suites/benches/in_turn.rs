//! Several ways to do the same work, timed in turn.
//!
//! Two benchmarks that run one after the other compare two moments of the machine. Here every sample
//! runs all ways, each time beginning with another one, and what is compared is the ratio within a
//! sample: whatever disturbs one way disturbs the others as well.

use std::cell::RefCell;
use std::time::Duration;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;

/// Fewer samples than this are a smoke test (`cargo bench -- --test`) and are not worth a ratio.
const SAMPLES_MIN: usize = 10;

/// One way to do the work.
pub(crate) struct Way<'a> {
    name: &'a str,
    /// Does the work that many times and says how long it took, without setting up and clearing away.
    run: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl<'a> Way<'a> {
    pub(crate) fn new(name: &'a str, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// What one way took, and how many times what the first way took in the same samples.
pub(crate) struct Compared {
    /// Nanoseconds an iteration.
    pub(crate) time: Spread,
    pub(crate) ratio: Spread,
}

/// Benchmarks every way under its own name and prints what each takes more than the first.
///
/// Gives back what it has printed, in the order of the ways; nothing after a smoke test.
pub(crate) fn in_turn(
    group: &mut BenchmarkGroup<'_, WallTime>,
    title: &str,
    ways: Vec<Way<'_>>,
) -> Option<Vec<Compared>> {
    let names: Vec<&str> = ways.iter().map(|way| way.name).collect();
    let turns = RefCell::new(Turns { ways, samples: Vec::new() });
    for (index, name) in names.iter().enumerate() {
        group.bench_function(format!("{title}/{name}"), |bencher| {
            bencher.iter_custom(|iterations| turns.borrow_mut().sample(iterations)[index]);
        });
    }
    let samples = turns.into_inner().samples;
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    println!("{title}: {} samples, all ways in each", samples.len());
    let mut compared = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let way = Compared {
            time: Spread::of(samples.iter().map(|sample| sample[index])),
            ratio: Spread::of(samples.iter().map(|sample| sample[index] / sample[0])),
        };
        let more = Spread::of(samples.iter().map(|sample| sample[index] - sample[0]));
        println!(
            "  {name:<30} {:>10}  {:>11} more  ratio {:>6.2}  (half of them {:.2} to {:.2})",
            shown(way.time.median),
            shown(more.median),
            way.ratio.median,
            way.ratio.low,
            way.ratio.high
        );
        compared.push(way);
    }
    println!();
    Some(compared)
}

struct Turns<'a> {
    ways: Vec<Way<'a>>,
    /// Nanoseconds an iteration, by sample and way.
    samples: Vec<Vec<f64>>,
}

impl Turns<'_> {
    fn sample(&mut self, iterations: u64) -> Vec<Duration> {
        let count = self.ways.len();
        let mut times = vec![Duration::ZERO; count];
        for turn in 0..count {
            let index = (self.samples.len() + turn) % count;
            times[index] = (self.ways[index].run)(iterations);
        }
        let each = |time: &Duration| time.as_secs_f64() * 1e9 / iterations as f64;
        self.samples.push(times.iter().map(each).collect());
        times
    }
}

/// Median and quartiles.
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

/// A time as a person reads it.
pub(crate) fn shown(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns.abs() < 1e4 => format!("{ns:.1} ns"),
        ns if ns.abs() < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}
