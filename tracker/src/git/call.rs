//! One call of git: its settings, its environment, its patience, and what a refusal means.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::git::place::lock_error;
use crate::git::{Git, GitError};
use crate::process::{self, Answer};

/// Settings that hold for our calls only.
const SETTINGS: [&str; 6] = [
    // No `reference-transaction` and no `post-index-change` of anybody's.
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    // It would be started, and stay.
    "core.fsmonitor=false",
    // A handful of objects makes no pack, whatever is set for fetches.
    "fastimport.unpackLimit=100",
    // Whether a line end would come back as it was is for `git add` to ask, where a person reads.
    "core.safecrlf=false",
];

/// Variables that would lead a call elsewhere. Git sets them for its hooks, and a daemon that was
/// started from one would follow them for life.
///
/// These are the ones of `git rev-parse --local-env-vars`, a receiving repository's, and those
/// that change the meaning of a path. What is left in place says where the user's own settings
/// are and how far a repository is looked for: `GIT_CONFIG_GLOBAL`, `GIT_CONFIG_SYSTEM`,
/// `GIT_CONFIG_NOSYSTEM`, `GIT_CEILING_DIRECTORIES`, `GIT_DISCOVERY_ACROSS_FILESYSTEM`, who commits
/// (`GIT_AUTHOR_*`, `GIT_COMMITTER_*`), and `GIT_CONFIG_COUNT`, by which containers give settings
/// such as `safe.directory`; git itself never sets that one, and our `-c` win over it.
pub(super) const FOREIGN_VARIABLES: [&str; 22] = [
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    // What `git -c` was given for one command.
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    // With it set, no branch can be moved.
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_REFLOG_ACTION",
    "GIT_ATTR_SOURCE",
    // Not to be had together with literal paths.
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
];

const OUR_VARIABLES: [(&str, &str); 5] = [
    // Messages are read.
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // `status` writes no index.
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    // What a partial clone has not fetched is not fetched for us.
    ("GIT_NO_LAZY_FETCH", "1"),
];

/// Who calls git, and where.
#[derive(Debug, Clone)]
pub(super) struct Caller<'a> {
    git: Git<'a>,
    dir: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(git: &Git<'a>) -> Self {
        Self { git: *git, dir: git.root.into(), environment: Vec::new() }
    }

    /// The directory that calls are made in.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same in another directory.
    pub(super) fn at(&self, dir: &Path) -> Self {
        Self { dir: dir.into(), ..self.clone() }
    }

    /// The same with variables of its own.
    pub(super) fn with(
        &self,
        variables: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> Self {
        let mut caller = self.clone();
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value));
        caller.environment.extend(variables);
        caller
    }

    pub(super) fn call(&self, verb: &'static str) -> Call<'_> {
        Call { caller: self, verb, setting: None, args: Vec::new(), input: Vec::new(), held: None }
    }
}

/// A call that is being put together.
#[derive(Debug)]
pub(super) struct Call<'a> {
    caller: &'a Caller<'a>,
    verb: &'static str,
    setting: Option<&'static str>,
    args: Vec<OsString>,
    input: Vec<u8>,
    held: Option<&'a File>,
}

impl<'a> Call<'a> {
    /// A setting for this call alone.
    pub(super) fn setting(self, setting: &'static str) -> Self {
        Self { setting: Some(setting), ..self }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    pub(super) fn args<'b>(mut self, args: impl IntoIterator<Item = &'b str>) -> Self {
        self.args.extend(args.into_iter().map(OsString::from));
        self
    }

    /// What it reads from standard input.
    pub(super) fn input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// A file that it holds open for as long as it lives, instead of reading anything.
    pub(super) fn holding(self, held: &'a File) -> Self {
        Self { held: Some(held), ..self }
    }

    /// Makes the call, whatever its status.
    pub(super) fn end(self) -> Result<Answer, GitError> {
        let Caller { git, dir, environment } = self.caller;
        let mut command = Command::new("git");
        command.current_dir(dir);
        for setting in SETTINGS.into_iter().chain(self.setting) {
            command.args(["-c", setting]);
        }
        command.arg(self.verb).args(&self.args);
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command.envs(OUR_VARIABLES).envs(environment.iter().map(|(name, value)| (name, value)));
        let ended = match self.held {
            Some(held) => process::ask_holding(&mut command, held, git.timeout, git.interrupt),
            None => process::ask(&mut command, &self.input, git.timeout, git.interrupt),
        };
        ended.map_err(|source| GitError::Run { verb: self.verb, source })
    }

    /// Makes the call and returns what it wrote to standard output.
    pub(super) fn answer(self) -> Result<Vec<u8>, GitError> {
        let verb = self.verb;
        let answer = self.end()?;
        if answer.status.success() { Ok(answer.output) } else { Err(refusal(verb, &answer)) }
    }

    /// The same for an answer that is the name of an object.
    pub(super) fn oid(self) -> Result<String, GitError> {
        let verb = self.verb;
        let answer = self.answer()?;
        let text = String::from_utf8_lossy(answer.trim_ascii());
        if text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text.into_owned());
        }
        Err(GitError::Refused { verb, output: format!("no object name: {text}") })
    }
}

/// What a call that failed means: somebody holds a lock, or git said no.
pub(super) fn refusal(verb: &'static str, answer: &Answer) -> GitError {
    if let Some(lock) = held_lock(&answer.errors) {
        return lock_error(lock);
    }
    let output = match answer.errors.trim() {
        "" => answer.status.to_string(),
        errors => errors.into(),
    };
    GitError::Refused { verb, output }
}

/// The lock in `fatal: Unable to create '/repo/.git/index.lock': File exists.`
fn held_lock(errors: &str) -> Option<PathBuf> {
    let (before, _) = errors.split_once("': File exists")?;
    let (_, path) = before.rsplit_once("Unable to create '")?;
    path.ends_with(".lock").then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_told_from_another_refusal() {
        let held =
            "warning: x\nfatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother";
        assert_eq!(held_lock(held), Some("/r/.git/index.lock".into()));
        assert_eq!(
            held_lock("fatal: Unable to create '/r/.git/index.lock': Permission denied"),
            None
        );
        assert_eq!(held_lock("fatal: could not create '/r/x': File exists"), None);
    }
}
