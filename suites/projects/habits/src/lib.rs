//! Nothing is here but tests: see `tests/habits/`. Every one of them is correct, looks as if it leaked,
//! and says why.

#[cfg(test)]
mod tests {
    /// Looks like a leak: libtest's own thread and its channels are there while it runs.
    #[test]
    fn does_nothing() {}
}
