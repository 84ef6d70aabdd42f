//! From stack numbers to creation sites.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use watertight_report::model::Frame;

use crate::judge::{Creation, HeapGroup};
use crate::region::{LiveBlock, RegionMap};
use crate::symbol::{Project, Symbol, Symbolizer};

/// Names the stacks of one trial's processes.
pub(crate) struct Namer<'a> {
    /// None for one that names nothing.
    symbols: Option<&'a Mutex<Symbolizer>>,
    project: Project,
    /// The test binary.
    program: PathBuf,
}

impl<'a> Namer<'a> {
    /// Sites are looked for in `package` first.
    pub(crate) fn new(symbols: &'a Mutex<Symbolizer>, package: &Path) -> Self {
        Self {
            symbols: Some(symbols),
            project: Project::of(package),
            program: std::env::current_exe().unwrap_or_default(),
        }
    }

    /// Names nothing: for whoever wants to know only that something is there.
    pub(crate) fn silent() -> Self {
        Self { symbols: None, project: Project::of(Path::new("/")), program: PathBuf::new() }
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
        let frame = |at: usize| stack.get(at).map(|symbol| self.frame(symbol));
        Some(Creation {
            site: site.site.and_then(frame),
            via: site.via.and_then(frame),
            stack: stack.iter().map(|symbol| self.frame(symbol)).collect(),
        })
    }

    fn frame(&self, symbol: &Symbol) -> Frame {
        let file = symbol
            .file
            .as_deref()
            .map(|file| self.project.shown(file).to_string_lossy().into_owned());
        Frame::new(file.unwrap_or_default(), symbol.line, symbol.function.clone())
    }

    /// Live heap blocks put together by creation site, with their rounds of birth.
    pub(crate) fn heap_groups(
        &self,
        region: &RegionMap,
        blocks: &[LiveBlock],
        rounds: u32,
    ) -> Vec<HeapGroup> {
        let mut by_stack: HashMap<u32, Vec<LiveBlock>> = HashMap::new();
        for block in blocks {
            by_stack.entry(block.stack).or_default().push(*block);
        }
        let bytes = |blocks: &[LiveBlock]| blocks.iter().map(|block| block.bytes).sum::<u64>();
        let mut stacks: Vec<_> = by_stack.into_iter().collect();
        // The largest first: its stack is the one that is shown.
        stacks.sort_by_key(|(id, blocks)| (std::cmp::Reverse(bytes(blocks)), *id));
        let mut groups: Vec<(String, HeapGroup)> = Vec::new();
        for (id, blocks) in stacks {
            let creation = self.own(Some(region), id).unwrap_or_default();
            let key = match &creation.site {
                Some(site) => format!("{}:{}", site.file, site.line),
                None => format!("stack {id}"),
            };
            let at = groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                let empty = vec![0; rounds as usize];
                groups.push((key, HeapGroup { creation, blocks: empty.clone(), bytes: empty }));
                groups.len() - 1
            });
            let group = &mut groups[at].1;
            for block in blocks {
                let round = (block.round.max(1) as usize - 1).min(rounds.max(1) as usize - 1);
                if let Some(count) = group.blocks.get_mut(round) {
                    *count += 1;
                    group.bytes[round] += block.bytes as i64;
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }
}
