//! What the bench `trial` times: cases that do nothing, and processes that do nothing.
//!
//! - `bench-trials [libtest's options]`: a suite of empty cases, in the machine's network and each in its own.
//! - `bench-trials processes [libtest's options]`: the floor. The same runner without the harness, and a
//!   process of this same binary for each test.
//! - `bench-trials empty`: that process.
//!
//! The case `names_its_agent` prints where the agent lies that was preloaded into it: the bench
//! `agent` preloads the same one.

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use watertight::{Case, Net, Suite};

/// One more than a hundred: a trial costs a hundredth of what 101 cost more than one.
const CASES: usize = 101;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    match arguments.next().as_deref() {
        Some("empty") => ExitCode::SUCCESS,
        Some("processes") => processes(std::iter::once(program).chain(arguments)),
        _ => suite().main(),
    }
}

fn suite() -> Suite {
    let empty = |network: &str, net: Net| {
        let network = network.to_owned();
        (0..CASES)
            .map(move |number| Case::new(format!("{network}_{number:03}"), |_cx| Ok(())).net(net))
    };
    Suite::new("bench-trials")
        .cases(empty("host", Net::Host))
        .cases(empty("private", Net::Private))
        .case(Case::new("names_its_agent", |_cx| {
            let maps = std::fs::read_to_string("/proc/self/maps")?;
            let agent = maps
                .split_ascii_whitespace()
                .find(|word| word.starts_with('/') && word.ends_with("-agent.so"));
            println!("agent: {}", agent.unwrap_or("none"));
            Ok(())
        }))
}

fn processes(arguments: impl Iterator<Item = String>) -> ExitCode {
    let trials = (0..CASES).map(|number| {
        Trial::test(format!("process_{number:03}"), || {
            let ended = Command::new(std::env::current_exe()?).arg("empty").output()?;
            if ended.status.success() { Ok(()) } else { Err(ended.status.to_string().into()) }
        })
    });
    libtest_mimic::run(&Arguments::from_iter(arguments), trials.collect()).exit_code()
}
