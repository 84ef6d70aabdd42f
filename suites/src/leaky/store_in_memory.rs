//! A store without a file, forgotten: no descriptor tells of it, only C heap.

use watertight::{Context, Failed};
use watertight_tracker::store::Store;

use super::use_store;

/// Opens, uses, forgets.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    let mut store = Store::open_in_memory()?; // LEAK
    use_store(&mut store)?;
    #[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
    std::mem::forget(store);
    Ok(())
}

/// Opens, uses, closes.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let mut store = Store::open_in_memory()?;
    use_store(&mut store)?;
    store.close()?;
    Ok(())
}
