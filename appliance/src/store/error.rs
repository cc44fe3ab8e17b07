//! What may go wrong with the store.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task;

use super::archive::ArchiveError;
use super::catalogue::CatalogueError;
use super::name::{FeedName, InvalidName, PresentationId};

/// What may go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder or the archive's cannot be made.
    #[error("folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive whose catalogue is missing or damaged cannot be put aside, or the catalogue cannot.
    #[error("{} cannot be put aside", path.display())]
    PutAside {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon uses the catalogue, or nobody can be kept from it.
    #[error("catalogue is in use: {} cannot be locked", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An archived object cannot be read.
    #[error("archived object cannot be read")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// A name cannot stand in a URL.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Two tracks have one name, or there is none.
    #[error("presentation {id} has {tracks} tracks of {names} names; every track needs a name of its own")]
    Tracks {
        /// Which.
        id: PresentationId,
        /// How many tracks.
        tracks: usize,
        /// How many names.
        names: usize,
    },
    /// The feed has had a presentation of this id.
    #[error("feed {feed} has a presentation {id} already")]
    Taken {
        /// Which feed.
        feed: FeedName,
        /// Which id.
        id: PresentationId,
    },
    /// The presentation was gone on with or ended meanwhile.
    #[error("presentation {id} of feed {feed} is not interrupted")]
    NotInterrupted {
        /// Which feed.
        feed: FeedName,
        /// Which id.
        id: PresentationId,
    },
    /// The disk did not answer while the archive was opened.
    #[error("the disk did not answer within {within:?}")]
    Unanswered {
        /// How long that was waited for.
        within: Duration,
    },
    /// The thread that lists, or the one that opens the archive, cannot be started.
    #[error("a thread of the store cannot be started")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// A metric is registered twice: two stores share one registry.
    #[error("metrics of the store cannot be registered")]
    Metrics {
        /// Why.
        #[from]
        source: prometheus::Error,
    },
    /// The runtime is stopping.
    #[error("a lookup was given up because the daemon stops")]
    Stopping {
        /// Why.
        #[from]
        source: task::JoinError,
    },
}
