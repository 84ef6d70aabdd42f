//! A registry of engines that nobody disposes of: it fills up over a whole suite.
//!
//! Every test asked the registry for an engine, and the registry kept them all for the next test that
//! might want the same one. None did. A process for each test hides this by exiting, so these are
//! cases of a suite in shared mode (binary `leaky-registry`).

use std::sync::{Mutex, PoisonError};

use watertight::{Case, Context, Failed};
use watertight_tracker::store::Store;

use super::{Scratch, case, use_store};

/// Tests in either half of the suite.
pub const TESTS: usize = 12;

/// Every engine that was ever asked for.
static ENGINES: Mutex<Vec<Store>> = Mutex::new(Vec::new());

/// The suite's cases: `leaky::test_01` and so on, and the same with `clean`.
pub fn cases() -> Vec<Case> {
    let half = |name: &'static str, body| {
        (1..=TESTS).map(move |number| case(format!("{name}::test_{number:02}"), body))
    };
    half("leaky", leaky as super::Body).chain(half("clean", clean)).collect()
}

/// A test that leaves its engine in the registry.
fn leaky(_cx: &Context) -> Result<(), Failed> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    // The number of the test, counted here: what the forecast is compared with.
    let number = engines.len() + 1;
    let refused = |error: Failed| Failed::new(format!("test {number} got no engine: {error}"));
    let scratch = Scratch::new().map_err(refused)?;
    let opened = Store::open(&scratch.database()); // LEAK
    let mut engine = opened.map_err(|error| refused(error.into()))?;
    use_store(&mut engine).map_err(refused)?;
    engines.push(engine);
    Ok(())
}

/// A test that disposes of its engine.
fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut engine = Store::open(&scratch.database())?;
    use_store(&mut engine)?;
    engine.close()?;
    Ok(())
}
