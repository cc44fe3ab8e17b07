//! What is looked at when the process ends: what was left open.

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> i32;
}

/// Has `function` called when the process ends by `exit`. The libraries stay loaded until then (`-z nodelete`).
pub fn at_exit(function: extern "C" fn()) {
    // SAFETY: atexit(3) keeps the pointer of a function that stays loaded.
    let _ = unsafe { atexit(function) };
}
