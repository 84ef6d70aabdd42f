//! System V shared memory: which call made each segment. The kernel tells which are there.

use core::ffi::c_int;

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::table::ENTRY_SYSV_SHM;

/// shmget(2). One that is there already is entered as well; who made it the kernel knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmget(key: c_int, size: usize, flags: c_int) -> c_int {
    const IPC_PRIVATE: c_int = 0;
    const IPC_CREAT: c_int = 0o1000;
    type Shmget = unsafe extern "C" fn(c_int, usize, c_int) -> c_int;
    let id = forward!(SHMGET as Shmget, (key, size, flags), else -1);
    if id >= 0 && (key == IPC_PRIVATE || flags & IPC_CREAT != 0) {
        entry::enter(ENTRY_SYSV_SHM, id as u64, Facts { value: size as u64, ..Facts::default() });
    }
    id
}
