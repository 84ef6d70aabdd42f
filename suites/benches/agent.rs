//! What the agent costs the process it is in, against the same process without it.
//!
//! `counting` is the agent with no stacks, `descriptor stacks` is how every trial runs, `heap samples`
//! takes stacks for some heap blocks as well, and `heap stacks`, how a suspected trial is run again, for all.
//! One operation is a malloc and its free, an open and its close, or a row put into SQLite; the figures are for
//! a thousand. With two threads the slower one counts.

mod in_turn;
mod preload;

use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

use in_turn::{Way, in_turn};
use preload::table::{FLAG_FD_STACKS, FLAG_HEAP_STACKS};
use preload::{Agent, Asked};

/// Operations of one worker: some tens of milliseconds, so that its start does not matter.
const MALLOCS: u64 = 1_000_000;
const OPENS: u64 = 20_000;
const ROWS: u64 = 20_000;
/// With a stack for every block a malloc takes far longer.
const TRACKED: u64 = 50_000;

const COUNTING: Asked = (0, 0);
const DESCRIPTOR_STACKS: Asked = (FLAG_FD_STACKS, 0);
const HEAP_SAMPLES: Asked = (FLAG_FD_STACKS | FLAG_HEAP_STACKS, 32 * 1024);
const HEAP_STACKS: Asked = (FLAG_FD_STACKS | FLAG_HEAP_STACKS, 0);

/// Nanoseconds for one operation in a worker of its own.
fn work(agent: Option<(&Agent, Asked)>, what: &str, operations: u64, threads: u32) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-agent-worker"));
    command.args([what, &operations.to_string(), &threads.to_string()]);
    let table = agent.map(|(agent, asked)| agent.table(asked));
    if let Some(table) = &table {
        table.preload(&mut command);
    }
    let output = command.output().expect("the worker starts");
    if let Some(table) = &table {
        table.region();
    }
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("nanoseconds")
}

fn agent(criterion: &mut Criterion) {
    let agent = Agent::find();
    let mut group = criterion.benchmark_group("agent");
    group
        .sample_size(20)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2));
    for (title, what, operations, threads) in [
        ("1000 malloc+free, mixed sizes", "malloc", MALLOCS, 1),
        ("1000 malloc+free, mixed sizes, two threads", "malloc", MALLOCS, 2),
        ("1000 malloc+free, thread cache", "hot", MALLOCS, 1),
        ("1000 malloc+free, thread cache, two threads", "hot", MALLOCS, 2),
        ("1000 open+close", "open", OPENS, 1),
        ("1000 rows into SQLite", "insert", ROWS, 1),
    ] {
        let way = |name, agent: Option<(_, Asked)>| {
            let tracked = agent.is_some_and(|(_, asked)| asked == HEAP_STACKS);
            let operations = if tracked { operations.min(TRACKED) } else { operations };
            // A worker does the same work whatever number of iterations is asked for; its time for
            // one operation is scaled to a thousand, since a duration cannot tell parts of a nanosecond.
            Way::new(name, move |iterations| {
                let each = work(agent, what, operations, threads);
                Duration::from_secs_f64(each * 1e-9 * 1000.0 * iterations as f64)
            })
        };
        in_turn(
            &mut group,
            title,
            vec![
                way("no agent", None),
                way("counting", Some((&agent, COUNTING))),
                way("descriptor stacks", Some((&agent, DESCRIPTOR_STACKS))),
                way("heap samples", Some((&agent, HEAP_SAMPLES))),
                way("heap stacks", Some((&agent, HEAP_STACKS))),
            ],
        );
    }
    group.finish();
}

criterion_group!(benches, agent);
criterion_main!(benches);
