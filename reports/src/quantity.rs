//! Sizes and durations as people write them: `64 MiB`, `30s`. The same words in the attribute macro, in
//! `watertight.toml` and in the acceptance file.
//!
//! The functions are `const`, so that what stands in an attribute is checked when it is compiled.

/// Units of a duration, in milliseconds.
const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Units of a size, in bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// What [`duration_ms`] understands.
pub const DURATION: &str = "a duration, as \"30s\" (ms, s, m or h)";
/// What [`bytes`] understands.
pub const SIZE: &str = "a size, as \"64 MiB\" (B, KiB, MiB, GiB, kB, MB or GB)";

/// A duration in milliseconds; none where `text` is no [`DURATION`].
pub const fn duration_ms(text: &str) -> Option<u64> {
    quantity(text, &DURATION_UNITS)
}

/// A size in bytes; none where `text` is no [`SIZE`].
pub const fn bytes(text: &str) -> Option<u64> {
    quantity(text, &SIZE_UNITS)
}

/// A whole number and a unit, with or without a space between them.
const fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.as_bytes();
    let (mut number, mut at) = (0u64, 0);
    while at < text.len() && text[at].is_ascii_digit() {
        let digit = (text[at] - b'0') as u64;
        let Some(tens) = number.checked_mul(10) else { return None };
        let Some(sum) = tens.checked_add(digit) else { return None };
        (number, at) = (sum, at + 1);
    }
    if at == 0 {
        return None;
    }
    let unit = text.split_at(at).1.trim_ascii();
    let mut known = 0;
    while known < units.len() {
        if is_same(unit, units[known].0.as_bytes()) {
            return number.checked_mul(units[known].1);
        }
        known += 1;
    }
    None
}

/// `==` is not `const` for slices.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table: [(&str, Option<u64>, Option<u64>); 12] = [
            // text, as a duration, as a size
            ("30s", Some(30_000), None),
            ("500 ms", Some(500), None),
            ("2m", Some(120_000), None),
            ("1h", Some(3_600_000), None),
            ("64 MiB", None, Some(64 << 20)),
            ("10kB", None, Some(10_000)),
            ("0 B", None, Some(0)),
            ("s", None, None),
            ("-1s", None, None),
            ("1.5 GiB", None, None),
            ("99999999999999999999 B", None, None),
            ("18446744073709551615 KiB", None, None),
        ];
        for (text, duration, size) in table {
            assert_eq!((duration_ms(text), bytes(text)), (duration, size), "{text:?}");
        }
    }
}
