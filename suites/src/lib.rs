//! Fixtures for the suites.
