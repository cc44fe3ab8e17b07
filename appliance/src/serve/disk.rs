//! Reads of the archive. Each takes a thread while it lasts, and on a disk that hangs it lasts for ever: so only so many
//! go on at once, and nobody waits long for one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time;

use crate::store::StoreError;

/// Reads at once. Far more than a disk does better than one after the other, and few against the 512 threads that the
/// runtime has for what blocks.
pub(super) const ARCHIVE_PLACES: usize = 64;
/// Lists of recordings at once: the page of a few operators.
pub(super) const CATALOGUE_PLACES: usize = 8;
/// Longest wait for a place: a sound disk reads thousands of pieces in it.
const PLACE_WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for a read; a viewer asks again, elsewhere perhaps, before its buffer is empty.
const READ_WITHIN: Duration = Duration::from_secs(4);

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// Other reads hold all the places.
    #[error("as many reads of the archive are going on as may, and none ended within {PLACE_WITHIN:?}")]
    NoPlace,
    /// The disk does not answer. The read goes on, and keeps its place until it ends.
    #[error("the archive's disk did not answer within {READ_WITHIN:?}")]
    NotInTime,
    /// It answers with an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The places. Cheap to share.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    places: Arc<Semaphore>,
}

impl Disk {
    pub(super) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    /// Does `read` once there is a place. The place is given back when it ends, also where nobody waits any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, DiskError> {
        let place = time::timeout(PLACE_WITHIN, self.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(DiskError::NoPlace) };
        let reading = tokio::spawn(async move {
            let _place = place;
            read.await
        });
        match time::timeout(READ_WITHIN, reading).await {
            Ok(read) => Ok(read.map_err(StoreError::from)??),
            Err(_) => Err(DiskError::NotInTime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_that_hang_keep_their_places_and_nobody_waits_for_them() {
        let disk = Disk::new(ARCHIVE_PLACES);
        let (free, _) = tokio::sync::broadcast::channel::<()>(1);
        let hanging: Vec<_> = (0..ARCHIVE_PLACES)
            .map(|_| {
                let (disk, mut free) = (disk.clone(), free.subscribe());
                tokio::spawn(async move {
                    disk.read(async move {
                        let _ = free.recv().await;
                        Ok(())
                    })
                    .await
                })
            })
            .collect();
        for read in hanging {
            assert!(matches!(read.await.unwrap(), Err(DiskError::NotInTime)));
        }
        assert!(matches!(disk.read(async { Ok(1) }).await, Err(DiskError::NoPlace)));
        free.send(()).unwrap();
        assert_eq!(disk.read(async { Ok(1) }).await.unwrap(), 1);
    }
}
