//! The catalogue: feeds, presentations and segments in SQLite. What is not in it is not a replay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};
use packager::window::{WindowSegment, WindowTrackKind};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::name::{FeedName, InvalidName, PresentationId, TrackName};

/// `PRAGMA user_version` of the schema below.
const SCHEMA_VERSION: i64 = 1;

/// How long one connection waits for the other's transaction; each is far shorter.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE feeds (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    );
    CREATE TABLE presentations (
        id INTEGER PRIMARY KEY,
        feed INTEGER NOT NULL REFERENCES feeds (id),
        name TEXT NOT NULL,
        title TEXT NOT NULL,
        availability_start_unix_millis INTEGER NOT NULL,
        cadence TEXT NOT NULL,
        ended_unix_millis INTEGER,
        tracks TEXT NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0,
        end_millis INTEGER NOT NULL DEFAULT 0,
        UNIQUE (feed, name)
    );
    CREATE TABLE segments (
        presentation INTEGER NOT NULL REFERENCES presentations (id) ON DELETE CASCADE,
        track INTEGER NOT NULL,
        number INTEGER NOT NULL,
        start_ticks INTEGER NOT NULL,
        duration_ticks INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (presentation, track, number)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// What may go wrong with the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The database cannot be opened.
    #[error("catalogue {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database was written by a newer release.
    #[error("catalogue {} has schema {found}; this release knows up to {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A statement failed.
    #[error("catalogue: {step} failed")]
    Statement {
        /// What was to be done.
        step: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row holds what no release writes.
    #[error("catalogue: {column} of a presentation is not what was written there")]
    Row {
        /// The column.
        column: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A row holds a name that cannot be one.
    #[error("catalogue: a presentation has a name that is none")]
    Name {
        /// Why.
        #[from]
        source: InvalidName,
    },
    /// A number does not fit the database's 63 bits.
    #[error("catalogue: {what} {value} is over 2^63 - 1")]
    Range {
        /// What it is.
        what: &'static str,
        /// The number.
        value: u64,
    },
}

/// What a presentation's tracks are, as the catalogue keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TrackRecord {
    pub(super) name: String,
    pub(super) codecs: String,
    pub(super) timescale: Timescale,
    pub(super) nominal_bit_rate: u64,
    pub(super) kind: KindRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindRecord {
    Video { size: Size, frame_rate: FrameRate },
    Audio { sample_rate: u32, channels: u8 },
}

impl From<&WindowTrackKind> for KindRecord {
    fn from(kind: &WindowTrackKind) -> Self {
        match *kind {
            WindowTrackKind::Video { size, frame_rate } => Self::Video { size, frame_rate },
            WindowTrackKind::Audio { sample_rate, channels } => Self::Audio { sample_rate, channels },
        }
    }
}

impl From<&KindRecord> for WindowTrackKind {
    fn from(kind: &KindRecord) -> Self {
        match *kind {
            KindRecord::Video { size, frame_rate } => Self::Video { size, frame_rate },
            KindRecord::Audio { sample_rate, channels } => Self::Audio { sample_rate, channels },
        }
    }
}

/// What is known of a presentation apart from its segments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PresentationRecord {
    pub(super) feed: FeedName,
    pub(super) id: PresentationId,
    pub(super) title: String,
    pub(super) availability_start_unix_millis: u64,
    pub(super) cadence: Cadence,
    pub(super) tracks: Vec<TrackRecord>,
}

/// A presentation in the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) row: i64,
    pub(super) record: PresentationRecord,
    pub(super) ended_unix_millis: Option<u64>,
    pub(super) bytes: u64,
    pub(super) duration: Duration,
}

/// One segment to be noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewSegment {
    pub(super) row: i64,
    pub(super) track: usize,
    pub(super) segment: WindowSegment,
}

/// One connection to the catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    connection: Connection,
}

fn failed(step: &'static str) -> impl Fn(rusqlite::Error) -> CatalogueError {
    move |source| CatalogueError::Statement { step, source }
}

fn signed(what: &'static str, value: u64) -> Result<i64, CatalogueError> {
    i64::try_from(value).map_err(|_| CatalogueError::Range { what, value })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Catalogue {
    /// Opens or creates the database for writing.
    pub(super) fn open(path: &Path) -> Result<Self, CatalogueError> {
        let opening = |source| CatalogueError::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(opening)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
        // A row is noted after its file is on disk and must then be found after a power cut: hence FULL, not NORMAL.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(opening)?;
        let found: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
        match found {
            0 => connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;")).map_err(opening)?,
            SCHEMA_VERSION => {}
            _ => return Err(CatalogueError::Schema { path: path.to_owned(), found }),
        }
        Ok(Self { connection })
    }

    /// Opens an existing database for reading.
    pub(super) fn open_for_reading(path: &Path) -> Result<Self, CatalogueError> {
        let opening = |source| CatalogueError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(opening)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
        Ok(Self { connection })
    }

    /// Notes a presentation and returns its row; the row it has where it is noted already.
    pub(super) fn begin(&self, record: &PresentationRecord) -> Result<i64, CatalogueError> {
        let step = failed("noting a presentation");
        self.connection
            .execute(
                "INSERT INTO feeds (name) VALUES (?1) ON CONFLICT DO NOTHING",
                params![record.feed.as_str()],
            )
            .map_err(&step)?;
        let json = |column| move |source| CatalogueError::Row { column, source };
        self.connection
            .execute(
                "INSERT INTO presentations (feed, name, title, availability_start_unix_millis, cadence, tracks)
                 VALUES ((SELECT id FROM feeds WHERE name = ?1), ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    record.feed.as_str(),
                    record.id.as_str(),
                    record.title,
                    signed("availability start", record.availability_start_unix_millis)?,
                    serde_json::to_string(&record.cadence).map_err(json("cadence"))?,
                    serde_json::to_string(&record.tracks).map_err(json("tracks"))?,
                ],
            )
            .map_err(&step)?;
        self.connection
            .query_row(
                "SELECT p.id FROM presentations p JOIN feeds f ON f.id = p.feed WHERE f.name = ?1 AND p.name = ?2",
                params![record.feed.as_str(), record.id.as_str()],
                |row| row.get(0),
            )
            .map_err(&step)
    }

    /// Notes a segment whose file is on disk.
    pub(super) fn add(&mut self, new: &NewSegment) -> Result<(), CatalogueError> {
        let step = failed("noting a segment");
        let NewSegment { row, track, segment } = *new;
        let transaction = self.connection.transaction().map_err(&step)?;
        let track = i64::try_from(track).unwrap_or(i64::MAX);
        let bytes = signed("segment size", segment.bytes)?;
        let added = transaction
            .execute(
                "INSERT INTO segments VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    row,
                    track,
                    signed("segment number", segment.number.0)?,
                    segment.start.ticks(),
                    segment.duration.ticks(),
                    bytes
                ],
            )
            .map_err(&step)?;
        if added > 0 {
            let end = segment.start.plus(segment.duration).ticks_at(Timescale::MILLIS);
            transaction
                .execute(
                    "UPDATE presentations SET bytes = bytes + ?2, end_millis = max(end_millis, ?3) WHERE id = ?1",
                    params![row, bytes, end],
                )
                .map_err(&step)?;
        }
        transaction.commit().map_err(&step)
    }

    /// Notes that a presentation has ended.
    pub(super) fn end(&self, row: i64, ended_unix_millis: u64) -> Result<(), CatalogueError> {
        self.connection
            .execute(
                "UPDATE presentations SET ended_unix_millis = ?2 WHERE id = ?1 AND ended_unix_millis IS NULL",
                params![row, signed("end", ended_unix_millis)?],
            )
            .map(drop)
            .map_err(failed("ending a presentation"))
    }

    /// Ends what an earlier run left open, each at the end of its last segment, and returns how many there were.
    pub(super) fn end_all_open(&self) -> Result<usize, CatalogueError> {
        self.connection
            .execute(
                "UPDATE presentations SET ended_unix_millis = availability_start_unix_millis + end_millis
                 WHERE ended_unix_millis IS NULL",
                [],
            )
            .map_err(failed("ending earlier presentations"))
    }

    /// Forgets a presentation and its segments.
    pub(super) fn remove(&self, row: i64) -> Result<(), CatalogueError> {
        self.connection
            .execute("DELETE FROM presentations WHERE id = ?1", params![row])
            .map(drop)
            .map_err(failed("removing a presentation"))
    }

    /// Forgets a segment whose file is not there.
    pub(super) fn remove_segment(
        &mut self,
        row: i64,
        track: usize,
        segment: &WindowSegment,
    ) -> Result<(), CatalogueError> {
        let step = failed("removing a segment");
        let transaction = self.connection.transaction().map_err(&step)?;
        let removed = transaction
            .execute(
                "DELETE FROM segments WHERE presentation = ?1 AND track = ?2 AND number = ?3",
                params![
                    row,
                    i64::try_from(track).unwrap_or(i64::MAX),
                    signed("segment number", segment.number.0)?
                ],
            )
            .map_err(&step)?;
        if removed > 0 {
            transaction
                .execute(
                    "UPDATE presentations SET bytes = max(0, bytes - ?2) WHERE id = ?1",
                    params![row, signed("segment size", segment.bytes)?],
                )
                .map_err(&step)?;
        }
        transaction.commit().map_err(&step)
    }

    /// The presentations of one feed, or of all; newest first.
    pub(super) fn list(&self, feed: Option<&FeedName>) -> Result<Vec<Listed>, CatalogueError> {
        let step = failed("listing presentations");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT p.id, f.name, p.name, p.title, p.availability_start_unix_millis, p.cadence, p.tracks,
                        p.ended_unix_millis, p.bytes, p.end_millis
                 FROM presentations p JOIN feeds f ON f.id = p.feed WHERE ?1 IS NULL OR f.name = ?1
                 ORDER BY p.availability_start_unix_millis DESC, p.id DESC",
            )
            .map_err(&step)?;
        let rows = statement.query_map(params![feed.map(FeedName::as_str)], Raw::read).map_err(&step)?;
        rows.map(|row| row.map_err(&step)?.parse()).collect()
    }

    /// One presentation.
    pub(super) fn find(
        &self,
        feed: &FeedName,
        id: &PresentationId,
    ) -> Result<Option<Listed>, CatalogueError> {
        let step = failed("finding a presentation");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT p.id, f.name, p.name, p.title, p.availability_start_unix_millis, p.cadence, p.tracks,
                        p.ended_unix_millis, p.bytes, p.end_millis
                 FROM presentations p JOIN feeds f ON f.id = p.feed WHERE f.name = ?1 AND p.name = ?2",
            )
            .map_err(&step)?;
        let raw =
            statement.query_row(params![feed.as_str(), id.as_str()], Raw::read).optional().map_err(&step)?;
        raw.map(Raw::parse).transpose()
    }

    /// The segments of one track, by number.
    pub(super) fn segments(
        &self,
        row: i64,
        track: usize,
        timescale: Timescale,
    ) -> Result<Vec<WindowSegment>, CatalogueError> {
        let step = failed("listing segments");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT number, start_ticks, duration_ticks, bytes FROM segments
                 WHERE presentation = ?1 AND track = ?2 ORDER BY number",
            )
            .map_err(&step)?;
        let track = i64::try_from(track).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![row, track], |row| segment(row, timescale)).map_err(&step)?;
        rows.map(|row| row.map_err(&step)).collect()
    }

    /// Track index and size of one segment.
    pub(super) fn segment_bytes(
        &self,
        row: i64,
        track: usize,
        number: SegmentNumber,
    ) -> Result<Option<u64>, CatalogueError> {
        // A number that the database cannot hold is not in it.
        let Ok(number) = i64::try_from(number.0) else { return Ok(None) };
        let step = failed("finding a segment");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT bytes FROM segments WHERE presentation = ?1 AND track = ?2 AND number = ?3",
            )
            .map_err(&step)?;
        let track = i64::try_from(track).unwrap_or(i64::MAX);
        let bytes: Option<i64> =
            statement.query_row(params![row, track, number], |row| row.get(0)).optional().map_err(&step)?;
        Ok(bytes.map(unsigned))
    }
}

fn segment(row: &Row<'_>, timescale: Timescale) -> Result<WindowSegment, rusqlite::Error> {
    Ok(WindowSegment {
        number: SegmentNumber(unsigned(row.get(0)?)),
        start: MediaTime::new(row.get(1)?, timescale),
        duration: MediaTime::new(row.get(2)?, timescale),
        bytes: unsigned(row.get(3)?),
    })
}

struct Raw {
    row: i64,
    feed: String,
    id: String,
    title: String,
    start: i64,
    cadence: String,
    tracks: String,
    ended: Option<i64>,
    bytes: i64,
    end_millis: i64,
}

impl Raw {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
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
            end_millis: row.get(9)?,
        })
    }

    fn parse(self) -> Result<Listed, CatalogueError> {
        let json = |column| move |source| CatalogueError::Row { column, source };
        let record = PresentationRecord {
            feed: FeedName::new(&self.feed)?,
            id: PresentationId::new(&self.id)?,
            title: self.title,
            availability_start_unix_millis: unsigned(self.start),
            cadence: serde_json::from_str(&self.cadence).map_err(json("cadence"))?,
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
            duration: Duration::from_millis(unsigned(self.end_millis)),
        })
    }
}
