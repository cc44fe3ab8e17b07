//! The CPU as a device.

use ffmpeg_next::{codec, log};

use crate::caps::Caps;

/// A video coding format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 | ISO/IEC 14496-10.
    H264,
    /// HEVC | ISO/IEC 23008-2.
    Hevc,
    /// AV1.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Av1];

    /// The name that people know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
        }
    }

    pub(crate) const fn id(self) -> codec::Id {
        match self {
            Self::H264 => codec::Id::H264,
            Self::Hevc => codec::Id::HEVC,
            Self::Av1 => codec::Id::AV1,
        }
    }
}

/// The CPU, with the codec libraries ready for use.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    cores: usize,
}

impl Device {
    /// Makes the libraries ready. They write to stderr from now on only when a process cannot go on: what a damaged
    /// stream makes them say can be caused by a stranger at any rate, and is counted by [`crate::Decoder`] instead.
    #[must_use]
    pub fn open() -> Self {
        log::set_level(log::Level::Fatal);
        Self { cores: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) }
    }

    /// CPUs that this process may use.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.cores
    }

    /// What the libraries are: `libavcodec 59.37.100, libswscale 6.7.100`.
    #[must_use]
    pub fn name(&self) -> String {
        let dotted = |version: u32| format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
        format!(
            "libavcodec {}, libswscale {}",
            dotted(codec::version()),
            dotted(ffmpeg_next::software::scaling::version())
        )
    }

    /// What really opens here; takes some milliseconds.
    #[must_use]
    pub fn caps(&self) -> Caps {
        Caps::of(self)
    }
}
