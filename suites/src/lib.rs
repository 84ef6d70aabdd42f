//! Fixtures for the suites.

pub mod guest;
pub mod leaky;
pub mod ledger;
