//! Every kind of leak and its clean twin, as the cases of one suite. `matrix` runs it.

use watertight_suites::kinds;

fn main() -> std::process::ExitCode {
    watertight::Suite::new("kinds")
        .cases(kinds::cases())
        .teardown("remove what is left on the machine", kinds::sweep)
        .main()
}
