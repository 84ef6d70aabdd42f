//! An integration test that has none.
