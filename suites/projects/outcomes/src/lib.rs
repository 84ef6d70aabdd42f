//! Tests that end in every way there is. Most fail, and must fail in the same way wherever they run.
//! Under plain `cargo test` those of [`fatal`] end the whole binary: run them one by one, or with nextest.

#[cfg(test)]
mod ends {
    #[test]
    fn passes_and_prints() {
        println!("to stdout");
        eprintln!("to stderr");
    }

    #[test]
    fn fails() {
        println!("printed before it fails");
        assert_eq!(1 + 1, 3, "the sum is wrong");
    }

    #[test]
    fn returns_an_error() -> Result<(), std::num::ParseIntError> {
        "one".parse::<i32>().map(drop)
    }

    #[test]
    #[should_panic]
    fn does_not_panic_as_it_should() {}

    #[test]
    #[should_panic(expected = "this")]
    fn panics_with_another_message() {
        panic!("that");
    }

    #[test]
    #[ignore = "it would fail"]
    fn is_ignored_and_would_fail() {
        panic!("it was not ignored");
    }

    #[test]
    fn fails_in_another_thread_and_passes() {
        assert!(std::thread::spawn(|| panic!("elsewhere")).join().is_err());
    }

    /// Both fails and leaks: the one must not hide the other.
    #[test]
    fn fails_and_leaks() {
        std::mem::forget(std::fs::File::open("/dev/null").unwrap()); // leaks here: fails_and_leaks
        panic!("and leaks");
    }
}

#[cfg(test)]
mod fatal {
    #[test]
    #[ignore = "it ends the binary"]
    fn aborts() {
        std::process::abort();
    }

    #[test]
    #[ignore = "it ends the binary"]
    fn exits_with_0() {
        std::process::exit(0);
    }

    #[test]
    #[ignore = "it ends the binary"]
    fn exits_with_7() {
        std::process::exit(7);
    }

    #[test]
    #[ignore = "it ends the binary"]
    fn overflows_its_stack() {
        fn deeper(depth: u64) -> u64 {
            if depth == u64::MAX {
                return 0;
            }
            let room = std::hint::black_box([depth; 64]);
            deeper(depth + 1) + room[0]
        }
        assert_eq!(deeper(0), 0);
    }
}
