//! At the start: what an earlier run left is put in order, so that the catalogue and the files agree.

use std::collections::{HashMap, HashSet};

use tracing::{info, warn};

use super::ArchiveError;
use super::backend::{ArchiveBackend, ObjectName, Part};
use crate::store::catalogue::{Catalogue, Listed};
use crate::store::name::TrackName;

/// Ends what was left open, forgets segments without a file, and removes files that the catalogue does not name.
///
/// Presentations that a run before this one left open become replays that end with their last segment. This is the
/// place where taking them up again would begin.
pub(in crate::store) fn recover(
    backend: &dyn ArchiveBackend,
    catalogue: &mut Catalogue,
) -> Result<(), ArchiveError> {
    let ended = catalogue.end_all_open()?;
    if ended > 0 {
        info!(presentations = ended, "ended presentations that an earlier run left open");
    }
    let listed = catalogue.list(None)?;
    let known: HashSet<_> = listed
        .iter()
        .map(|presentation| (presentation.record.feed.clone(), presentation.record.id.clone()))
        .collect();
    for presentation in &listed {
        reconcile(backend, catalogue, presentation)?;
    }
    for (feed, id) in backend.presentations().map_err(|source| ArchiveError::List { source })? {
        if known.contains(&(feed.clone(), id.clone())) {
            continue;
        }
        warn!(%feed, presentation = %id, "removing files of a presentation that the catalogue does not name");
        backend
            .remove_presentation(&feed, &id)
            .map_err(|source| ArchiveError::Remove { object: format!("{feed}/{id}"), source })?;
    }
    Ok(())
}

fn reconcile(
    backend: &dyn ArchiveBackend,
    catalogue: &mut Catalogue,
    presentation: &Listed,
) -> Result<(), ArchiveError> {
    let (feed, id) = (&presentation.record.feed, &presentation.record.id);
    let mut left = 0;
    let mut inits = true;
    for (index, track) in presentation.record.tracks.iter().enumerate() {
        let name = TrackName::new(&track.name)?;
        let mut files: HashMap<Part, u64> = backend
            .list(feed, id, &name)
            .map_err(|source| ArchiveError::List { source })?
            .into_iter()
            .collect();
        inits &= files.remove(&Part::Init).is_some();
        for segment in catalogue.segments(presentation.row, index, track.timescale)? {
            if files.remove(&Part::Segment(segment.number)) == Some(segment.bytes) {
                left += 1;
                continue;
            }
            warn!(%feed, presentation = %id, track = %name, number = %segment.number, "segment has lost its file");
            catalogue.remove_segment(presentation.row, index, &segment)?;
        }
        for part in files.into_keys() {
            let object =
                ObjectName { feed: feed.clone(), presentation: id.clone(), track: name.clone(), part };
            backend
                .remove(&object)
                .map_err(|source| ArchiveError::Remove { object: object.to_string(), source })?;
        }
    }
    if left == 0 || !inits {
        info!(%feed, presentation = %id, "removing a presentation of which nothing can be played");
        catalogue.remove(presentation.row)?;
        backend
            .remove_presentation(feed, id)
            .map_err(|source| ArchiveError::Remove { object: format!("{feed}/{id}"), source })?;
    }
    Ok(())
}
