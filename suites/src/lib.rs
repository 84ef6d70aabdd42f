//! Fixtures for the suites.

pub mod leaky;
pub mod ledger;
