//! Pictures that are to be shown.

use crate::frame::Frame;

/// Which field of an interlaced picture was taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldOrder {
    TopFirst,
    BottomFirst,
}

/// A picture in the order of showing.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) frame: Frame,
    pub(super) tag: i64,
    /// None for a progressive picture.
    pub(super) interlaced: Option<FieldOrder>,
}
