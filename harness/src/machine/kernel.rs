//! The kernel: its version, and single numbers below `/proc/sys`.

use std::fs;
use std::str::FromStr;

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// Its first two numbers; zeros where they cannot be told.
    pub version: (u32, u32),
}

impl Kernel {
    pub(super) fn running() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::parse(release.trim())
    }

    fn parse(release: &str) -> Self {
        let mut numbers = release
            .split(|character: char| !character.is_ascii_digit())
            .map_while(|number| number.parse().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { release: release.to_owned(), version }
    }

    /// The size of `/proc/PID/fd` is the number of descriptors (Linux 6.2).
    pub fn counts_descriptors(&self) -> bool {
        self.version >= (6, 2)
    }

    /// A process can be held by a descriptor (pidfd_open(2), Linux 5.3).
    pub fn has_pidfd(&self) -> bool {
        self.version >= (5, 3)
    }
}

/// A file that holds one number; none where it is not there.
pub(super) fn number<N: FromStr>(path: &str) -> Option<N> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// First and last port that a client is given.
pub(crate) fn port_range() -> Option<(u16, u16)> {
    range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_have_versions() {
        let version = |release| Kernel::parse(release).version;
        assert_eq!(version("6.18.44-fc-v595"), (6, 18));
        assert_eq!(version("5.15.0-1053-azure"), (5, 15));
        assert_eq!(version("6.2-rc1"), (6, 2));
        assert_eq!(version("4.18.0-553.el8_10.x86_64"), (4, 18));
        assert_eq!(version(""), (0, 0));
    }

    #[test]
    fn what_a_version_can_do() {
        assert!(Kernel::parse("6.2.0").counts_descriptors());
        assert!(!Kernel::parse("6.1.140").counts_descriptors());
        assert!(Kernel::parse("5.3.0").has_pidfd());
        assert!(!Kernel::parse("4.18.0").has_pidfd());
    }

    #[test]
    fn a_range_is_two_numbers() {
        assert_eq!(range("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(range("32768\n"), None);
    }
}
