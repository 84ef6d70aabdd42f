//! A plain project whose tests leave something behind: one test for each kind that can be counted, and
//! beside it the same work, released (`fd_file` and `fd_file_released`).
//!
//! The line that makes what leaks ends with `leaks here` and the name of its test.

/// Doubles, so that there is something to document.
///
/// ```
/// assert_eq!(leaky::double(2), 4);
/// ```
pub fn double(number: i32) -> i32 {
    number * 2
}

#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod mappings;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod state;

/// Tests that are special to a runner of tests, and leave nothing.
#[cfg(test)]
mod outcomes {
    #[test]
    fn ends_with_ok() -> Result<(), std::num::ParseIntError> {
        assert_eq!(super::double("21".parse()?), 42);
        Ok(())
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn panics_as_it_should() {
        let empty: Vec<i32> = Vec::new();
        super::double(empty[0]);
    }

    #[test]
    #[ignore = "only when asked for"]
    fn is_ignored() {
        assert_eq!(super::double(1), 2);
    }

    mod deeper {
        #[test]
        fn has_a_long_path() {
            assert_eq!(crate::double(-1), -2);
        }
    }
}

/// An error of libc's as Rust says it.
#[cfg(test)]
fn checked(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}
