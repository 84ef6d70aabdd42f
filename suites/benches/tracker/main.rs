//! Everything that the tracker promises of its speed, each beside its floor in the same samples: with 1,000,
//! 10,000 and 100,000 issues of the generator.
//!
//! `cargo bench -p watertight-suites --bench tracker`, or with a part of a name (`-- create`, `-- 10k`,
//! `-- figures`). At the end a table: ours, floor, their ratio, the bound and whether it is met.
//!
//! - [`commands`]: create, show, list and ready, a process each
//! - [`files`]: the whole export, the one changed issue, the import
//! - [`daemon`]: start, stop and the round trip
//! - [`figures`]: what has no floor: peak RSS, an idle tick, the growth of `.git`

mod commands;
mod daemon;
mod figures;
mod files;
#[path = "../in_turn.rs"]
mod in_turn;
mod place;
mod table;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};

use in_turn::{Way, in_turn};
use place::Place;
use table::{Bound, Table};

/// What the benches share: a place for each size, made when somebody asks for it, and the table.
struct Benches {
    places: Vec<Place>,
    table: RefCell<Table>,
}

impl Benches {
    /// Compares ours with its floor at one size and enters that into the table.
    fn compare<'a>(
        &self,
        criterion: &mut Criterion,
        name: &str,
        size: &str,
        bound: Bound,
        ours: impl FnMut(u64) -> Duration + 'a,
        floor: impl FnMut(u64) -> Duration + 'a,
    ) {
        let mut group = quick(criterion, name);
        let ways = vec![Way::new("floor", floor), Way::new("ours", ours)];
        let ratios = in_turn(&mut group, size, ways);
        group.finish();
        self.table.borrow_mut().compared(name, size, bound, ratios.as_deref());
    }
}

/// Few samples: some take seconds.
fn quick<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    group
}

/// Does something so many times and says how long that took, without what comes before each.
fn timed<T>(iterations: u64, mut before: impl FnMut() -> T, mut work: impl FnMut(T)) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..iterations {
        let ready = before();
        let begun = Instant::now();
        work(ready);
        time += begun.elapsed();
    }
    time
}

fn tracker(criterion: &mut Criterion) {
    let benches = Benches { places: Place::all(), table: RefCell::default() };
    for place in &benches.places {
        commands::all(&benches, place, criterion);
        files::all(&benches, place, criterion);
    }
    daemon::all(&benches, criterion);
    figures::all(&benches);
    println!("{}", benches.table.borrow());
}

criterion_group!(benches, tracker);
criterion_main!(benches);
