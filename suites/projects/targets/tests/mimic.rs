//! A test that speaks as libtest does, and is none. With `TARGETS_RUNS=FILE` it adds a line there for each
//! start.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Some(path) = std::env::var_os("TARGETS_RUNS") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "mimic").unwrap();
    }
    let trial = |name: &str, number: i32| {
        Trial::test(name, move || match targets::next(number) > number {
            true => Ok(()),
            false => Err("it is not greater".into()),
        })
    };
    libtest_mimic::run(&arguments, vec![trial("one", 1), trial("two", 2)]).exit_code()
}
