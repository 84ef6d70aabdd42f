//! A test with a `main` of its own, which does its work whatever it is asked: also for `--list`. So it
//! must be started once, and no more. With `TARGETS_RUNS=FILE` it adds a line there for each start.

use std::fs::File;
use std::io::Write as _;

fn main() {
    assert_eq!(targets::next(5), 6);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(path) = std::env::var_os("TARGETS_RUNS") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "own_main {}", arguments.join(" ")).unwrap();
    }
    println!("own_main has run");
}
