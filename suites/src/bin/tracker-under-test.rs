//! The tracker, under a name that cargo tells our tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    watertight_tracker::cli::main()
}
