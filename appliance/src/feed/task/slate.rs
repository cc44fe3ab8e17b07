//! The operator's picture for the slate, read when a programme begins.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::config;

/// How long it may take: a disk that hangs keeps no feed from the air, and no daemon from its end.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest picture; the configuration refuses larger ones when it is read.
const MAX_BYTES: u64 = 16 * 1000 * 1000;

/// Reads the picture of one feed, once at a time: a read of a disk that hangs keeps a thread.
#[derive(Debug)]
pub(in crate::feed) struct SlateFile {
    turn: Arc<Semaphore>,
}

impl Default for SlateFile {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

#[derive(Debug, thiserror::Error)]
enum SlateError {
    #[error("it took longer than {TIMEOUT:?}")]
    Late,
    #[error("the last attempt to read it has not come back")]
    Stuck,
    #[error("{0}")]
    Read(std::io::Error),
    #[error("the thread that read it failed")]
    Thread,
}

impl SlateFile {
    /// The picture, as it is now. One that cannot be read does not keep a feed from the air.
    pub(super) async fn read(&self, config: &config::Feed) -> Bytes {
        let Some(path) = &config.slate else { return Bytes::new() };
        self.attempt(path).await.unwrap_or_else(|fault| {
            warn!(feed = config.name, path = %path.display(), %fault, "the slate's picture cannot be read; the built-in card is shown");
            Bytes::new()
        })
    }

    async fn attempt(&self, path: &Path) -> Result<Bytes, SlateError> {
        let turn = self.turn.clone().try_acquire_owned().map_err(|_| SlateError::Stuck)?;
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut picture = Vec::new();
            std::fs::File::open(path)?.take(MAX_BYTES).read_to_end(&mut picture)?;
            Ok::<_, std::io::Error>(Bytes::from(picture))
        });
        let read = tokio::time::timeout(TIMEOUT, reading).await.map_err(|_| SlateError::Late)?;
        read.map_err(|_| SlateError::Thread)?.map_err(SlateError::Read)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Opening a pipe that nobody writes to waits, as a disk that hangs does.
    #[tokio::test]
    async fn a_disk_that_hangs_is_given_up_and_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("slate.png");
        assert!(Command::new("/usr/bin/mkfifo").arg(&pipe).status().unwrap().success());
        let file = SlateFile::default();
        let late = tokio::time::timeout(TIMEOUT * 5, file.attempt(&pipe)).await.expect("given up");
        assert!(matches!(late, Err(SlateError::Late)), "{late:?}");
        assert!(matches!(file.attempt(&pipe).await, Err(SlateError::Stuck)));
        // Somebody writes, and the thread comes back.
        std::fs::write(&pipe, b"picture").unwrap();
        let plain = folder.path().join("plain.png");
        std::fs::write(&plain, b"picture").unwrap();
        drop(
            tokio::time::timeout(TIMEOUT * 5, file.turn.acquire())
                .await
                .expect("the thread is back")
                .unwrap(),
        );
        assert_eq!(file.attempt(&plain).await.unwrap(), "picture");
    }
}
