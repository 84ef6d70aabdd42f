//! What a test has printed itself, and the panic that failed it, out of what its process has printed.

/// What is between the lines that libtest prints around a single test: `running 1 test`, and then
/// `test NAME ... ok` with its summary (library/test/src/formatters/pretty.rs).
pub(crate) fn own_output(output: &str, name: &str) -> String {
    let body = output.split_once("running 1 test\n").map_or(output, |(_, body)| body);
    // Behind whatever the test has printed last, which may be half a line.
    let end = [format!("test {name} ... "), format!("test {name} - should panic ... ")];
    let end = end.iter().filter_map(|end| body.rfind(end)).max();
    let (body, rest) = body.split_at(end.unwrap_or(body.len()));
    // What comes behind libtest's own end is the test's again: exit handlers, threads.
    let late = rest.split_once("\ntest result: ").and_then(|(_, rest)| rest.split_once('\n'));
    let parts = [body.trim(), late.map_or("", |(_, late)| late.trim())];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What libtest itself says of a test that has failed: that it did not panic as it should, say. It stands
/// between `---- NAME stdout ----` and the list of failures.
pub(crate) fn verdict_of_libtest(output: &str, name: &str) -> Option<String> {
    let (_, block) = output.split_once(&format!("---- {name} stdout ----\n"))?;
    let (text, _) = block.split_once("\nfailures:\n")?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Why a test failed, as far as it is printed: the first panic, the error that it returned (std prints
/// `Error: ` and its debug form, library/std/src/process.rs), or why the runtime gave up.
pub(crate) fn reason(output: &str) -> Option<String> {
    let begins = |begin: &str| output.lines().find(|line| line.starts_with(begin));
    panic_message(output).or_else(|| {
        begins("Error: ").or_else(|| begins("fatal runtime error: ")).map(str::to_owned)
    })
}

/// The first panic's message and place, in the form in which a suite of our own records it.
///
/// std prints `thread 'NAME' (TID) panicked at FILE:LINE:COLUMN:`, then the message, then a note on how to
/// get a backtrace (library/std/src/panicking.rs, `default_hook`).
pub(crate) fn panic_message(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !is_panic(line));
    let (_, place) = lines.next()?.split_once(" panicked at ")?;
    let is_end = |line: &str| line.starts_with("note: ") || line.starts_with("stack backtrace:");
    let message: Vec<&str> = lines.take_while(|line| !is_end(line)).take(LINES_MAX).collect();
    let place = place.trim_end_matches(':');
    let place = place.rsplit_once(':').map_or(place, |(line, _column)| line);
    Some(format!("{}\n  at {place}", message.join("\n").trim_end()))
}

/// Lines of a message that are kept.
const LINES_MAX: usize = 100;

fn is_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtests_own_lines_are_left_out() {
        let output = "\nrunning 1 test\nhello\ntest a::b ... ok\n\ntest result: ok. 1 passed; finished in 0.00s\n\nbye\n";
        assert_eq!(own_output(output, "a::b"), "hello\nbye");
        let half = "running 1 test\nhalftest a ... ok\n\ntest result: ok.\n";
        assert_eq!(own_output(half, "a"), "half");
        let panics = "running 1 test\ntest a - should panic ... ok\n\ntest result: ok.\n";
        assert_eq!(own_output(panics, "a"), "");
        assert_eq!(own_output("killed half-way\n", "a"), "killed half-way");
    }

    #[test]
    fn libtests_own_verdict_is_told() {
        let output = "failures:\n\n---- a stdout ----\nnote: test did not panic as expected at src/lib.rs:3:4\n\nfailures:\n    a\n";
        let expected = "note: test did not panic as expected at src/lib.rs:3:4";
        assert_eq!(verdict_of_libtest(output, "a").as_deref(), Some(expected));
        assert_eq!(verdict_of_libtest("failures:\n\nfailures:\n    a\n", "a"), None);
    }

    #[test]
    fn the_first_panic_is_told_with_its_place() {
        let output = "running 1 test\n\nthread 'a::b' (17) panicked at src/lib.rs:9:5:\nassertion failed\n  left: 1\nnote: run with `RUST_BACKTRACE=1`\n";
        let expected = "assertion failed\n  left: 1\n  at src/lib.rs:9";
        assert_eq!(panic_message(output).as_deref(), Some(expected));
        assert_eq!(panic_message("all is well\n"), None);
    }

    #[test]
    fn what_is_no_panic_is_told_as_it_is_printed() {
        let returned = "hello\nError: ParseIntError { kind: InvalidDigit }\n";
        assert_eq!(
            reason(returned).as_deref(),
            Some("Error: ParseIntError { kind: InvalidDigit }")
        );
        let overflown = "\nthread 'a' (1) has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
        let expected = "fatal runtime error: stack overflow, aborting";
        assert_eq!(reason(overflown).as_deref(), Some(expected));
        assert_eq!(reason("all is well\n"), None);
    }
}
