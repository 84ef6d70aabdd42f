//! A suite whose set-up runs and whose tear-down fails. Run by `tests/fixtures.rs`.

use watertight::{Case, Failed, Suite};

fn main() -> std::process::ExitCode {
    Suite::new("fixtures")
        .setup("prepare", || Ok(()))
        .teardown("put away", || Err(Failed::new("it is stuck")))
        .case(Case::new("passes", |_cx| Ok(())))
        .main()
}
