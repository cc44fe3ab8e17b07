//! CUDA's answers (`CUresult` of cuda.h).

/// What a call answers where it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

/// What a call answers.
pub(crate) type Answer<T = ()> = Result<T, Status>;

pub(crate) const INVALID_VALUE: Status = Status(1);
pub(crate) const OUT_OF_MEMORY: Status = Status(2);
pub(crate) const NOT_INITIALIZED: Status = Status(3);
pub(crate) const NO_DEVICE: Status = Status(100);
pub(crate) const INVALID_DEVICE: Status = Status(101);
pub(crate) const INVALID_IMAGE: Status = Status(200);
pub(crate) const INVALID_CONTEXT: Status = Status(201);
pub(crate) const UNSUPPORTED_PTX_VERSION: Status = Status(222);
pub(crate) const INVALID_HANDLE: Status = Status(400);
pub(crate) const NOT_FOUND: Status = Status(500);
pub(crate) const ILLEGAL_ADDRESS: Status = Status(700);
pub(crate) const PRIMARY_CONTEXT_ACTIVE: Status = Status(708);
pub(crate) const CONTEXT_IS_DESTROYED: Status = Status(709);
pub(crate) const LAUNCH_FAILED: Status = Status(719);
pub(crate) const NOT_SUPPORTED: Status = Status(801);
pub(crate) const UNKNOWN: Status = Status(999);

/// The status that every call on a lost device answers. Xid 79 is the bus; others are the device's own doing and break
/// the contexts on it.
pub(crate) fn lost(lost: sim_state::Lost) -> Status {
    if lost.xid == 79 { UNKNOWN } else { LAUNCH_FAILED }
}
