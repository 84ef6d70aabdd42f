//! Five thousand cases that do nothing: what grows with the number of tests shows here.
//!
//! `cargo run --release -p watertight-suites --bin many-cases -- --test-threads=1` ends with the supervisor's
//! peak RSS; the bench `trial` says what each trial costs as well.

use std::process::ExitCode;

use watertight::{Case, Net, Suite};

const CASES: usize = 5000;

fn main() -> ExitCode {
    let cases = (0..CASES)
        .map(|number| Case::new(format!("case_{number:04}"), |_cx| Ok(())).net(Net::Host));
    Suite::new("many-cases").cases(cases).main()
}
