//! `tracker daemon logs`: the end of the log, and what is added to it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::json;

use super::args::Logs;
use crate::cli::output::{Output, Trouble};
use crate::daemon::FileId;
use crate::daemon::control::{self, State};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::paths::Workspace;

/// How long a follower sleeps if the kernel tells it of nothing.
const LOOK_AGAIN_MS: u16 = 1000;
/// The same where the kernel will not tell, because the user's watches are used up.
const LOOK_AGAIN_BLIND_MS: u16 = 250;

pub(super) fn run(workspace: &Workspace, logs: &Logs, out: &mut Output) -> Result<Exit, Trouble> {
    let mut log = match Following::open(workspace.log()) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_log(&error).into()),
        Err(error) => return Err(unreadable(&workspace.log(), &error).into()),
    };
    // Watched before it is read: nothing comes in between.
    let watch = logs.follow.then(|| Watch::new(workspace));
    let aside = fs::read(workspace.log_aside()).unwrap_or_default();
    let written = log.rest().map_err(|error| unreadable(&log.path, &error))?;
    let all: Vec<_> = text(&aside).chain(text(&written)).collect();
    let last = &all[all.len().saturating_sub(logs.lines)..];
    let Some(watch) = watch else {
        out.print(&json!({ "lines": last }), |_| last.join("\n"))?;
        return Ok(Exit::Ok);
    };
    for line in last {
        print(out, line)?;
    }
    loop {
        // Asked before the rest is read, so that a daemon's last words are not missed.
        let is_running = control::state(workspace)? != State::Stopped;
        let added = log.added().map_err(|error| unreadable(&log.path, &error))?;
        for line in text(&added) {
            print(out, &line)?;
        }
        if !is_running {
            return Ok(Exit::Ok);
        }
        if added.is_empty() && watch.wait()? == Woken::NobodyReads {
            return Err(Trouble::ClosedPipe);
        }
    }
}

/// Prints a line while more may follow; as JSON a string, so that every line is a value.
fn print(out: &mut Output, line: &str) -> Result<(), Trouble> {
    out.print(&line, |line| (*line).to_owned())
}

fn text(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes.lines().map_while(Result::ok)
}

/// A log that is read to its end, again and again, also when it is put aside meanwhile.
struct Following {
    path: PathBuf,
    file: BufReader<File>,
}

impl Following {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = BufReader::new(File::open(&path)?);
        Ok(Self { path, file })
    }

    /// What was not read yet.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The same, and what stands in the file that has taken its place.
    fn added(&mut self) -> io::Result<Vec<u8>> {
        let is_put_aside = FileId::of(&self.path).is_ok_and(|named| {
            FileId::of_open(self.file.get_ref()).is_ok_and(|ours| ours != named)
        });
        // After that: what was written before it was put aside is read in any case.
        let mut added = self.rest()?;
        if is_put_aside {
            *self = Self::open(self.path.clone())?;
            added.extend(self.rest()?);
        }
        Ok(added)
    }
}

/// Wakes when something in the directory of the log changes, or nobody reads us any more.
struct Watch(Option<Inotify>);

#[derive(PartialEq, Eq)]
enum Woken {
    ToLookAgain,
    NobodyReads,
}

impl Watch {
    fn new(workspace: &Workspace) -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF;
        let watch = Inotify::init(flags)
            .and_then(|inotify| inotify.add_watch(&workspace.run_dir(), events).map(|_| inotify));
        Self(watch.ok())
    }

    fn wait(&self) -> io::Result<Woken> {
        let stdout = io::stdout();
        // Asked for nothing, a pipe says only that its other end is gone.
        let mut polled = vec![PollFd::new(stdout.as_fd(), PollFlags::empty())];
        polled.extend(self.0.iter().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
        let patience = if self.0.is_some() { LOOK_AGAIN_MS } else { LOOK_AGAIN_BLIND_MS };
        match poll(&mut polled, PollTimeout::from(patience)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if polled[0].any() == Some(true) {
            return Ok(Woken::NobodyReads);
        }
        // What exactly has happened does not matter; unread it would wake us for ever.
        while self.0.as_ref().is_some_and(|watch| watch.read_events().is_ok()) {}
        Ok(Woken::ToLookAgain)
    }
}

fn no_log(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        "no_log",
        format!("there is no log here: {error}"),
        "`tracker daemon start` writes one; one that runs under systemd has it in `journalctl --user`",
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let what = format!("{}: {error}", path.display());
    Failure::new(Exit::Failure, "io", what, "check the path and its permissions")
}
