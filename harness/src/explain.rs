//! From stack numbers to creation sites.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use watertight_report::model::Frame;

use crate::judge::{Creation, HeapGroup};
use crate::region::{LiveStack, RegionMap};
use crate::run::Run;
use crate::symbol::{LoadedModule, Project, Symbol, Symbolizer, Value, package_of};

/// What made a block.
pub(crate) struct Made {
    /// The call of the user's line into the library.
    pub(crate) by: String,
    /// The user's line, where it is known.
    pub(crate) site: Option<Frame>,
    /// What it made, where that is told.
    pub(crate) value: Option<Value>,
}

/// Names the stacks of one trial's processes.
pub(crate) struct Namer<'a> {
    /// Whose names these are; none for a program that is watched.
    run: Option<&'a Run>,
    /// None for one that names nothing.
    symbols: Option<&'a Mutex<Symbolizer>>,
    project: Project,
    /// The test binary.
    program: PathBuf,
    /// Whether a function of the program is a site where no line is known: nobody has told us what is its own.
    by_function: bool,
}

impl<'a> Namer<'a> {
    /// Sites are looked for in `package` first.
    pub(crate) fn new(run: &'a Run, package: &Path) -> Self {
        Self {
            run: Some(run),
            symbols: Some(&run.symbols),
            project: Project::of(package).tested_by(&run.subjects.program),
            program: run.subjects.program.clone(),
            by_function: false,
        }
    }

    /// Sites are looked for in the package that the program's `main` is in, as its stacks tell: nobody else
    /// has told us the project of a program that runs.
    pub(crate) fn of_program(
        symbols: &'a Mutex<Symbolizer>,
        region: &RegionMap,
        program: &Path,
        stacks: &[u32],
    ) -> Self {
        let modules = region.modules(program);
        let mut symbolizer = symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let named = stacks.iter().map(|stack| symbolizer.name(&modules, &region.stack(*stack)));
        let package = package_of(named).unwrap_or_else(|| program.to_owned());
        drop(symbolizer);
        let project = Project::of(&package).tested_by(program);
        Self {
            run: None,
            symbols: Some(symbols),
            project,
            program: program.to_owned(),
            by_function: true,
        }
    }

    /// Names nothing: for whoever wants to know only that something is there.
    pub(crate) fn silent() -> Self {
        let project = Project::of(Path::new("/"));
        Self { run: None, symbols: None, project, program: PathBuf::new(), by_function: false }
    }

    /// Where stack `id` of the test's own process was made.
    pub(crate) fn own(&self, region: Option<&RegionMap>, id: u32) -> Option<Creation> {
        self.creation(region?, &self.program, id)
    }

    /// Where stack `id` of a process was made; none where no stack was taken.
    pub(crate) fn creation(&self, region: &RegionMap, program: &Path, id: u32) -> Option<Creation> {
        let symbols = self.symbols?;
        let addresses = region.stack(id);
        if addresses.is_empty() {
            return None;
        }
        let modules = region.modules(program);
        let stack =
            symbols.lock().unwrap_or_else(PoisonError::into_inner).name(&modules, &addresses);
        let site = self.project.site(&stack);
        let function = || self.function(&modules, &addresses);
        let frame = |at: usize| stack.get(at).map(|symbol| self.frame(symbol));
        Some(Creation {
            site: site.site.and_then(frame).or_else(function),
            via: site.via.and_then(frame),
            stack: stack.iter().map(|symbol| self.frame(symbol)).collect(),
        })
    }

    /// Why holders cannot be told in this run.
    pub(crate) fn holders_blind(&self) -> Option<&str> {
        self.run.and_then(Run::holders_blind)
    }

    /// The symbols, while they are asked for; none for one that names nothing.
    pub(crate) fn symbols(&self) -> Option<MutexGuard<'a, Symbolizer>> {
        Some(self.symbols?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A line as it is shown.
    pub(crate) fn place(&self, file: &Path, line: u32) -> Frame {
        Frame::new(self.project.shown(file).to_string_lossy(), line, "")
    }

    /// The call that made what stack `id` made: that of the user's line into the library, and the line. None
    /// where no stack was taken.
    pub(crate) fn made(&self, region: &RegionMap, program: &Path, id: u32) -> Option<Made> {
        let addresses = region.stack(id);
        let modules = region.modules(program);
        let mut symbols = self.symbols().filter(|_| !addresses.is_empty())?;
        let stack = symbols.name(&modules, &addresses);
        let site = self.project.site(&stack);
        let made_by = made_by(&stack, site.via.or(site.site));
        let frame = frame_at(&mut symbols, &modules, &addresses, made_by);
        let by = frame.and_then(|(address, nth)| symbols.call(&modules, address, nth));
        Some(Made {
            by: by.unwrap_or_default(),
            site: site.site.map(|at| self.frame(&stack[at])),
            value: frame.and_then(|(address, nth)| symbols.constructed(&modules, address, nth)),
        })
    }

    /// The innermost function of the program itself, by its symbol; `main` only where there is no other.
    fn function(&self, modules: &[LoadedModule], addresses: &[u64]) -> Option<Frame> {
        let symbols = self.symbols.filter(|_| self.by_function)?;
        let mut symbols = symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let own: Vec<LoadedModule> =
            modules.iter().filter(|module| module.path == self.program).cloned().collect();
        let named: Vec<String> =
            addresses.iter().filter_map(|address| symbols.function(&own, *address)).collect();
        let is_entry = |function: &&String| ["main", "_start"].contains(&function.as_str());
        let inner = named.iter().find(|function| !is_entry(function));
        let function = inner.or_else(|| named.iter().find(|function| *function == "main"))?;
        Some(Frame::new("", 0, function.as_str()))
    }

    pub(crate) fn frame(&self, symbol: &Symbol) -> Frame {
        let file = symbol
            .file
            .as_deref()
            .map(|file| self.project.shown(file).to_string_lossy().into_owned());
        Frame::new(file.unwrap_or_default(), symbol.line, symbol.function.clone())
    }

    /// What lives of each stack at each boundary, put together by creation site. Only what has grown
    /// since the first round is named: that is all a leak can be.
    pub(crate) fn heap_groups(
        &self,
        region: &RegionMap,
        boundaries: &[HashMap<u32, LiveStack>],
    ) -> Vec<HeapGroup> {
        let (Some(warm), Some(last)) = (boundaries.get(1), boundaries.last()) else {
            return Vec::new();
        };
        let grown = |id: &u32| {
            let (now, before) = (last[id], warm.get(id).copied().unwrap_or_default());
            (now.bytes > before.bytes || now.blocks > before.blocks)
                .then_some(now.bytes - before.bytes)
        };
        let mut stacks: Vec<(i64, u32)> =
            last.keys().filter_map(|id| Some((grown(id)?, *id))).collect();
        // The largest first: its stack is the one that is shown.
        stacks.sort_by_key(|(bytes, id)| (std::cmp::Reverse(*bytes), *id));
        let mut groups: Vec<(String, HeapGroup)> = Vec::new();
        for (_, id) in stacks {
            let creation = self.own(Some(region), id).unwrap_or_default();
            let key = match &creation.site {
                Some(site) => format!("{}:{}", site.file, site.line),
                None => format!("stack {id}"),
            };
            let at = groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                let empty = vec![0; boundaries.len()];
                let group = HeapGroup {
                    creation,
                    blocks: empty.clone(),
                    bytes: empty,
                    ..HeapGroup::default()
                };
                groups.push((key, group));
                groups.len() - 1
            });
            let group = &mut groups[at].1;
            group.stacks.push(id);
            for (at, live) in boundaries.iter().enumerate() {
                let live = live.get(&id).copied().unwrap_or_default();
                group.blocks[at] += live.blocks;
                group.bytes[at] += live.bytes;
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// The call that the user's line makes, `user` being the innermost frame of the user's: the outermost one
/// below it that is more than a passage; where there is none, the function that allocates itself.
fn made_by(stack: &[Symbol], user: Option<usize>) -> usize {
    let below = &stack[..user.unwrap_or(0)];
    let called = below.iter().rposition(|symbol| !symbol.is_passage());
    called.or(user).unwrap_or(0)
}

/// The return address that frame `at` of a stack belongs to, and which of the frames there it is.
fn frame_at(
    symbols: &mut Symbolizer,
    modules: &[LoadedModule],
    addresses: &[u64],
    at: usize,
) -> Option<(u64, usize)> {
    let mut first = 0;
    for address in addresses {
        let frames = symbols.name(modules, &[*address]).len();
        if at < first + frames {
            return Some((*address, at - first));
        }
        first += frames;
    }
    None
}
