//! A library with a target of every sort around it.

/// Adds one.
///
/// ```
/// assert_eq!(targets::next(1), 2);
/// ```
///
/// ```should_panic
/// targets::next(i32::MAX);
/// ```
///
/// ```compile_fail
/// targets::next("1");
/// ```
pub fn next(number: i32) -> i32 {
    number.checked_add(1).expect("there is a next one")
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_the_library() {
        assert_eq!(super::next(1), 2);
    }
}
