//! How fast each device is, as measured once and kept in the state folder.
//!
//! A measurement holds for a device of the same name with the same driver at the same address; another one is as good as
//! none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use worker_protocol::device::{Calibration, DeviceReport};

use crate::state_file::{self, Keep};

/// Its name in the state folder.
pub const FILE_NAME: &str = "devices.json";
/// Largest file read: 64 devices with every format and preset are far under it.
const MAX_BYTES: u64 = 4 << 20;

/// Measurements that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpeedsError {
    /// The file.
    #[error("cannot keep the result in {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its content.
    #[error("cannot put the result into words")]
    Content(#[source] serde_json::Error),
}

/// All that was measured; nothing where that cannot be read, since it can be measured again.
#[must_use]
pub fn read(state_dir: &Path) -> Vec<Calibration> {
    let read = || {
        let path = state_dir.join(FILE_NAME);
        if fs::metadata(&path).ok()?.len() > MAX_BYTES {
            return None;
        }
        serde_json::from_slice(&fs::read(&path).ok()?).ok()
    };
    read().unwrap_or_default()
}

/// Keeps a measurement, in the place of what was measured of that device before.
///
/// # Errors
/// Where the state folder cannot be written.
pub fn keep(state_dir: &Path, measured: &Calibration) -> Result<(), SpeedsError> {
    let mut all = read(state_dir);
    all.retain(|other| other.id != measured.id);
    all.push(measured.clone());
    let text = serde_json::to_vec_pretty(&all).map_err(SpeedsError::Content)?;
    let path = state_dir.join(FILE_NAME);
    // What took minutes to measure outlives a power cut.
    let written = state_file::replace(&path, &text, Keep { mode: 0o644, synced: true });
    written.map_err(|source| SpeedsError::Write { path, source })
}

/// Whether a measurement is of this very device.
#[must_use]
pub fn holds(measured: &Calibration, device: &DeviceReport) -> bool {
    measured.id == device.id && measured.name == device.name && measured.driver == device.driver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::choice::tests::inventory;

    #[test]
    fn a_new_measurement_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let device = inventory(&["vaapi:0000:00:02.0"]).devices.remove(0);
        let measured = |driver: &str| Calibration {
            id: device.id.clone(),
            name: device.name.clone(),
            driver: driver.to_owned(),
            speeds: Vec::new(),
            problems: Vec::new(),
        };
        assert!(read(&state).is_empty());
        keep(&state, &measured("a driver 0.9")).unwrap();
        assert!(!holds(&read(&state)[0], &device));
        keep(&state, &measured("a driver 1.0")).unwrap();
        let all = read(&state);
        assert_eq!(all.len(), 1);
        assert!(holds(&all[0], &device));
        fs::write(state.join(FILE_NAME), b"{").unwrap();
        assert!(read(&state).is_empty());
    }
}
