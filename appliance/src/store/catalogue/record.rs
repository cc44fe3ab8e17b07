//! What the rows of the catalogue say.

use std::time::Duration;

use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};
use packager::window::{WindowSegment, WindowTrackKind};
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use crate::store::name::{FeedName, PresentationId, TrackName};

/// What a presentation's tracks are, as the catalogue keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct TrackRecord {
    pub(in crate::store) name: String,
    pub(in crate::store) codecs: String,
    pub(in crate::store) timescale: Timescale,
    pub(in crate::store) nominal_bit_rate: u64,
    pub(in crate::store) kind: KindRecord,
    /// Of the initialization segment; none from releases that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) init_crc32: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store) enum KindRecord {
    Video {
        size: Size,
        frame_rate: FrameRate,
        /// Not noted by earlier releases, which did not signal them.
        #[serde(default)]
        captions: bool,
    },
    Audio {
        sample_rate: u32,
        channels: u8,
    },
}

impl From<&WindowTrackKind> for KindRecord {
    fn from(kind: &WindowTrackKind) -> Self {
        match *kind {
            WindowTrackKind::Video { size, frame_rate, captions } => {
                Self::Video { size, frame_rate, captions }
            }
            WindowTrackKind::Audio { sample_rate, channels } => Self::Audio { sample_rate, channels },
        }
    }
}

impl From<&KindRecord> for WindowTrackKind {
    fn from(kind: &KindRecord) -> Self {
        match *kind {
            KindRecord::Video { size, frame_rate, captions } => Self::Video { size, frame_rate, captions },
            KindRecord::Audio { sample_rate, channels } => Self::Audio { sample_rate, channels },
        }
    }
}

/// What is known of a presentation apart from its segments.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct PresentationRecord {
    pub(in crate::store) feed: FeedName,
    pub(in crate::store) id: PresentationId,
    pub(in crate::store) title: String,
    pub(in crate::store) availability_start_unix_millis: u64,
    pub(in crate::store) cadence: Cadence,
    /// How far back viewers may seek while it is live; zero from releases that did not note it.
    pub(in crate::store) window: Duration,
    /// How much of that is kept in memory.
    pub(in crate::store) memory: Duration,
    /// None for the standard.
    pub(in crate::store) target_latency: Option<Duration>,
    pub(in crate::store) tracks: Vec<TrackRecord>,
}

/// A presentation in the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct Listed {
    pub(in crate::store) row: i64,
    pub(in crate::store) record: PresentationRecord,
    pub(in crate::store) ended_unix_millis: Option<u64>,
    pub(in crate::store) bytes: u64,
    /// Where its first segment begins; over zero once its beginning is no longer kept.
    pub(in crate::store) start: Duration,
    /// Where its last segment ends.
    pub(in crate::store) end: Duration,
    /// Grows with every change of its segments.
    pub(in crate::store) revision: u64,
}

impl Listed {
    /// From its first segment to the end of its last one.
    pub(in crate::store) fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// Wall time of the end of its last segment, in milliseconds since 1970.
    pub(in crate::store) fn last_end_unix_millis(&self) -> u64 {
        let end = u64::try_from(self.end.as_millis()).unwrap_or(u64::MAX);
        self.record.availability_start_unix_millis.saturating_add(end)
    }
}

/// One segment to be noted.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct NewSegment {
    pub(in crate::store) row: i64,
    pub(in crate::store) track: usize,
    pub(in crate::store) segment: WindowSegment,
    pub(in crate::store) crc32: u32,
}

/// One segment as it was noted.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Noted {
    pub(in crate::store) segment: WindowSegment,
    /// None from releases that did not note it.
    pub(in crate::store) crc32: Option<u32>,
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn noted(row: &Row<'_>, timescale: Timescale) -> Result<Noted, rusqlite::Error> {
    let segment = WindowSegment {
        number: SegmentNumber(unsigned(row.get(0)?)),
        start: MediaTime::new(row.get(1)?, timescale),
        duration: MediaTime::new(row.get(2)?, timescale),
        bytes: unsigned(row.get(3)?),
    };
    Ok(Noted { segment, crc32: row.get(4)? })
}

/// The columns that [`Raw::read`] reads.
pub(super) const COLUMNS: &str = "p.id, f.name, p.name, p.title, p.availability_start_unix_millis, p.cadence, \
     p.tracks, p.ended_unix_millis, p.bytes, p.start_millis, p.end_millis, p.revision, p.window_millis, \
     p.memory_millis, p.latency_millis";

pub(super) struct Raw {
    row: i64,
    feed: String,
    id: String,
    title: String,
    start: i64,
    cadence: String,
    tracks: String,
    ended: Option<i64>,
    bytes: i64,
    start_millis: i64,
    end_millis: i64,
    revision: i64,
    window_millis: i64,
    memory_millis: i64,
    latency_millis: Option<i64>,
}

impl Raw {
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            row: row.get(0)?,
            feed: row.get(1)?,
            id: row.get(2)?,
            title: row.get(3)?,
            start: row.get(4)?,
            cadence: row.get(5)?,
            tracks: row.get(6)?,
            ended: row.get(7)?,
            bytes: row.get(8)?,
            start_millis: row.get(9)?,
            end_millis: row.get(10)?,
            revision: row.get(11)?,
            window_millis: row.get(12)?,
            memory_millis: row.get(13)?,
            latency_millis: row.get(14)?,
        })
    }

    pub(super) fn parse(self) -> Result<Listed, CatalogueError> {
        let json = |column| move |source| CatalogueError::Row { column, source };
        let millis = |value| Duration::from_millis(unsigned(value));
        let record = PresentationRecord {
            feed: FeedName::new(&self.feed)?,
            id: PresentationId::new(&self.id)?,
            title: self.title,
            availability_start_unix_millis: unsigned(self.start),
            cadence: serde_json::from_str(&self.cadence).map_err(json("cadence"))?,
            window: millis(self.window_millis),
            memory: millis(self.memory_millis),
            target_latency: self.latency_millis.map(millis),
            tracks: serde_json::from_str(&self.tracks).map_err(json("tracks"))?,
        };
        // What becomes part of a path is checked on its way out of the database too.
        for track in &record.tracks {
            TrackName::new(&track.name)?;
        }
        Ok(Listed {
            row: self.row,
            record,
            ended_unix_millis: self.ended.map(unsigned),
            bytes: unsigned(self.bytes),
            start: millis(self.start_millis),
            end: millis(self.end_millis),
            revision: unsigned(self.revision),
        })
    }
}
