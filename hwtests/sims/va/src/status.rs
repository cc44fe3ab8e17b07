//! What a call answers: libva's status, and, where the client broke a rule, a sentence that says which.

use crate::ffi::{self, VAStatus};

/// A call's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the client is told.
    pub(crate) status: VAStatus,
    /// What rule it broke; `None` where it may ask and is told no.
    pub(crate) misuse: Option<String>,
}

/// What calls give.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// The client may ask, and is told no.
pub(crate) fn no(status: u32) -> Refusal {
    Refusal { status: code(status), misuse: None }
}

/// The client broke a rule of the interface.
pub(crate) fn misuse(status: u32, sentence: impl Into<String>) -> Refusal {
    Refusal { status: code(status), misuse: Some(sentence.into()) }
}

/// libva's statuses are macros, which bindgen gives as unsigned.
pub(crate) fn code(status: u32) -> VAStatus {
    VAStatus::try_from(status).unwrap_or(i32::MAX)
}

/// A null pointer, a size that is too small: the client's own mistake.
pub(crate) fn invalid(sentence: impl Into<String>) -> Refusal {
    misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence)
}
