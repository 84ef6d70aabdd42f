//! Descriptors that whoever started the tests had open.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::libc;
use watertight::{Case, Context, Failed};

use super::trap;

/// A shell's script that becomes the program it is given, with two descriptors open.
pub const INHERIT: &str = "exec 8</dev/zero 9</dev/null && exec \"$0\" \"$@\"";

const STAYS: i32 = 8;
const CLOSED: i32 = 9;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("inherited_descriptor_used", inherited_descriptor_used),
        trap("inherited_descriptor_closed", inherited_descriptor_closed),
    ]
}

fn inherited_descriptor_used(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: two integers.
    let copy = nix::errno::Errno::result(unsafe { libc::dup(STAYS) })?;
    // SAFETY: it has just been made, and nobody else knows it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    assert!(copy.as_raw_fd() > 2);
    Ok(())
}

fn inherited_descriptor_closed(cx: &Context) -> Result<(), Failed> {
    if cx.round() == 1 {
        // SAFETY: whoever started us opened it, and nobody here uses it.
        nix::errno::Errno::result(unsafe { libc::close(CLOSED) })?;
    }
    Ok(())
}
