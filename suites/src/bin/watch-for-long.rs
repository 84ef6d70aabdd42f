//! A program is looked at so often that most of what a watch keeps of it is full. Run by
//! `tests/watching/memory.rs`.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use watertight::watch::{Look, Settings, Watch};
use watertight::{Case, Context, Failed, Resource, Suite};

/// In a round: twice what a series keeps. What is dear to read is read less often, and fills later.
const LOOKS: usize = 2048;
/// Ten series of 2,048 samples of 24 bytes, and some censuses, in all rounds together.
const HEAP_MAX: u64 = 640 << 10;
/// The whole process with the watch in it.
const RSS_MAX: u64 = 64 << 20;

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);
static LOOKED: Mutex<Vec<Look>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let case = |name: &str, body: fn(&Context) -> Result<(), Failed>| {
        Case::new(name, body)
            .package(env!("CARGO_MANIFEST_DIR"))
            .allow(Resource::Heap, HEAP_MAX)
            .rss_max(RSS_MAX)
    };
    Suite::new("watch-for-long")
        .case(case("looks", |_cx| look(drop)))
        .case(case("looks_and_keeps", |_cx| {
            look(|look| LOOKED.lock().unwrap_or_else(PoisonError::into_inner).push(look)) // LEAK
        }))
        .main()
}

/// Looks at this very process, which has nothing that changes but what the watch keeps of it.
fn look(mut keep: impl FnMut(Look)) -> Result<(), Failed> {
    let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
    let watch = match &mut *watch {
        Some(watch) => watch,
        none => none.insert(Watch::of(std::process::id(), Settings::default())?),
    };
    for _ in 0..LOOKS {
        watch.tick(1);
        keep(watch.look());
    }
    Ok(())
}
