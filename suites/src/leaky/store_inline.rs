//! A store opened inline in a test and never closed.
//!
//! In the original every test opened its own database with a line in its body, and most never closed
//! it: three descriptors and a connection's memory for each.

use watertight::{Context, Failed};
use watertight_tracker::store::Store;

use super::{Scratch, use_store};

/// Opens, uses, forgets.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut store = Store::open(&scratch.database())?; // LEAK
    use_store(&mut store)?;
    #[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
    std::mem::forget(store);
    Ok(())
}

/// Opens, uses, closes.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut store = Store::open(&scratch.database())?;
    use_store(&mut store)?;
    store.close()?;
    Ok(())
}
