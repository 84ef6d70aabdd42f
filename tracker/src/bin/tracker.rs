//! `tracker`: a local issue tracker in one SQLite file.

use std::process::ExitCode;

fn main() -> ExitCode {
    watertight_tracker::cli::main()
}
