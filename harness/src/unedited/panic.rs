//! The panic that failed a test, from what its process has printed.

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
    fn the_first_panic_is_told_with_its_place() {
        let output = "running 1 test\n\nthread 'a::b' (17) panicked at src/lib.rs:9:5:\nassertion failed\n  left: 1\nnote: run with `RUST_BACKTRACE=1`\n";
        let expected = "assertion failed\n  left: 1\n  at src/lib.rs:9";
        assert_eq!(panic_message(output).as_deref(), Some(expected));
        assert_eq!(panic_message("all is well\n"), None);
    }
}
