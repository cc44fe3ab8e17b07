//! A small file of the state folder, replaced whole or not at all.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Its mode; the process's mask takes from it what it takes.
    pub(crate) mode: u32,
    /// Whether it outlives a power cut. One that does not is empty after it, or as it was before.
    pub(crate) synced: bool,
}

/// Writes `bytes` beside the file at `path` and puts them in its place. Its folder is made where it is missing.
///
/// # Errors
///
/// Where the disk refuses. The file is as it was then, and nothing is left beside it if that can be helped.
pub(crate) fn replace(path: &Path, bytes: &[u8], keep: Keep) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_added_extension(format!("{}.new", std::process::id()));
    let put = || {
        // A file of a process of this number that died would keep its own mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(keep.mode).open(&beside)?;
        file.write_all(bytes)?;
        if keep.synced {
            file.sync_all()?;
        }
        fs::rename(&beside, path)
    };
    put().inspect_err(|_| {
        // Best effort: what matters is the first error.
        let _ignored = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: Keep = Keep { mode: 0o600, synced: true };

    #[test]
    fn a_file_is_replaced_whole_in_a_folder_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/there/yet");
        let path = state.join("secret.json");
        for content in [b"one".as_slice(), b"another"] {
            // Of a process of our number that died.
            if state.exists() {
                let left = path.with_added_extension(format!("{}.new", std::process::id()));
                fs::write(&left, b"left").unwrap();
                fs::set_permissions(&left, PermissionsExt::from_mode(0o644)).unwrap();
            }
            replace(&path, content, SECRET).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing is left beside it");
        }
    }

    #[test]
    fn what_fails_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        replace(&path, b"a file", SECRET).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
