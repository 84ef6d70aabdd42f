//! A clean-up that is declared and never runs, or runs when it is too late.
//!
//! The original's was deferred in a function that ended by exiting the process. What it should have
//! released goes with the process here; that it never ran is the finding.

use watertight::{Context, Failed};
use watertight_tracker::store::Store;

use super::{Scratch, use_store};

/// The name under which the clean-up stands in the record.
pub const NAME: &str = "close the store";

/// The process exits before the clean-up.
pub fn leaky_exit(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut store = Store::open(&scratch.database())?;
    use_store(&mut store)?;
    cx.cleanup(NAME, move || Ok(store.close()?)); // LEAK exit
    drop(scratch);
    #[expect(clippy::disallowed_methods, reason = "the mistake that must be caught")]
    std::process::exit(0)
}

/// The process aborts before the clean-up.
pub fn leaky_abort(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut store = Store::open(&scratch.database())?;
    use_store(&mut store)?;
    cx.cleanup(NAME, move || Ok(store.close()?)); // LEAK abort
    drop(scratch);
    std::process::abort()
}

/// The clean-up runs after what it needs has gone: clean-ups run last declared first, and this one
/// was declared before the directory it looks into.
pub fn leaky_order(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let database = scratch.database();
    cx.cleanup(NAME, move || Ok(Store::open_existing(&database)?.close()?)); // LEAK order
    cx.cleanup("remove the workspace", move || {
        drop(scratch);
        Ok(())
    });
    Ok(())
}

/// The clean-ups run, in the right order.
pub fn clean(cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut store = Store::open(&scratch.database())?;
    use_store(&mut store)?;
    cx.cleanup("remove the workspace", move || {
        drop(scratch);
        Ok(())
    });
    cx.cleanup(NAME, move || Ok(store.close()?));
    Ok(())
}
