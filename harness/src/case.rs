//! A case: a body, and what its author declares about it.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight_report::model::Resource;

use crate::config::Severity;
use crate::context::Context;
use crate::failed::Failed;

/// Rounds when a case declares none: a bounded cache has been seen to need 8 until it was full.
pub(crate) const ROUNDS_MAX: u32 = 12;
/// Time for one trial when neither case nor suite declares any. A hang must end, a slow test must not.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

type SyncBody = dyn Fn(&Context) -> Result<(), Failed> + Send + Sync;

#[cfg(feature = "tokio")]
type AsyncBody = dyn for<'a> Fn(&'a Context) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failed>> + 'a>>
    + Send
    + Sync;

/// What a round runs.
pub(crate) enum Body {
    Sync(Box<SyncBody>),
    #[cfg(feature = "tokio")]
    Async {
        body: Box<AsyncBody>,
        /// Worker threads; 0 for a runtime on the test's own thread.
        workers: usize,
    },
}

/// Where a case's sockets live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Net {
    /// In a network namespace of the trial's own, where the kernel allows it.
    #[default]
    Private,
    /// In the machine's network.
    Host,
}

/// What a case may grow by, a round, without failing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Things or bytes a round, by resource.
    pub(crate) allowed: BTreeMap<Resource, u64>,
    /// Ceiling on peak resident memory, in bytes.
    pub(crate) rss_max: Option<u64>,
}

impl Budget {
    /// Allowed growth of `resource` in one round: things, or bytes for heap.
    pub(crate) fn allowed(&self, resource: Resource) -> u64 {
        self.allowed.get(&resource).copied().unwrap_or(match resource {
            Resource::TimeWait => TIME_WAIT_BUDGET,
            _ => 0,
        })
    }
}

/// Port pairs in TIME_WAIT that one round may leave. They hold no descriptor and no process and
/// leave by themselves after a minute, so a few are nobody's fault.
pub(crate) const TIME_WAIT_BUDGET: u64 = 8;

/// A declared test.
///
/// ```
/// use watertight::Case;
/// let case = Case::new("reads_a_file", |_cx| {
///     std::fs::read_to_string("/proc/self/stat")?;
///     Ok(())
/// })
/// .rounds(3);
/// ```
#[must_use]
pub struct Case {
    pub(crate) name: String,
    pub(crate) body: Body,
    pub(crate) rounds: Option<u32>,
    pub(crate) net: Option<Net>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) budget: Budget,
    /// How long to wait for what may still be released; the configuration's, as the next two.
    pub(crate) settle: Option<Duration>,
    pub(crate) unmeasured: Severity,
    pub(crate) unsettled: Severity,
    pub(crate) ignored: bool,
    pub(crate) should_panic: Option<ShouldPanic>,
    /// Directory of the package under test: sites are looked for there first.
    pub(crate) package: Option<&'static str>,
    /// A case of the harness's own, known by a number instead of its name.
    pub(crate) special: Option<u32>,
}

/// That the body must panic, and with what.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShouldPanic {
    pub(crate) expected: Option<String>,
}

impl Case {
    /// A case named `name` that runs `body` once a round.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(&Context) -> Result<(), Failed> + Send + Sync + 'static,
    ) -> Self {
        Self::with_body(name.into(), Body::Sync(Box::new(body)))
    }

    /// A case whose body is a future, run on a tokio runtime that the harness owns and whose tasks it
    /// counts. `workers` is the number of worker threads, 0 for a runtime on the test's own thread.
    #[cfg(feature = "tokio")]
    pub fn new_async<F>(name: impl Into<String>, workers: usize, body: F) -> Self
    where
        F: for<'a> Fn(
                &'a Context,
            )
                -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failed>> + 'a>>
            + Send
            + Sync
            + 'static,
    {
        Self::with_body(name.into(), Body::Async { body: Box::new(body), workers })
    }

    fn with_body(name: String, body: Body) -> Self {
        Self {
            name,
            body,
            rounds: None,
            net: None,
            deadline: None,
            budget: Budget::default(),
            settle: None,
            unmeasured: Severity::default(),
            unsettled: Severity::default(),
            ignored: false,
            should_panic: None,
            package: None,
            special: None,
        }
    }

    /// At most this many rounds. With 1 the body cannot be repeated: what its first run leaves
    /// decides, except what a once-initialiser made; heap is listed and fails only over a budget.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = Some(rounds.max(1));
        self
    }

    /// Where the case's sockets live.
    pub fn net(mut self, net: Net) -> Self {
        self.net = Some(net);
        self
    }

    /// Time for the whole trial; afterwards it is ended and its outcome is `timed_out`.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Growth of `resource` that one round may leave: things, or bytes for [`Resource::Heap`].
    pub fn allow(mut self, resource: Resource, growth: u64) -> Self {
        self.budget.allowed.insert(resource, growth);
        self
    }

    /// Ceiling on the test process's peak resident memory, in bytes.
    pub fn rss_max(mut self, bytes: u64) -> Self {
        self.budget.rss_max = Some(bytes);
        self
    }

    /// Run only with `--ignored` or `--include-ignored`.
    pub fn ignore(mut self) -> Self {
        self.ignored = true;
        self
    }

    /// The body must panic; with `expected`, its message must contain it.
    pub fn should_panic(mut self, expected: Option<&str>) -> Self {
        self.should_panic = Some(ShouldPanic { expected: expected.map(str::to_owned) });
        self
    }

    /// Directory of the package under test. The attribute macro fills it in.
    pub fn package(mut self, directory: &'static str) -> Self {
        self.package = Some(directory);
        self
    }
}
