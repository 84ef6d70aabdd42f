//! What the unwinder knows of x86_64: register numbers, the signal frame, our own registers, one
//! system call.
//!
//! Another architecture is another file like this one, and a [`super::cfi::Rule`] that can say
//! where the return address is: here it is always just below the CFA, because `call` puts it there.

use core::arch::asm;

/// DWARF numbers (System V ABI, x86_64 supplement, figure 3.36): `rbp`, `rsp`, the return address
/// column.
pub(crate) const DWARF_BP: usize = 6;
pub(crate) const DWARF_SP: usize = 7;
pub(crate) const DWARF_RA: usize = 16;

pub(crate) const WORD: usize = 8;
/// The return address lies this far below the CFA.
pub(crate) const RA_BELOW_CFA: usize = 8;
/// Below the stack pointer, this much is kept by signals (System V ABI, 3.2.2).
pub(crate) const RED_ZONE: usize = 128;

/// Offsets into `struct ucontext`, which is at the stack pointer when `__restore_rt` is about to
/// run (`uc_mcontext` at 40, then r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip: kernel
/// ABI).
pub(crate) const SIGNAL_BP_AT: usize = 120;
pub(crate) const SIGNAL_SP_AT: usize = 160;
pub(crate) const SIGNAL_PC_AT: usize = 168;

/// User addresses have this many bits (five-level paging hands out more only on request).
pub(crate) const ADDRESS_BITS: u32 = 47;

/// The registers a walk starts from.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) bp: usize,
}

impl Registers {
    /// Of the function this is inlined into.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let (pc, sp, bp);
        // SAFETY: reads three registers, touches neither memory nor flags.
        unsafe {
            asm!(
                "lea {pc}, [rip]", "mov {sp}, rsp", "mov {bp}, rbp",
                pc = out(reg) pc, sp = out(reg) sp, bp = out(reg) bp,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, bp }
    }
}

/// Asks the kernel whether the word at `address` can be read, without reading it.
///
/// `rt_sigprocmask` copies the new mask from user space before it looks at `how`, so an impossible
/// `how` changes nothing and answers EFAULT for unreadable memory, EINVAL otherwise. About 0.1 us.
/// No errno: the call is raw.
#[cold]
pub(crate) fn is_readable(address: usize) -> bool {
    const SYS_RT_SIGPROCMASK: usize = 14;
    const HOW_NONE: usize = usize::MAX;
    const EFAULT: isize = -14;
    let mut result = SYS_RT_SIGPROCMASK as isize;
    // SAFETY: the kernel rejects the call after its own checked read of eight bytes; nothing of
    // ours is written.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") HOW_NONE, in("rsi") address, in("rdx") 0usize, in("r10") WORD,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result != EFAULT
}
