//! Programs of ours that do what is hard to bear: `suites/guests/*.c`, and those with another allocator.

use std::fs::{self, File};
use std::mem::{offset_of, size_of};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use tempfile::TempDir;
use watertight_suites::guest::WORKED;

use crate::preload::Agent;
use crate::preload::table::{Fd, REGION_ENDING, Region};
use crate::twice::{TRIAL, plain, same, success, terminated};

/// A guest as a program; the directory is its own, and gone with it.
struct Guest {
    directory: TempDir,
}

impl Guest {
    /// Compiles `guests/NAME.c`. C, because most of it is undefined in other languages; without builtins,
    /// because a malloc and its free are otherwise nothing to the compiler.
    fn new(name: &str, options: &[&str]) -> Result<Self, String> {
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name).with_extension("c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-O1", "-fno-builtin", "-pthread"]).args(options).arg(source).arg("-o");
        let output = command
            .arg(directory.path().join("guest"))
            .output()
            .map_err(|error| format!("{command:?}: {error}; install a C compiler or set CC"))?;
        match output.status.success() {
            true => Ok(Self { directory }),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("guest")
    }

    /// Its environment is ours alone: one prints it.
    fn command(&self) -> Command {
        let mut command = Command::new(self.path());
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/")
            .env("TZ", "UTC")
            .current_dir(self.directory.path());
        command
    }
}

fn is_the_same(name: &str, meant: fn(ExitStatus) -> bool) {
    let guest = Guest::new(name, &[]).expect("the guest compiles");
    same(|| guest.command(), meant);
}

macro_rules! guests {
    ($($name:ident ends $meant:ident;)*) => {
        $(#[test]
        fn $name() {
            is_the_same(stringify!($name), $meant);
        })*
    };
}

guests! {
    descriptors ends success;
    environment ends success;
    forks ends success;
    mappings ends success;
    memory ends success;
    modules ends success;
    sandbox ends success;
    signals ends terminated;
    spawns ends success;
    stacks ends success;
    threads ends success;
}

/// What the child of a vfork does to its descriptors, it does not do to its parent's: the table that both
/// write to still knows the one that is open.
#[test]
fn vfork() {
    is_the_same("vfork", success);
    const KEPT: usize = 50;
    let guest = Guest::new("vfork", &[]).expect("the guest compiles");
    let agent = Agent::find();
    let table = agent.table(TRIAL);
    let mut command = guest.command();
    table.preload(&mut command);
    assert!(command.stdout(Stdio::piped()).output().expect("it starts").status.success());
    // The shell has a region of its own, in which nothing is known of that number.
    let directory = table.region();
    let regions = fs::read_dir(directory.parent().expect("a directory")).expect("regions");
    let knows = |path: &Path| {
        let at = offset_of!(Region, fds) + KEPT * size_of::<Fd>() + offset_of!(Fd, kind);
        let mut kind = [0; 4];
        let file = File::open(path).expect("a region");
        file.read_exact_at(&mut kind, at as u64).is_ok() && kind != [0; 4]
    };
    let paths = regions.filter_map(|entry| Some(entry.ok()?.path()));
    let of_regions = |path: &PathBuf| path.to_string_lossy().ends_with(REGION_ENDING);
    assert_eq!(paths.filter(of_regions).filter(|path| knows(path)).count(), 1);
}

/// A static program takes no agent, and its environment is nobody's business.
#[test]
fn static_program() {
    let guest = match Guest::new("mappings", &["-static"]) {
        Ok(guest) => guest,
        Err(reason) => return println!("skipped: no static program can be linked here: {reason}"),
    };
    let expected = plain(guest.command());
    let shell = || {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\""]).arg(guest.path());
        command
    };
    assert_eq!(same(shell, success).out, expected.out);
}

#[test]
fn other_allocators() {
    for program in [env!("CARGO_BIN_EXE_guest-jemalloc"), env!("CARGO_BIN_EXE_guest-mimalloc")] {
        let command = || {
            let mut command = Command::new(program);
            command.arg("work");
            command
        };
        assert_eq!(same(command, success).out.trim(), WORKED.to_string());
    }
}
