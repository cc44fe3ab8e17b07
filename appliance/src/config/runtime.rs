//! `rungd.json` in the state folder: where the running daemon can be reached, for `rungd status`.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Its name in the state folder.
pub const FILE_NAME: &str = "rungd.json";

/// What a running daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeFile {
    /// Its process.
    pub pid: u32,
    /// Since when, in milliseconds since 1970.
    pub started_unix_millis: u64,
    /// The addresses it serves HTTP on, with the ports it really got.
    pub http: Vec<SocketAddr>,
    /// Whether those speak HTTPS.
    pub http_tls: bool,
    /// The addresses of plain RTMP.
    #[serde(default)]
    pub rtmp: Vec<SocketAddr>,
    /// The addresses of RTMPS.
    #[serde(default)]
    pub rtmps: Vec<SocketAddr>,
}

/// Why the file could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeFileError {
    /// The new content could not be put beside it.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be read; not found where no daemon runs.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold what a daemon writes.
    #[error("{} is not what a running rungd writes", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It could not be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RuntimeFile {
    /// Writes the file into `state_dir`, whole or not at all. Readable by all: it holds no secret.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn write(&self, state_dir: &Path) -> Result<(), RuntimeFileError> {
        let path = state_dir.join(FILE_NAME);
        let beside = state_dir.join(format!("{FILE_NAME}.{}.new", self.pid));
        let put = || -> io::Result<()> {
            let mut file = fs::File::create(&beside)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            // Not synced: after a power cut no daemon runs, and an empty file says the same as none.
            fs::rename(&beside, &path)
        };
        put().map_err(|source| {
            // Best effort: what matters is the first error.
            let _ignored = fs::remove_file(&beside);
            RuntimeFileError::Write { path: path.clone(), source }
        })
    }

    /// Reads the file in `state_dir`.
    ///
    /// # Errors
    /// Where there is none, or another program's.
    pub fn read(state_dir: &Path) -> Result<Self, RuntimeFileError> {
        let path = state_dir.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| RuntimeFileError::Content { path, source })
            }
            Err(source) => Err(RuntimeFileError::Read { path, source }),
        }
    }

    /// Removes the file from `state_dir`; none there is fine.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn remove(state_dir: &Path) -> Result<(), RuntimeFileError> {
        let path = state_dir.join(FILE_NAME);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RuntimeFileError::Remove { path, source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_can_be_removed_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = RuntimeFile {
            pid: 7,
            started_unix_millis: 1_795_231_000_000,
            http: vec!["127.0.0.1:8080".parse().unwrap()],
            http_tls: false,
            rtmp: vec![],
            rtmps: vec!["[::]:1936".parse().unwrap()],
        };
        file.write(folder.path()).unwrap();
        assert_eq!(RuntimeFile::read(folder.path()).unwrap(), file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        RuntimeFile::remove(folder.path()).unwrap();
        RuntimeFile::remove(folder.path()).unwrap();
        assert!(matches!(RuntimeFile::read(folder.path()), Err(RuntimeFileError::Read { .. })));
    }
}
