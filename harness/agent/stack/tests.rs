//! The decoder against sections assembled here, the packed form, and (not under Miri) a walk of
//! this very test.

use super::arch::WORD;
use super::cache::{self, Packed};
use super::cfi::{self, Bp, Cfa, Image, Rule, Segment};

const HEADER: usize = 0x10_0000;
const EH_FRAME: usize = 0x10_1000;
const CODE: usize = 0x20_0000;
const CODE_BYTES: usize = 0x100;

/// What gcc writes in every CIE: CFA = rsp+8, return address at CFA-8.
const USUAL: &[u8] = &[0x0c, 7, 8, 0x90, 1];

/// An `.eh_frame_hdr` with one row per function and an `.eh_frame` with one CIE and FDE each,
/// functions side by side.
struct Module {
    header: Vec<u8>,
    eh_frame: Vec<u8>,
}

impl Module {
    fn new(functions: &[(&str, &[u8], &[u8])]) -> Self {
        let mut header = vec![1, 0x1b, 0x03, 0x3b];
        header.extend(((EH_FRAME - HEADER - 4) as u32).to_le_bytes());
        header.extend((functions.len() as u32).to_le_bytes());
        let mut eh_frame = Vec::new();
        for (index, (augmentation, initial, code)) in functions.iter().enumerate() {
            let cie = eh_frame.len();
            let mut body = vec![0, 0, 0, 0, 1];
            body.extend(augmentation.bytes());
            body.extend([0, 1, 0x78, 16]);
            body.extend([1, 0x1b]); // augmentation data: R = pcrel|sdata4
            body.extend(*initial);
            eh_frame.extend((body.len() as u32).to_le_bytes());
            eh_frame.extend(body);

            let begin = CODE + index * CODE_BYTES;
            let fde = eh_frame.len();
            header.extend((begin as i32 - HEADER as i32).to_le_bytes());
            header.extend(((EH_FRAME + fde) as i32 - HEADER as i32).to_le_bytes());
            let mut body = Vec::new();
            body.extend(((fde + 4 - cie) as u32).to_le_bytes());
            body.extend((begin as i32 - (EH_FRAME + fde + 8) as i32).to_le_bytes());
            body.extend((CODE_BYTES as u32).to_le_bytes());
            body.push(0);
            body.extend(*code);
            eh_frame.extend((body.len() as u32).to_le_bytes());
            eh_frame.extend(body);
        }
        eh_frame.extend([0; 4]);
        Self { header, eh_frame }
    }

    fn rule(&self, pc: usize) -> Option<Rule> {
        let mut image = Image::default();
        assert!(image.add(Segment { bytes: &self.header, address: HEADER }));
        assert!(image.add(Segment { bytes: &self.eh_frame, address: EH_FRAME }));
        cfi::rule(&image, HEADER, pc)
    }
}

fn step(cfa: Cfa, bp: Bp) -> Option<Rule> {
    Some(Rule::Step { cfa, bp })
}

/// `push rbp; mov rbp, rsp; ...; pop rbp; ret; ...` with the epilogue in the middle.
const FRAMED: &[u8] = &[
    0x41, 0x0e, 16, 0x86, 2, // 1: CFA = rsp+16, rbp at CFA-16
    0x43, 0x0d, 6, // 4: CFA = rbp+16
    0x02, 0x1c, 0x0a, 0x0c, 7, 8, 0xc6, // 32: remember; CFA = rsp+8; rbp as in the CIE
    0x41, 0x0b, // 33: restore
];
/// gcc's realigned frame (`lea r10,[rsp+8]; and rsp,-32; push [r10-8]; push rbp; mov rbp,rsp; push
/// r10`).
const REALIGNED: &[u8] =
    &[0x45, 0x0c, 10, 0, 0x49, 0x10, 6, 2, 0x76, 0, 0x42, 0x0f, 3, 0x76, 0x78, 0x06];
/// OpenSSL's assembly: the caller's stack pointer is kept in the frame.
const KEPT: &[u8] = &[0x41, 0x0d, 0, 0x4f, 0x0f, 6, 0x77, 0x98, 0x01, 0x06, 0x23, 0x08];
/// glibc's `__restore_rt`: the CFA is in the ucontext.
const SIGNAL: &[u8] = &[0x0f, 4, 0x77, 0xa0, 0x01, 0x06];
const UNDEFINED: &[u8] = &[0x07, 16];

fn all() -> Module {
    Module::new(&[
        ("zR", USUAL, FRAMED),
        ("zR", USUAL, REALIGNED),
        ("zR", USUAL, KEPT),
        ("zRS", &[], SIGNAL),
        ("zR", USUAL, UNDEFINED),
    ])
}

#[test]
fn rows_follow_the_program_counter() {
    let module = all();
    assert_eq!(module.rule(CODE), step(Cfa::Sp(8), Bp::Same));
    assert_eq!(module.rule(CODE + 1), step(Cfa::Sp(16), Bp::AtCfa(-16)));
    assert_eq!(module.rule(CODE + 4), step(Cfa::Bp(16), Bp::AtCfa(-16)));
    assert_eq!(module.rule(CODE + 31), step(Cfa::Bp(16), Bp::AtCfa(-16)));
    assert_eq!(module.rule(CODE + 32), step(Cfa::Sp(8), Bp::Same));
    assert_eq!(module.rule(CODE + 33), step(Cfa::Bp(16), Bp::AtCfa(-16)));
    assert_eq!(module.rule(CODE + CODE_BYTES - 1), step(Cfa::Bp(16), Bp::AtCfa(-16)));
}

#[test]
fn expressions_of_compilers_and_of_openssl() {
    let module = all();
    let realigned = CODE + CODE_BYTES;
    assert_eq!(module.rule(realigned + 5), None, "the CFA is in r10 for a moment");
    assert_eq!(module.rule(realigned + 20), step(Cfa::AtBp(-8), Bp::Pointee));
    assert_eq!(module.rule(CODE + 2 * CODE_BYTES + 99), step(Cfa::AboveAtSp(152), Bp::Same));
}

#[test]
fn signal_frames_and_the_outermost_frame() {
    let module = all();
    assert_eq!(module.rule(CODE + 3 * CODE_BYTES), Some(Rule::Signal));
    assert_eq!(module.rule(CODE + 4 * CODE_BYTES), Some(Rule::End));
}

#[test]
fn nothing_is_said_outside_functions() {
    let module = all();
    assert_eq!(module.rule(CODE - 1), None);
    assert_eq!(module.rule(CODE + 5 * CODE_BYTES), None);
    assert_eq!(module.rule(0), None);
    assert_eq!(module.rule(usize::MAX), None);
}

/// Truncated and damaged tables: any answer will do, but there must be one.
#[test]
fn damage_is_survived() {
    let pcs = || (0..5).map(|function| CODE + function * CODE_BYTES + 35);
    let whole = all();
    for length in 0..whole.eh_frame.len() {
        let cut =
            Module { header: whole.header.clone(), eh_frame: whole.eh_frame[..length].into() };
        pcs().for_each(|pc| _ = cut.rule(pc));
    }
    let patterns: &[u8] = if cfg!(miri) { &[0xff] } else { &[0xff, 0x80, 0x7f, 0x01, 0x55] };
    for pattern in patterns {
        for at in 0..whole.header.len() {
            let mut header = whole.header.clone();
            header[at] ^= pattern;
            let damaged = Module { header, eh_frame: whole.eh_frame.clone() };
            pcs().for_each(|pc| _ = damaged.rule(pc));
        }
        for at in 0..whole.eh_frame.len() {
            let mut eh_frame = whole.eh_frame.clone();
            eh_frame[at] ^= pattern;
            let damaged = Module { header: whole.header.clone(), eh_frame };
            pcs().for_each(|pc| _ = damaged.rule(pc));
        }
    }
}

#[test]
fn packing_is_exact_or_refused() {
    let word = WORD as i64;
    let rules = [
        Rule::End,
        Rule::Signal,
        Rule::Step { cfa: Cfa::Sp(8), bp: Bp::Same },
        Rule::Step { cfa: Cfa::Sp((1 << 20) - word), bp: Bp::AtCfa(-16) },
        Rule::Step { cfa: Cfa::Bp(16), bp: Bp::AtCfa(-1022 * word) },
        Rule::Step { cfa: Cfa::AtBp(-8), bp: Bp::Pointee },
        Rule::Step { cfa: Cfa::AboveAtSp(152), bp: Bp::Lost },
    ];
    for rule in rules {
        assert_eq!(Packed::new(rule).map(Packed::unpack), Some(rule));
    }
    let refused = [
        (Cfa::Sp(1 << 20), Bp::Same),
        (Cfa::Sp(-8), Bp::Same),
        (Cfa::Sp(12), Bp::Same),
        (Cfa::Bp(i64::MAX), Bp::Same),
        (Cfa::AtBp(i64::MIN), Bp::Same),
        (Cfa::Sp(8), Bp::AtCfa(-8)),
        (Cfa::Sp(8), Bp::AtCfa(i64::MIN)),
        (Cfa::Sp(8), Bp::AtCfa(-1023 * word)),
    ];
    for (cfa, bp) in refused {
        assert!(Packed::new(Rule::Step { cfa, bp }).is_none(), "{cfa:?} {bp:?}");
    }
}

/// Addresses that share an entry replace each other and are never mistaken for each other.
/// One test, since the table is the process's and a clear would disturb another.
#[test]
fn the_cache_never_confuses_addresses() {
    let rule = |bytes| Packed::new(Rule::Step { cfa: Cfa::Sp(bytes), bp: Bp::Same }).unwrap();
    // Same index: address bits xor tag are equal.
    let (one, other) = (0x1000_0000_2000, 0x1000_0000_4003);
    cache::put(one, rule(16));
    assert!(cache::get(one) == Some(rule(16)));
    cache::put(other, rule(32));
    assert!(cache::get(other) == Some(rule(32)));
    assert!(cache::get(one).is_none());
    assert!(cache::get(0).is_none());

    let kernel = usize::MAX - 5;
    cache::put(kernel, rule(16));
    assert!(cache::get(kernel).is_none());
}

#[cfg(all(not(miri), target_arch = "x86_64"))]
mod walk {
    use core::ffi::{c_char, c_void};
    use core::hint::black_box;
    use core::ptr;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    unsafe extern "C" {
        fn dl_iterate_phdr(visitor: *const c_void, data: *mut c_void) -> i32;
    }

    #[inline(never)]
    fn tower(height: usize, out: &mut [usize], skip: usize, stop_at: usize) -> usize {
        if height > 0 {
            return black_box(tower(black_box(height - 1), out, skip, stop_at));
        }
        // SAFETY: an ordinary thread's stack.
        black_box(unsafe { super::super::capture(out, skip, stop_at) })
    }

    static MODULES_TOLD: AtomicUsize = AtomicUsize::new(0);

    fn told(start: usize, end: usize, _load_bias: usize, _name: *const c_char) {
        assert!(start < end);
        MODULES_TOLD.fetch_add(1, Relaxed);
    }

    #[test]
    fn capture_finds_its_callers() {
        // SAFETY: the C library's own function; the other is absent, so the copy of the module list
        // is used.
        unsafe { super::super::init(ptr::null(), dl_iterate_phdr as *const c_void) };
        super::super::set_module_hook(told);
        super::super::flush();
        super::super::after_fork();
        let (mut low, mut high, mut short) = ([0; 64], [0; 64], [0; 3]);
        let low_count = tower(2, &mut low, 0, 0);
        let high_count = tower(7, &mut high, 0, 0);
        assert!(low_count > 4, "{low_count}");
        assert!(
            (1..=3).contains(&MODULES_TOLD.load(Relaxed)),
            "this program, libc, perhaps the loader"
        );
        assert_eq!(high_count, low_count + 5);
        assert_eq!(high[3], high[4], "the same call site at each height");
        assert_eq!(tower(7, &mut short, 1, 0), 3);
        assert_eq!(short, high[1..4]);

        let here = 0_usize;
        let stopped = tower(7, &mut high, 0, &raw const here as usize);
        assert_eq!(stopped, 9, "eight storeys and this function, whose own caller lies above");

        let mark = |code: *const c_void| super::super::module_mark(code as usize);
        let own = mark(tower as *const c_void).expect("this program has unwind tables");
        assert_eq!(mark(told as *const c_void), Some(own), "one module, one mark");
        assert_ne!(mark(dl_iterate_phdr as *const c_void), Some(own), "the C library is another");
        assert_eq!(mark(&raw const here as *const c_void), None, "a stack is no module");
    }
}
