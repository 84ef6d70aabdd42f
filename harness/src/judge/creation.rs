//! Where a thing was made, and what its stack says of how long it is meant to live.

use watertight_report::model::Frame;

/// Whether a function, by its demangled name, runs what it is given once in a process.
pub(crate) fn is_once_initialiser(function: &str) -> bool {
    const ONCE: [&str; 15] = [
        "sync::once::Once::call",
        "sync::poison::once::Once::call",
        "sync::once_lock::OnceLock",
        "sync::lazy_lock::LazyLock",
        "once_cell::",
        "lazy_static::",
        "pthread_once",
        "sys::sync::once::",
        // One handler for each signal, for good, which passes the signal on to whoever asks.
        "tokio::signal::",
        "signal_hook_registry::",
        // Threads of the whole process, started by whoever comes first: a pool, a reaper, a reactor, a timer.
        "blocking::Executor::",
        "async_process::Reaper::start_driver_thread",
        "async_io::driver::",
        "futures_timer::native::global::",
        // What std reads of each object to name a panic's frames, it keeps.
        "backtrace_rs::",
    ];
    ONCE.iter().any(|once| function.contains(once))
}

/// Where a thing was made, as the symboliser tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Creation {
    pub(crate) site: Option<Frame>,
    pub(crate) via: Option<Frame>,
    pub(crate) stack: Vec<Frame>,
}

impl Creation {
    /// A line that is known without a stack.
    pub(crate) fn at(site: Frame) -> Self {
        Self { site: Some(site), ..Self::default() }
    }

    /// Things made under one key are one finding.
    pub(super) fn key(&self) -> String {
        match &self.site {
            Some(site) => format!("{}:{}", site.file, site.line),
            None => {
                self.stack.iter().map(|frame| frame.function.as_str()).collect::<Vec<_>>().join("<")
            }
        }
    }

    /// Whether the stack passes through a once-initialiser: such a thing is made once in a process.
    pub(crate) fn is_once(&self) -> bool {
        self.stack.iter().any(|frame| is_once_initialiser(&frame.function))
    }

    /// Whether it was made in a test: below the frame in which libtest runs it, or where a person's line is on
    /// the stack. The program's own start and libtest have only `main`.
    pub(crate) fn is_of_test(&self) -> bool {
        const RUNS: &str = "test::__rust_begin_short_backtrace";
        let below = self.stack.iter().any(|frame| frame.function.starts_with(RUNS));
        below
            || self
                .site
                .as_ref()
                .is_some_and(|site| site.function.rsplit("::").next() != Some("main"))
    }

    /// Whether std has allocated it to print a panic: it keeps what it has read of the program's names.
    pub(crate) fn is_of_panic(&self) -> bool {
        self.stack.iter().any(|frame| frame.function.contains("backtrace_rs::"))
    }

    /// The function of the C library that keeps what is allocated on this stack for good and by design:
    /// setenv(3) cannot know who still holds the old value.
    pub(crate) fn known_keeper(&self) -> Option<&str> {
        const KEEPERS: [&str; 3] = ["setenv", "putenv", "__add_to_environ"];
        let inner = self.stack.iter().take_while(|frame| Some(*frame) != self.site.as_ref());
        let mut names = inner.into_iter().map(|frame| frame.function.as_str());
        names.find(|name| KEEPERS.contains(name))
    }

    /// Whether the stack is that of a tokio task being made: its cell is allocated below the spawn. A
    /// stack of code that *runs* in a task passes through the runtime further out.
    pub(super) fn is_task(&self) -> bool {
        const MADE: [&str; 4] =
            ["task::new_task", "RawTask::new", "task::core::Cell", "task::raw::RawTask"];
        let inner = self.stack.iter().take_while(|frame| Some(*frame) != self.site.as_ref());
        inner.into_iter().any(|frame| MADE.iter().any(|made| frame.function.contains(made)))
    }
}
