//! The registry that fills up over a suite: all cases in one process. Run by `tests/story.rs`.

use watertight_suites::leaky::engine_registry;

/// Passes when `REGISTRY_PASSES` does not say it.
const PASSES: u32 = 4;

fn main() -> std::process::ExitCode {
    let asked = std::env::var("REGISTRY_PASSES").ok().and_then(|passes| passes.parse().ok());
    watertight::Suite::new("leaky-registry")
        .cases(engine_registry::cases())
        .shared(asked.unwrap_or(PASSES))
        .main()
}
