//! Fixtures for the suites.

pub mod guest;
