//! NVENC's answers (`NVENCSTATUS` of nvEncodeAPI.h).

use sim_state::Lost;

/// What a call answers where it does not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

/// What a call answers.
pub(crate) type Answer<T = ()> = Result<T, Status>;

pub(crate) const UNSUPPORTED_DEVICE: Status = Status(2);
pub(crate) const INVALID_ENCODERDEVICE: Status = Status(3);
pub(crate) const INVALID_DEVICE: Status = Status(4);
pub(crate) const DEVICE_NOT_EXIST: Status = Status(5);
pub(crate) const INVALID_PTR: Status = Status(6);
pub(crate) const INVALID_PARAM: Status = Status(8);
pub(crate) const INVALID_CALL: Status = Status(9);
pub(crate) const OUT_OF_MEMORY: Status = Status(10);
pub(crate) const ENCODER_NOT_INITIALIZED: Status = Status(11);
pub(crate) const UNSUPPORTED_PARAM: Status = Status(12);
pub(crate) const LOCK_BUSY: Status = Status(13);
pub(crate) const NOT_ENOUGH_BUFFER: Status = Status(14);
pub(crate) const INVALID_VERSION: Status = Status(15);
pub(crate) const MAP_FAILED: Status = Status(16);
pub(crate) const NEED_MORE_INPUT: Status = Status(17);
pub(crate) const GENERIC: Status = Status(20);
pub(crate) const INCOMPATIBLE_CLIENT_KEY: Status = Status(21);
pub(crate) const UNIMPLEMENTED: Status = Status(22);
pub(crate) const RESOURCE_REGISTER_FAILED: Status = Status(23);
pub(crate) const RESOURCE_NOT_REGISTERED: Status = Status(24);
pub(crate) const RESOURCE_NOT_MAPPED: Status = Status(25);

/// nvEncodeAPI.h on `NV_ENC_ERR_DEVICE_NOT_EXIST`: the device is no longer available and needs to be reinitialised.
pub(crate) fn lost(_: Lost) -> Status {
    DEVICE_NOT_EXIST
}
