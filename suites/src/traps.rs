//! Correct programs that look as if they leaked: each is a case that must be clean, without a budget,
//! without a limit on rounds, without anything allowed.
//!
//! They are the cases of the binary `traps`; [`matrix`](crate::matrix) runs it.

mod c_library;
mod caches;
mod daemons;
mod inherited;
mod mappings;
mod once;
mod output;
mod processes;
mod runtimes;
mod scratch;
mod state;
mod threads;

use std::pin::Pin;

use watertight::{Case, Context, Failed};

pub use daemons::serve;
pub use inherited::INHERIT;

type Future = Pin<Box<dyn std::future::Future<Output = Result<(), Failed>>>>;

/// The cases of the binary `traps`.
pub fn cases() -> Vec<Case> {
    let cases = [
        once::cases(),
        caches::cases(),
        c_library::cases(),
        threads::cases(),
        runtimes::cases(),
        output::cases(),
        scratch::cases(),
        mappings::cases(),
        state::cases(),
        processes::cases(),
        daemons::cases(),
        inherited::cases(),
    ];
    cases.into_iter().flatten().collect()
}

fn trap(name: &str, body: fn(&Context) -> Result<(), Failed>) -> Case {
    Case::new(name, body).package(env!("CARGO_MANIFEST_DIR"))
}

/// The same as a future, on a runtime of the harness's.
fn async_trap(name: &str, body: fn() -> Future) -> Case {
    Case::new_async(name, 0, move |_cx| body()).package(env!("CARGO_MANIFEST_DIR"))
}
