//! What the library's error codes mean.

/// An error of libavcodec, libavfilter or libswscale, with the library's own words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct LibraryError(#[from] ffmpeg_next::Error);

impl LibraryError {
    /// Memory is exhausted: the one error after which going on makes no sense.
    #[must_use]
    pub fn is_out_of_memory(self) -> bool {
        self.0 == ffmpeg_next::Error::Other { errno: ffmpeg_next::error::ENOMEM }
    }

    pub(crate) const OUT_OF_MEMORY: Self =
        Self(ffmpeg_next::Error::Other { errno: ffmpeg_next::error::ENOMEM });

    /// Nothing yet (`EAGAIN`) or nothing any more (`EOF`): waiting, not failing.
    pub(crate) fn is_nothing(error: ffmpeg_next::Error) -> bool {
        error == ffmpeg_next::Error::Eof
            || error == ffmpeg_next::Error::Other { errno: ffmpeg_next::error::EAGAIN }
    }
}
