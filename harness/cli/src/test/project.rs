//! The project that cargo is about to test: where its target folder is, and who runs its test binaries.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::exit::Usage;
use crate::ledgers;

/// What must be known of it.
pub(super) struct Project {
    pub(super) target_directory: PathBuf,
    /// The id of the run that begins.
    pub(super) run: String,
    /// The user's own target runner, word by word.
    pub(super) runner: Vec<String>,
    /// The variables by which cargo is told another one, for each target that is built.
    pub(super) runner_variables: Vec<String>,
}

/// The part of `cargo metadata` that is used.
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

impl Project {
    /// Asks cargo, with the arguments that it is going to have.
    pub(super) fn find(arguments: &[OsString]) -> anyhow::Result<Self> {
        let own: Vec<&OsStr> =
            arguments.iter().map(OsString::as_os_str).take_while(|word| *word != "--").collect();
        if values(&own, "--config").any(|value| value.contains("runner")) {
            bail!(Usage(
                "a target runner in `--config` hides ours from cargo; name it in .cargo/config.toml or in CARGO_TARGET_<TRIPLE>_RUNNER, it is then run as well".to_owned()
            ));
        }
        let config = cargo_config2::Config::load().context("cargo's configuration")?;
        let chosen: Vec<String> = values(&own, "--target").collect();
        let targets = config.build_target_for_cli(&chosen).context("cargo's build target")?;
        let host = config.host_triple().context("rustc")?.to_owned();
        let tested = targets.first().unwrap_or(&host);
        let runner = config.runner(tested.as_str()).context("cargo's target runner")?;
        let words = runner.map(|runner| {
            let arguments = runner.args.iter().map(|word| word.to_string_lossy().into_owned());
            let path = runner.path.to_string_lossy().into_owned();
            std::iter::once(path).chain(arguments).collect()
        });
        let mut runner_variables: Vec<String> =
            targets.iter().chain([&host]).map(|triple| variable(triple)).collect();
        runner_variables.sort_unstable();
        runner_variables.dedup();
        let target_directory = match values(&own, "--target-dir").last() {
            Some(directory) => std::path::absolute(directory)?,
            None => target_directory(values(&own, "--manifest-path").last())?,
        };
        Ok(Self {
            target_directory,
            run: ledgers::run_id(),
            runner: words.unwrap_or_default(),
            runner_variables,
        })
    }
}

/// cargo, as it names itself to its subcommands.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn target_directory(manifest: Option<String>) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    if let Some(manifest) = manifest {
        command.args(["--manifest-path", &manifest]);
    }
    let output = command.output().context("cargo metadata")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(Usage(said.trim().trim_start_matches("error: ").to_owned()));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(metadata.target_directory)
}

/// `CARGO_TARGET_<TRIPLE>_RUNNER` (the Cargo book, "Configuration").
fn variable(triple: &str) -> String {
    let triple = triple.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{triple}_RUNNER")
}

/// The values of an option, in both spellings.
fn values<'a>(words: &'a [&OsStr], option: &'a str) -> impl Iterator<Item = String> + 'a {
    words.iter().enumerate().filter_map(move |(at, word)| {
        let word = word.to_str()?;
        if word == option {
            return words.get(at + 1)?.to_str().map(str::to_owned);
        }
        word.strip_prefix(option)?.strip_prefix('=').map(str::to_owned)
    })
}

/// The options that say how a project is built, as a shell takes them: to run one of its tests again they must
/// be there again.
pub(super) fn options(arguments: &[OsString]) -> Vec<String> {
    const FLAGS: [&str; 4] = ["--all-features", "--no-default-features", "--release", "-r"];
    const VALUED: [&str; 10] = [
        "--features",
        "-F",
        "--profile",
        "--cargo-profile",
        "--target",
        "--target-dir",
        "--manifest-path",
        "--config",
        "--lockfile-path",
        "-Z",
    ];
    let mut options = Vec::new();
    let mut words =
        arguments.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        let is_joined = word.contains('=');
        if FLAGS.contains(&&*word) || is_joined && VALUED.contains(&name) {
            options.push(word.replacen("--cargo-profile", "--profile", 1));
        } else if VALUED.contains(&&*word) {
            options.push(word.replacen("--cargo-profile", "--profile", 1));
            options.extend(words.next().map(Cow::into_owned));
        }
    }
    let quoted = options.iter().filter_map(|option| shlex::try_quote(option).ok());
    quoted.map(Cow::into_owned).collect()
}

/// Which part of the tests nextest is told to run: `--partition hash:1/3`, `count:` or `slice:` alike.
pub(super) fn shard(arguments: &[OsString]) -> Option<String> {
    let words: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let partition = values(&words, "--partition").last()?;
    partition.split_once(':').map(|(_, shard)| shard.to_owned())
}

/// This program as a target runner. Cargo splits the variable at spaces, so that a path with one is
/// reached by a link without.
pub(super) struct OwnRunner {
    pub(super) command: OsString,
    link: Option<tempfile::TempDir>,
}

impl OwnRunner {
    pub(super) fn new(verb: &str) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program's own file")?;
        let has_space = own.to_string_lossy().contains(char::is_whitespace);
        let link =
            has_space.then(|| tempfile::tempdir().context("a temporary directory")).transpose()?;
        let path = match &link {
            Some(directory) => {
                let path = directory.path().join("cargo-watertight");
                symlink(&own, &path).context("a link without spaces to this program")?;
                path
            }
            None => own,
        };
        let mut command = path.into_os_string();
        command.push(" ");
        command.push(verb);
        Ok(Self { command, link })
    }
}

impl Drop for OwnRunner {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            // The system clears its temporary directory some day.
            let _ = link.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_are_found_in_both_spellings() {
        let own = words("-p a --target x --target=y --targets z");
        let own: Vec<&OsStr> = own.iter().map(OsString::as_os_str).collect();
        assert_eq!(values(&own, "--target").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn a_partition_is_a_shard() {
        assert_eq!(shard(&words("run --partition hash:2/5")).as_deref(), Some("2/5"));
        assert_eq!(shard(&words("--partition=slice:1/3")).as_deref(), Some("1/3"));
        assert_eq!(shard(&words("-p a")), None);
    }

    #[test]
    fn what_a_build_needs_is_kept() {
        let kept =
            options(&words("-p a --features x,y -E test(a) --release --target=t -- --exact b"));
        assert_eq!(kept, ["--features", "'x,y'", "--release", "'--target=t'"]);
        assert_eq!(options(&words("run --cargo-profile ci")), ["--profile", "ci"]);
    }

    #[test]
    fn the_variable_is_cargos() {
        let expected = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
        assert_eq!(variable("x86_64-unknown-linux-gnu"), expected);
    }
}
