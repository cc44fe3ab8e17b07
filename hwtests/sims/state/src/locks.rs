//! Locks on bytes of the state file. They belong to the open file description (`F_OFD_SETLK`, fcntl(2)), so they work
//! between libraries of one process and across PID namespaces, and the kernel gives them up when the process dies.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever changes more than one number holds this byte. The bytes lie past the file's end, where a lock may.
const CHANGE_BYTE: i64 = 1 << 40;
/// Whoever holds this byte plus its slot is alive.
const ALIVE_BYTE: i64 = 1 << 41;

/// The right to change the state.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    file: &'a File,
    _here: MutexGuard<'a, ()>,
}

/// Waits for the right to change the state. `here` holds back the other threads that use the same `file`.
pub(crate) fn change<'a>(file: &'a File, here: &'a Mutex<()>) -> Change<'a> {
    let guard = here.lock().unwrap_or_else(PoisonError::into_inner);
    // Interrupted by a signal, it is tried again. Other errors do not come from a sound file; going on without the
    // lock is then the least bad.
    while let Err(error) = control(file, libc::F_OFD_SETLKW, libc::F_WRLCK, CHANGE_BYTE) {
        if error.kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
    Change { file, _here: guard }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let _ = control(self.file, libc::F_OFD_SETLK, libc::F_UNLCK, CHANGE_BYTE);
    }
}

/// Holds slot `slot`'s byte as long as `file` is open: true where nobody else did.
pub(crate) fn live(file: &File, slot: usize) -> bool {
    control(file, libc::F_OFD_SETLK, libc::F_WRLCK, alive_byte(slot)).is_ok()
}

/// Whether somebody other than `file`'s owner holds slot `slot`'s byte.
pub(crate) fn another_lives(file: &File, slot: usize) -> bool {
    matches!(control(file, libc::F_OFD_GETLK, libc::F_WRLCK, alive_byte(slot)), Ok(found) if found != libc::F_UNLCK)
}

fn alive_byte(slot: usize) -> i64 {
    ALIVE_BYTE + i64::try_from(slot).unwrap_or(0)
}

/// fcntl(2) with a lock of one byte; answers the lock's type as the kernel left it.
fn control(file: &File, command: i32, kind: i32, byte: i64) -> io::Result<i32> {
    // SAFETY: `flock` is plain numbers, for which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).unwrap_or(0);
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or(0);
    lock.l_start = byte;
    lock.l_len = 1;
    // SAFETY: the descriptor is open as long as `file`, `lock` is a valid flock with l_pid 0, as OFD locks want it.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(i32::from(lock.l_type)) }
}
