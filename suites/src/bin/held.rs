//! Every way to keep a block, and the same work released, as the cases of one suite. `holders` runs it.

use watertight_suites::held;

fn main() -> std::process::ExitCode {
    watertight::Suite::new("held").cases(held::cases()).main()
}
