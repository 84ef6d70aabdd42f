//! Whether a private network can be entered, tried by a process that is thrown away.

use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;

use crate::namespace;

/// Tells a process of this binary to try it and end with the errno as its exit code.
const REHEARSAL: &str = "WATERTIGHT_REHEARSAL";

/// Why no private network can be entered, as a process that is thrown away has found out. A system may let
/// the namespace be made and refuse what it is for (AppArmor on Ubuntu, a root without CAP_SETFCAP), and
/// then there is no way back.
pub(crate) fn rehearse() -> Option<Errno> {
    let own = std::env::current_exe().ok()?;
    let status = Command::new(own).env(REHEARSAL, "1").stdin(Stdio::null()).status().ok()?;
    let code = status.code().unwrap_or(Errno::EIO as i32);
    (code != 0).then(|| Errno::from_raw(code))
}

/// Does so where this process was started for it; the first thing in `main`.
pub(crate) fn enter() -> Option<ExitCode> {
    std::env::var_os(REHEARSAL)?;
    let errno = namespace::enter().err().map_or(0, |errno| errno as i32);
    Some(ExitCode::from(u8::try_from(errno).unwrap_or(u8::MAX)))
}
