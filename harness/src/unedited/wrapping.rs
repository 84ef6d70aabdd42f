//! What the command tells the runners that cargo starts for it: one variable of the environment.

use serde::{Deserialize, Serialize};

/// The variable.
const VARIABLE: &str = "WATERTIGHT_WRAPPING";

/// How `cargo watertight test` has wrapped cargo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Wrapping {
    /// Variables that the command has set, with their values before: a test must find these.
    pub before: Vec<(String, Option<String>)>,
    /// The user's own target runner, which starts the binary.
    pub runner: Vec<String>,
    /// Whether tests get network namespaces of their own.
    pub private_net: bool,
    /// Whether little that is kept on the heap is looked into as well.
    pub all_heap: bool,
    /// What else must be typed to run the same tests again (features, profiles), quoted for a shell.
    pub options: Vec<String>,
}

impl Wrapping {
    /// What the environment says; nothing special where it says nothing.
    pub fn from_env() -> Self {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The variable and its value, for the environment of cargo.
    pub fn to_env(&self) -> (&'static str, String) {
        (VARIABLE, serde_json::to_string(self).unwrap_or_default())
    }

    /// Takes back what the command has set, in the environment of a test.
    pub(super) fn undo(&self, command: &mut std::process::Command) {
        command.env_remove(VARIABLE);
        for (name, before) in &self.before {
            match before {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_finds_the_environment_as_it_was() {
        let wrapping = Wrapping {
            before: vec![("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), None)],
            ..Wrapping::default()
        };
        let mut command = std::process::Command::new("true");
        command.env("A", "2").env("B", "2").env("C", "2").env(VARIABLE, "x");
        wrapping.undo(&mut command);
        let mut left: Vec<_> = command.get_envs().collect();
        left.sort_unstable();
        let set = |text: &'static str| Some(std::ffi::OsStr::new(text));
        let expected = [("A", set("1")), ("B", None), ("C", set("2")), (VARIABLE, None)];
        assert_eq!(left, expected.map(|(name, value)| (std::ffi::OsStr::new(name), value)));
    }
}
