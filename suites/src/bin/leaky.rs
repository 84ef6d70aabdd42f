//! The leaky twins and their clean ones, as the cases of one suite. Run by `tests/story.rs`.

fn main() -> std::process::ExitCode {
    watertight::Suite::new("leaky").cases(watertight_suites::leaky::cases()).main()
}
