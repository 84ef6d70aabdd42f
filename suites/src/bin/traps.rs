//! Correct programs that look as if they leaked, as the cases of one suite. `matrix` runs it.

fn main() -> std::process::ExitCode {
    watertight::Suite::new("traps").cases(watertight_suites::traps::cases()).main()
}
