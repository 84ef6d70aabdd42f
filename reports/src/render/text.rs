//! Foreign text made fit to print: names come from the system and may hold anything.

/// How much of a name is shown: about a line and a half of a terminal.
pub(crate) const NAME_CHARS_MAX: usize = 120;

/// How much of the end of a name is kept: in a path the end says most.
const NAME_END_CHARS: usize = 40;

/// `text` on one line, with everything that could move a cursor or hide text escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reorders(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Line separators and the marks that change the direction of text or have no width.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` escaped, and with its middle left out where it is long.
pub(crate) fn name(text: &str) -> String {
    let escaped = escape(text);
    let length = escaped.chars().count();
    if length <= NAME_CHARS_MAX {
        return escaped;
    }
    let head = NAME_CHARS_MAX - NAME_END_CHARS;
    let start: String = escaped.chars().take(head).collect();
    let end: String = escaped.chars().skip(length - NAME_END_CHARS).collect();
    format!("{start}[{} more]{end}", length - NAME_CHARS_MAX)
}

/// `text` escaped and in backticks.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", name(text))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `text` as one word of a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(|c| c.is_control() || reorders(c)) {
        // The $'...' form can be pasted; the character itself could not be seen.
        return format!("$'{}'", text.chars().map(ansi_c).collect::<String>());
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn ansi_c(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        _ if c.is_control() || reorders(c) => format!("\\U{:08x}", u32::from(c)),
        _ => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_survives() {
        assert_eq!(escape("a\x1b[2Jb\r\n\u{202e}c\u{9b}"), r"a\u{1b}[2Jb\r\n\u{202e}c\u{9b}");
        assert_eq!(escape("café 日本"), "café 日本");
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        let shown = name(&format!("/tmp/{}/tracker.db", "x".repeat(500)));
        assert!(shown.starts_with("/tmp/xxx"));
        assert!(shown.contains("[396 more]"), "{shown}");
        assert!(shown.ends_with("/tracker.db"));
        assert_eq!(name(&"é".repeat(NAME_CHARS_MAX)), "é".repeat(NAME_CHARS_MAX));
    }

    #[test]
    fn lists_read_as_speech() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([0, 1, 2, 3].map(|n| list(&items[..n])), ["", "a", "a and b", "a, b and c"]);
    }

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(shell_word("module::case"), "module::case");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word("a\nb'"), r"$'a\U0000000ab\''");
        assert_eq!(shell_word(""), "''");
    }
}
