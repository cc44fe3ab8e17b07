//! What a running daemon leaves in the state folder for other commands: `rungd.json`, where it can be reached, for
//! `rungd status`; and `rungd.token`, for those that change something.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::state_file::{self, Keep};

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
    /// The path that encoders publish to.
    #[serde(default)]
    pub application: String,
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
    /// The system gives no random numbers.
    #[error("cannot draw a token")]
    Random(#[source] io::Error),
    /// It could not be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// After a power cut no daemon runs, and an empty file says the same as none.
const PASSING: Keep = Keep { mode: 0o644, synced: false };

/// Name of the token's file in the state folder.
pub const TOKEN_FILE_NAME: &str = "rungd.token";
/// Bytes of a token: 160 bits, as of a stream key; nobody guesses them.
const TOKEN_BYTES: usize = 20;

/// What the API wants to be told by who changes something: a secret that is drawn at each start, and that only the user
/// whom the daemon runs as can read. Whoever can read it could as well stop the daemon.
#[derive(Clone)]
pub struct AdminToken(String);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken")
    }
}

impl AdminToken {
    /// A new one.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn draw() -> Result<Self, RuntimeFileError> {
        let mut bytes = [0u8; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|source| RuntimeFileError::Random(io::Error::from(source)))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Writes it into `state_dir`, which is made where it is missing, for its owner alone.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn write(&self, state_dir: &Path) -> Result<(), RuntimeFileError> {
        let path = state_dir.join(TOKEN_FILE_NAME);
        let text = format!("{}\n", self.0);
        let written = state_file::replace(&path, text.as_bytes(), Keep { mode: 0o600, ..PASSING });
        written.map_err(|source| RuntimeFileError::Write { path, source })
    }

    /// Reads the running daemon's.
    ///
    /// # Errors
    /// Where there is none, or it is not for this user.
    pub fn read(state_dir: &Path) -> Result<Self, RuntimeFileError> {
        let path = state_dir.join(TOKEN_FILE_NAME);
        let text = fs::read_to_string(&path).map_err(|source| RuntimeFileError::Read { path, source })?;
        Ok(Self(text.trim().to_owned()))
    }

    /// Removes it from `state_dir`; none there is fine.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn remove(state_dir: &Path) -> Result<(), RuntimeFileError> {
        remove(state_dir.join(TOKEN_FILE_NAME))
    }

    /// The value of an `Authorization` header with it (RFC 6750, 2.1).
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether this is the value of an `Authorization` header with it; of what has its length it takes as
    /// long whatever it is.
    #[must_use]
    pub fn matches(&self, authorization: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.authorization().as_bytes().ct_eq(authorization).into()
    }
}

fn remove(path: PathBuf) -> Result<(), RuntimeFileError> {
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RuntimeFileError::Remove { path, source })
        }
        _ => Ok(()),
    }
}

impl RuntimeFile {
    /// Writes the file into `state_dir`, which is made where it is missing, whole or not at all. Readable by all: it
    /// holds no secret.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn write(&self, state_dir: &Path) -> Result<(), RuntimeFileError> {
        let path = state_dir.join(FILE_NAME);
        let put = || {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            state_file::replace(&path, &text, PASSING)
        };
        put().map_err(|source| RuntimeFileError::Write { path: path.clone(), source })
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
        remove(state_dir.join(FILE_NAME))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_its_owners_and_another_at_each_start() {
        let folder = tempfile::tempdir().unwrap();
        let token = AdminToken::draw().unwrap();
        for _ in 0..2 {
            token.write(folder.path()).unwrap();
        }
        let path = folder.path().join(TOKEN_FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = AdminToken::read(folder.path()).unwrap();
        assert!(token.matches(read.authorization().as_bytes()));
        assert_eq!(token.0.len(), 2 * TOKEN_BYTES);
        assert!(!format!("{token:?}").contains(&token.0));
        for other in [b"".as_slice(), b"Bearer ", &read.0.as_bytes()[1..], b"Bearer 0"] {
            assert!(!token.matches(other));
        }
        assert!(!token.matches(AdminToken::draw().unwrap().authorization().as_bytes()));
        AdminToken::remove(folder.path()).unwrap();
        AdminToken::remove(folder.path()).unwrap();
        assert!(AdminToken::read(folder.path()).is_err());
    }

    #[test]
    fn what_is_written_is_read_and_can_be_removed_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = RuntimeFile {
            application: "live".to_owned(),
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
