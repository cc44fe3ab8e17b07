//! The catalogue: feeds, presentations and segments in SQLite. What is not in it is not a replay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use media::{SegmentNumber, Timescale};
use packager::window::WindowSegment;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use self::record::{COLUMNS, Raw, noted, unsigned};
use super::live::BitRates;
use super::name::{FeedName, InvalidName, PresentationId};

mod record;

pub(super) use self::record::{KindRecord, Listed, NewSegment, Noted, PresentationRecord, TrackRecord};

/// `PRAGMA user_version` of the schema below.
const SCHEMA_VERSION: i64 = 2;

/// For all of a track's segments.
pub(super) const ALL: u32 = u32::MAX;

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
        start_millis INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0,
        window_millis INTEGER NOT NULL DEFAULT 0,
        memory_millis INTEGER NOT NULL DEFAULT 0,
        latency_millis INTEGER,
        resume BLOB NOT NULL DEFAULT x'',
        UNIQUE (feed, name)
    );
    CREATE TABLE segments (
        presentation INTEGER NOT NULL REFERENCES presentations (id) ON DELETE CASCADE,
        track INTEGER NOT NULL,
        number INTEGER NOT NULL,
        start_ticks INTEGER NOT NULL,
        duration_ticks INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        crc32 INTEGER,
        PRIMARY KEY (presentation, track, number)
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;
";

/// From schema 1: presentations that cannot be taken up again (their window is zero), segments without a checksum.
const FROM_1: &str = "
    ALTER TABLE presentations ADD COLUMN start_millis INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE presentations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE presentations ADD COLUMN window_millis INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE presentations ADD COLUMN memory_millis INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE presentations ADD COLUMN latency_millis INTEGER;
    ALTER TABLE presentations ADD COLUMN resume BLOB NOT NULL DEFAULT x'';
    ALTER TABLE segments ADD COLUMN crc32 INTEGER;
    PRAGMA user_version = 2;
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

impl CatalogueError {
    /// Whether the file is not what it was when it was written: nothing is gained by trying again.
    pub(super) fn is_damage(&self) -> bool {
        let (Self::Open { source, .. } | Self::Statement { source, .. }) = self else {
            return matches!(self, Self::Row { .. } | Self::Name { .. });
        };
        matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
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

fn millis(what: &'static str, value: Duration) -> Result<i64, CatalogueError> {
    signed(what, u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

fn index(track: usize) -> i64 {
    i64::try_from(track).unwrap_or(i64::MAX)
}

impl Catalogue {
    /// Whether there is no database at a path, or one that nothing was ever noted in: a power cut or a hasty copy may
    /// have left no more of it.
    pub(super) fn is_blank(path: &Path) -> Result<bool, CatalogueError> {
        let opening = |source| CatalogueError::Open { path: path.to_owned(), source };
        if !path.exists() {
            return Ok(true);
        }
        let connection = Connection::open(path).map_err(opening)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
        let found: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
        Ok(found == 0)
    }

    /// Opens or creates the database for writing.
    pub(super) fn open(path: &Path) -> Result<Self, CatalogueError> {
        let opening = |source| CatalogueError::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(opening)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
        // A row is noted after its file is on disk, and what is noted is listed: it must be found again after a power
        // cut. In WAL mode NORMAL syncs at checkpoints only, FULL at every commit: one fsync of the log, of which there
        // is one commit a segment number. A killed process loses nothing in either: what it wrote is the kernel's.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(opening)?;
        let found: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
        match found {
            0 => connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;")).map_err(opening)?,
            1 => connection.execute_batch(&format!("BEGIN; {FROM_1} COMMIT;")).map_err(opening)?,
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
    pub(super) fn begin(&self, record: &PresentationRecord, resume: &[u8]) -> Result<i64, CatalogueError> {
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
                "INSERT INTO presentations (feed, name, title, availability_start_unix_millis, cadence, tracks,
                                            window_millis, memory_millis, latency_millis, resume)
                 VALUES ((SELECT id FROM feeds WHERE name = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT DO NOTHING",
                params![
                    record.feed.as_str(),
                    record.id.as_str(),
                    record.title,
                    signed("availability start", record.availability_start_unix_millis)?,
                    serde_json::to_string(&record.cadence).map_err(json("cadence"))?,
                    serde_json::to_string(&record.tracks).map_err(json("tracks"))?,
                    millis("window", record.window)?,
                    millis("memory", record.memory)?,
                    record.target_latency.map(|latency| millis("latency", latency)).transpose()?,
                    resume,
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

    /// Notes segments whose files are on disk: all of them or none.
    pub(super) fn add(&mut self, new: &[NewSegment]) -> Result<(), CatalogueError> {
        let step = failed("noting segments");
        let transaction = self.connection.transaction().map_err(&step)?;
        // Of the first ones: what came before them was never kept.
        let start = new.iter().map(|new| new.segment.start.ticks_at(Timescale::MILLIS)).min();
        for NewSegment { row, track, segment, crc32 } in new {
            let bytes = signed("segment size", segment.bytes)?;
            let added = transaction
                .prepare_cached(
                    "INSERT INTO segments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                )
                .and_then(|mut statement| {
                    let (start, duration) = (segment.start.ticks(), segment.duration.ticks());
                    let number = i64::try_from(segment.number.0).unwrap_or(i64::MAX);
                    statement.execute(params![row, index(*track), number, start, duration, bytes, crc32])
                })
                .map_err(&step)?;
            if added == 0 {
                continue;
            }
            let end = segment.start.plus(segment.duration).ticks_at(Timescale::MILLIS);
            transaction
                .prepare_cached(
                    "UPDATE presentations SET bytes = bytes + ?2, end_millis = max(end_millis, ?3),
                                              start_millis = CASE end_millis WHEN 0 THEN ?4 ELSE start_millis END,
                                              revision = revision + 1 WHERE id = ?1",
                )
                .and_then(|mut statement| statement.execute(params![row, bytes, end, start]))
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

    /// Replaces what the feed wants to know when it takes the presentation up again.
    pub(super) fn set_resume(&self, row: i64, resume: &[u8]) -> Result<(), CatalogueError> {
        self.connection
            .execute("UPDATE presentations SET resume = ?2 WHERE id = ?1", params![row, resume])
            .map(drop)
            .map_err(failed("noting how to go on"))
    }

    /// What the feed wants to know when it takes the presentation up again.
    pub(super) fn resume(&self, row: i64) -> Result<Vec<u8>, CatalogueError> {
        self.connection
            .query_row("SELECT resume FROM presentations WHERE id = ?1", params![row], |row| row.get(0))
            .map_err(failed("reading how to go on"))
    }

    /// Makes a presentation one of which nothing can be played, whatever rows there still are.
    pub(super) fn empty(&self, row: i64) -> Result<(), CatalogueError> {
        self.connection
            .execute(
                "UPDATE presentations SET bytes = 0, start_millis = 0, end_millis = 0, revision = revision + 1
                 WHERE id = ?1",
                params![row],
            )
            .map(drop)
            .map_err(failed("emptying a presentation"))
    }

    /// Forgets some of a presentation's segments; whether there were any.
    pub(super) fn remove_rows(&self, row: i64, at_once: u32) -> Result<bool, CatalogueError> {
        let removed = self.connection.execute(
            "DELETE FROM segments WHERE presentation = ?1 AND (track, number) IN
                 (SELECT track, number FROM segments WHERE presentation = ?1 LIMIT ?2)",
            params![row, at_once],
        );
        removed.map(|removed| removed > 0).map_err(failed("removing segments of a presentation"))
    }

    /// Forgets a presentation and its segments.
    pub(super) fn remove(&self, row: i64) -> Result<(), CatalogueError> {
        self.connection
            .execute("DELETE FROM presentations WHERE id = ?1", params![row])
            .map(drop)
            .map_err(failed("removing a presentation"))
    }

    /// Forgets segments, given by track; `extent` is where what is left begins and ends. All of them or none.
    pub(super) fn remove_segments(
        &mut self,
        row: i64,
        gone: &[(usize, WindowSegment)],
        extent: (Duration, Duration),
    ) -> Result<(), CatalogueError> {
        let step = failed("removing segments");
        let transaction = self.connection.transaction().map_err(&step)?;
        let mut bytes = 0_u64;
        for (track, segment) in gone {
            let removed = transaction
                .prepare_cached("DELETE FROM segments WHERE presentation = ?1 AND track = ?2 AND number = ?3")
                .and_then(|mut statement| {
                    let number = i64::try_from(segment.number.0).unwrap_or(i64::MAX);
                    statement.execute(params![row, index(*track), number])
                })
                .map_err(&step)?;
            bytes = bytes.saturating_add(if removed > 0 { segment.bytes } else { 0 });
        }
        let (start, end) = (millis("start", extent.0)?, millis("end", extent.1)?);
        transaction
            .execute(
                "UPDATE presentations SET bytes = max(0, bytes - ?2), start_millis = ?3, end_millis = ?4,
                                          revision = revision + 1 WHERE id = ?1",
                params![row, signed("segment size", bytes)?, start, end],
            )
            .map_err(&step)?;
        transaction.commit().map_err(&step)
    }

    /// The presentations of one feed, or of all; newest first.
    pub(super) fn list(&self, feed: Option<&FeedName>) -> Result<Vec<Listed>, CatalogueError> {
        let step = failed("listing presentations");
        let mut statement = self
            .connection
            .prepare_cached(
                &format!(
                "SELECT {COLUMNS} FROM presentations p JOIN feeds f ON f.id = p.feed WHERE ?1 IS NULL OR f.name = ?1
                 ORDER BY p.availability_start_unix_millis DESC, p.id DESC"
            ),
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
                &format!(
                "SELECT {COLUMNS} FROM presentations p JOIN feeds f ON f.id = p.feed WHERE f.name = ?1 AND p.name = ?2"
            ),
            )
            .map_err(&step)?;
        let raw =
            statement.query_row(params![feed.as_str(), id.as_str()], Raw::read).optional().map_err(&step)?;
        raw.map(Raw::parse).transpose()
    }

    /// The segments of one track from number `from` on, by number, at most `limit`.
    pub(super) fn segments(
        &self,
        row: i64,
        track: usize,
        timescale: Timescale,
        from: SegmentNumber,
        limit: u32,
    ) -> Result<Vec<Noted>, CatalogueError> {
        let step = failed("listing segments");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT number, start_ticks, duration_ticks, bytes, crc32 FROM segments
                 WHERE presentation = ?1 AND track = ?2 AND number >= ?3 ORDER BY number LIMIT ?4",
            )
            .map_err(&step)?;
        let from = i64::try_from(from.0).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![row, index(track), from, limit], |row| noted(row, timescale))
            .map_err(&step)?;
        rows.map(|row| row.map_err(&step)).collect()
    }

    /// The highest number of a presentation's first track.
    pub(super) fn last_number(&self, row: i64) -> Result<Option<SegmentNumber>, CatalogueError> {
        let last: Option<i64> = self
            .connection
            .query_row(
                "SELECT max(number) FROM segments WHERE presentation = ?1 AND track = 0",
                params![row],
                |row| row.get(0),
            )
            .map_err(failed("finding the last segment"))?;
        Ok(last.map(|last| SegmentNumber(unsigned(last))))
    }

    /// Bit rates of one track over all its segments.
    pub(super) fn rates(
        &self,
        row: i64,
        track: usize,
        timescale: Timescale,
    ) -> Result<BitRates, CatalogueError> {
        // In bits per second; a segment of a gigabyte on a clock of a gigahertz still fits 63 bits.
        let (peak, bytes, ticks): (i64, i64, i64) = self
            .connection
            .query_row(
                "SELECT coalesce(max(bytes * 8 * ?3 / max(duration_ticks, 1)), 0), coalesce(sum(bytes), 0),
                        coalesce(sum(duration_ticks), 0) FROM segments WHERE presentation = ?1 AND track = ?2",
                params![row, index(track), timescale.get()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map_err(failed("summing segments up"))?;
        Ok(BitRates::of(unsigned(peak), unsigned(bytes), media::MediaTime::new(ticks, timescale)))
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
        let bytes: Option<i64> = statement
            .query_row(params![row, index(track), number], |row| row.get(0))
            .optional()
            .map_err(&step)?;
        Ok(bytes.map(unsigned))
    }
}
