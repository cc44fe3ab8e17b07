//! Configuration records: `avcC` and `hvcC` (ISO/IEC 14496-15).

/// What is wrong with a configuration record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It breaks off.
    #[error("it ends in {field}, at byte {bytes}")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It is of another version.
    #[error("it has version {0}, not 1")]
    Version(u8),
    /// Lengths of 3 bytes, which there are not.
    #[error("lengths of {0} bytes; there are 1, 2 and 4")]
    LengthSize(u8),
    /// A parameter set is missing, and without it nothing can be decoded.
    #[error("it has no {0}")]
    Missing(&'static str),
}
