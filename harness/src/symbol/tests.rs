//! Names for this very process: its own stack, its own files, and files that are not what they were.

use std::ffi::c_void;
use std::fs;
use std::time::Duration;

use super::*;

/// The modules of this process: mappings of a file that lie side by side. (Other tests may have the
/// same files mapped for reading meanwhile; each of those starts anew at the file's start.)
pub(super) fn own_modules() -> Vec<LoadedModule> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut modules: Vec<LoadedModule> = Vec::new();
    for line in maps.lines() {
        let Some(path) = line.find('/').map(|at| PathBuf::from(&line[at..])) else { continue };
        let fields: Vec<&str> = line.split(' ').collect();
        let (start, end) = fields[0].split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        let is_first = u64::from_str_radix(fields[2], 16).unwrap() == 0;
        match modules.last_mut() {
            Some(last) if last.path == path && last.end == start && !is_first => last.end = end,
            // Everything here is position-independent: its first segment is linked at 0.
            _ => modules.push(LoadedModule { path, start, end, bias: start, seen: None }),
        }
    }
    modules
}

/// The return addresses of the caller's stack.
#[inline(never)]
pub(super) fn own_addresses() -> Vec<u64> {
    let mut frames = [std::ptr::null_mut::<c_void>(); 64];
    // SAFETY: the array is writable and has as many elements as the call is told.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), 64) };
    frames[..usize::try_from(count).unwrap()].iter().map(|frame| frame.addr() as u64).collect()
}

/// A module that holds everything, over one file.
fn module(path: &Path, bias: u64) -> LoadedModule {
    LoadedModule { path: path.to_owned(), start: 0, end: u64::MAX, bias, seen: None }
}

#[test]
fn a_stack_names_its_own_lines() {
    let (line, addresses) = (line!(), own_addresses());
    let (last_line, in_closure) = std::hint::black_box(|| (line!(), own_addresses()))();
    let mut symbolizer = Symbolizer::new();
    let stack = symbolizer.name(&own_modules(), &addresses);
    let here = |symbol: &&Symbol| symbol.function.ends_with("a_stack_names_its_own_lines");
    let own = stack.iter().find(here).unwrap();
    assert_eq!(own.line, line, "{stack:#?}");
    assert!(own.file.as_ref().unwrap().ends_with("symbol/tests.rs"), "{own:?}");
    assert!(own.file.as_ref().unwrap().is_absolute());
    assert_eq!(own.origin, Origin::User);
    assert!(stack.iter().any(|it| it.origin == Origin::Toolchain && it.line > 0), "{stack:#?}");

    let stack_of_closure = symbolizer.name(&own_modules(), &in_closure);
    let closure = stack_of_closure.iter().find(|it| it.function.contains("closure")).unwrap();
    assert_eq!(closure.line, last_line, "{stack_of_closure:#?}");
    assert_eq!(symbolizer.name(&own_modules(), &addresses), stack, "remembered as it was read");
}

#[test]
fn a_chain_of_methods_has_the_line_of_each_call() {
    struct Chain(Vec<Vec<u64>>);
    impl Chain {
        #[inline(never)]
        fn link(mut self) -> Self {
            self.0.push(own_addresses());
            self
        }
    }
    #[rustfmt::skip]
    let (chain, line) = (
        Chain(Vec::new())
            .link()
            .link(),
        line!(),
    );
    let mut symbolizer = Symbolizer::new();
    for (stack, before) in chain.0.iter().zip([2, 1]) {
        let stack = symbolizer.name(&own_modules(), stack);
        let caller = stack.iter().find(|it| it.function.ends_with("has_the_line_of_each_call"));
        assert_eq!(caller.unwrap().line, line - before, "{stack:#?}");
    }
}

#[test]
fn the_agent_and_what_is_nowhere() {
    let mut symbolizer = Symbolizer::new();
    let mut agent = module(Path::new("/run/t/watertight-agent.so"), 0);
    assert_eq!(symbolizer.name(&[agent.clone()], &[0x1000, 0x2000]), []);
    agent.end = 0x1800;
    let stack = symbolizer.name(&[agent], &[0x1000, 0, 0x2000]);
    assert_eq!(stack, [Symbol::unknown("0x1fff".to_owned())]);
}

#[test]
fn a_file_that_is_not_what_was_loaded_gives_no_names() {
    let own = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app");
    let offset = {
        let modules = own_modules();
        let at = own_addresses()[0];
        at - modules.iter().find(|module| module.holds(at)).unwrap().bias
    };
    let unnamed = format!("app+{:#x}", offset - 1);
    let mut symbolizer = Symbolizer::new();
    let mut name = |module: LoadedModule| {
        let stack = symbolizer.name(&[module], &[offset]);
        stack.into_iter().next().unwrap().function
    };

    assert_eq!(name(module(&path, 0)), unnamed, "missing");
    fs::copy(&own, &path).unwrap();
    assert!(name(module(&path, 0)).ends_with("own_addresses"));

    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let seen = |seen| LoadedModule { seen: Some(seen), ..module(&path, 0) };
    assert!(name(seen(written)).ends_with("own_addresses"));
    assert_eq!(name(seen(written - Duration::from_secs(1))), unnamed, "written later");
    let deleted = directory.path().join("app (deleted)");
    assert_eq!(name(module(&deleted, 0)), unnamed, "unlinked");
    assert_eq!(name(module(Path::new("app"), 0)), unnamed, "relative to who knows what");

    fs::remove_file(&path).unwrap();
    fs::write(&path, "#!/bin/sh\n").unwrap();
    assert_eq!(name(module(&path, 0)), unnamed, "replaced");
    fs::remove_file(&path).unwrap();
    assert_eq!(name(module(&path, 0)), unnamed, "removed");
}

#[test]
fn damaged_debug_info_is_no_name_and_no_panic() {
    let whole = fs::read(std::env::current_exe().unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged");
    let addresses: Vec<u64> = (0..64).map(|step| 0x1000 + step * 0x3001).collect();
    // A multiplicative generator: the same damage each time.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..4 {
        let mut bytes = whole.clone();
        for _ in 0..bytes.len() / 512 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let at = (state >> 16) as usize % (bytes.len() - 64) + 64;
            bytes[at] = (state >> 8) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        Symbolizer::new().name(&[module(&path, 0)], &addresses);
        fs::write(&path, &whole[..whole.len() * round / 4]).unwrap();
        Symbolizer::new().name(&[module(&path, 0)], &addresses);
    }
}

#[test]
fn it_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Symbolizer>();
}
