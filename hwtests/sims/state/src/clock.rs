//! The simulators' clock: monotonic, and the same in every process.

use std::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`, comparable between processes of one boot.
pub type Nanoseconds = u64;

/// Now.
pub(crate) fn now() -> Nanoseconds {
    read(libc::CLOCK_MONOTONIC)
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu() -> Nanoseconds {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Sleeps until `when`; at once back where it has passed.
pub(crate) fn sleep_until(when: Nanoseconds) {
    let left = when.saturating_sub(now());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}

fn read(clock: libc::clockid_t) -> Nanoseconds {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write, and both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
