//! What a suite declares for all of its cases, and a case that declares otherwise. Run by `tests/config.rs`.

use std::fs::File;

/// A descriptor that is forgotten.
#[expect(clippy::disallowed_methods, reason = "the growth that is allowed, or not")]
fn forget_one() -> std::io::Result<()> {
    std::mem::forget(File::open("/dev/null")?);
    Ok(())
}

#[watertight::test]
fn within_the_suites_budget() -> std::io::Result<()> {
    forget_one()
}

#[watertight::test(allow(fd = 0), deadline = "1m")]
fn over_its_own() -> std::io::Result<()> {
    forget_one()
}

watertight::main!(allow(fd = 1), deadline = "30s", rss_max = "1 GiB", rounds = 3);
