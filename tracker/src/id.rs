//! Issue ids: a prefix, a dash and a short base36 hash that grows when it collides.

/// The shortest hash: three digits are enough for 160 issues.
const HASH_LEN_MIN: usize = 3;
/// How likely two ids may be the same before they grow by a digit.
const COLLISION_MAX: f64 = 0.25;
/// The longest hash: 36^12 still fits in 64 bits.
const HASH_LEN_MAX: usize = 12;
/// Candidates tried at one length before the hash grows.
/// Few, so that a crowded length is left early and ids stay cheap to find.
const TRIES_PER_LEN: u32 = 4;
/// What an id grows by that two issues were given.
const MOVED_LEN: usize = 4;
/// The longest prefix.
const PREFIX_LEN_MAX: usize = 32;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The candidate ids of a new issue among `issues` others, shortest first; the caller takes the
/// first that is free.
///
/// As long as two who have never met are likely enough not to give the same id: by the birthday
/// bound, n issues make two of 36^len the same with a probability of 1 - exp(-n^2 / (2 * 36^len)).
pub fn candidates<'a>(
    prefix: &'a str,
    seed: &'a [u8],
    issues: u64,
) -> impl Iterator<Item = String> + 'a {
    (shortest_len(issues)..=HASH_LEN_MAX).flat_map(move |len| {
        (0..TRIES_PER_LEN).map(move |nonce| {
            let hash = hash(seed, (len as u64) << 32 | u64::from(nonce));
            format!("{prefix}-{}", base36(hash, len))
        })
    })
}

/// Where an issue moves to whose id an older one has, the same for everybody who finds that out.
/// A longer one, so that no new issue is given it, and one that starts as people know it.
///
/// By the second it was made in: a file may have rounded the rest of the time away.
pub(crate) fn moved(id: &str, created_at: jiff::Timestamp) -> String {
    let hash = hash(id.as_bytes(), created_at.as_second().unsigned_abs());
    format!("{id}{}", base36(hash, MOVED_LEN))
}

fn shortest_len(issues: u64) -> usize {
    let n = issues as f64;
    let collides = |len: usize| 1.0 - (-n * n / (2.0 * 36_f64.powi(len as i32))).exp();
    (HASH_LEN_MIN..HASH_LEN_MAX).find(|len| collides(*len) <= COLLISION_MAX).unwrap_or(HASH_LEN_MAX)
}

/// Whether `prefix` can start an id: lowercase letters, digits, `_` and inner dashes.
pub fn is_valid_prefix(prefix: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !prefix.is_empty()
        && prefix.len() <= PREFIX_LEN_MAX
        && prefix.chars().all(allowed)
        && !prefix.starts_with('-')
        && !prefix.ends_with('-')
}

/// Whether `id` may be stored: one word without spaces or control characters.
pub fn is_valid(id: &str) -> bool {
    !id.is_empty() && id.len() <= 128 && id.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// FNV-1a with a final mix: ids need spread, not secrecy.
fn hash(seed: &[u8], nonce: u64) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.iter().copied().chain(nonce.to_le_bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The murmur3 finaliser: without it the low digits of similar seeds are similar.
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ (state >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

fn base36(mut value: u64, len: usize) -> String {
    let mut text = String::with_capacity(len);
    for _ in 0..len {
        text.push(char::from(DIGITS[(value % 36) as usize]));
        value /= 36;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn candidates_are_distinct_and_grow() {
        let all: Vec<_> = candidates("tt", b"a title", 0).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
        assert!(all.windows(2).all(|pair| pair[0].len() <= pair[1].len()));
        assert_eq!(all[0].len(), "tt-".len() + HASH_LEN_MIN);
    }

    #[test]
    fn a_full_length_is_left_for_the_next() {
        let taken: BTreeSet<_> = candidates("tt", b"x", 0).take(TRIES_PER_LEN as usize).collect();
        let free = candidates("tt", b"x", 0).find(|id| !taken.contains(id)).unwrap();
        assert_eq!(free.len(), "tt-".len() + HASH_LEN_MIN + 1);
    }

    #[test]
    fn ids_grow_with_the_number_of_issues() {
        let len = |issues| candidates("tt", b"x", issues).next().unwrap().len() - "tt-".len();
        assert_eq!(
            [0, 160, 170, 1_000, 10_000, 100_000, u64::MAX].map(len),
            [3, 3, 4, 5, 6, 7, 12]
        );
    }

    #[test]
    fn prefixes_are_plain_words() {
        assert!(is_valid_prefix("tt") && is_valid_prefix("my-app_2"));
        for bad in ["", "-a", "a-", "A", "a b", "é", &"x".repeat(33)] {
            assert!(!is_valid_prefix(bad), "{bad:?}");
        }
    }
}
