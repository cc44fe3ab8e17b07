//! The seam between the archive and where it keeps its objects: a local disk now, object storage later.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use media::SegmentNumber;

use crate::store::name::{FeedName, PresentationId, TrackName};

/// What an archive keeps of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The initialization segment.
    Init,
    /// A media segment.
    Segment(SegmentNumber),
}

impl Part {
    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        match self {
            Self::Init => "init.mp4".to_owned(),
            Self::Segment(number) => format!("{:08}.m4s", number.0),
        }
    }

    /// The part that has this file name.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        if name == "init.mp4" {
            return Some(Self::Init);
        }
        let digits = name.strip_suffix(".m4s")?;
        let part = Self::Segment(SegmentNumber(digits.parse().ok()?));
        (part.file_name() == name).then_some(part)
    }
}

/// The name of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Whose it is.
    pub feed: FeedName,
    /// Of which presentation.
    pub presentation: PresentationId,
    /// Of which track.
    pub track: TrackName,
    /// What of it.
    pub part: Part,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.feed, self.presentation, self.track, self.part.file_name())
    }
}

/// Where objects are kept. Calls may block; they are made from the archive's thread and from blocking tasks.
pub trait ArchiveBackend: Send + Sync + 'static {
    /// Keeps an object. When this returns, the object outlives a power cut; until then nobody sees any of it.
    ///
    /// # Errors
    ///
    /// Where it could not be kept; nothing of it is left then.
    fn put(&self, name: &ObjectName, parts: &[Bytes]) -> io::Result<()>;

    /// Reads a part of an object; less than asked for where it is shorter.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such object.
    fn read(&self, name: &ObjectName, range: Range<u64>) -> io::Result<Bytes>;

    /// The size of an object in bytes; none where there is no such object.
    ///
    /// # Errors
    ///
    /// Where it cannot be told.
    fn size(&self, name: &ObjectName) -> io::Result<Option<u64>>;

    /// What is kept of a track, with sizes in bytes, in no order.
    ///
    /// # Errors
    ///
    /// Where it cannot be told. A track of which nothing is kept is no error.
    fn list(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        track: &TrackName,
    ) -> io::Result<Vec<(Part, u64)>>;

    /// The presentations of which something is kept.
    ///
    /// # Errors
    ///
    /// Where it cannot be told.
    fn presentations(&self) -> io::Result<Vec<(FeedName, PresentationId)>>;

    /// Removes one object; no error where there is none.
    ///
    /// # Errors
    ///
    /// Where it cannot be removed.
    fn remove(&self, name: &ObjectName) -> io::Result<()>;

    /// Removes all of a presentation; no error where there is nothing.
    ///
    /// # Errors
    ///
    /// Where something of it cannot be removed.
    fn remove_presentation(&self, feed: &FeedName, presentation: &PresentationId) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_read_back() {
        for part in [Part::Init, Part::Segment(SegmentNumber(1)), Part::Segment(SegmentNumber(123_456_789))] {
            assert_eq!(Part::of_file_name(&part.file_name()), Some(part));
        }
        for other in ["1.m4s", "+0000001.m4s", "0000000a.m4s", "00000001.m4s.tmp", ".m4s", "000000001.m4s"] {
            assert_eq!(Part::of_file_name(other), None, "{other}");
        }
    }
}
