//! A disk that is really full: a small file system in memory, where this may be mounted.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system, until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many megabytes at `at`. None where nobody may mount: the test is skipped then, which is told.
    ///
    /// # Panics
    /// Where nothing may be skipped.
    #[must_use]
    pub fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { at: at.to_owned() });
        }
        crate::asked::skipped("nothing may be mounted");
        None
    }

    /// Takes what space there is; what is written is to be removed to give it back.
    ///
    /// # Panics
    /// Where nothing can be written at all.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let path = self.at.join("filling");
        let mut file = File::create(&path).unwrap();
        for piece in [65_536, 512, 1] {
            while file.write_all(&vec![7; piece]).is_ok() {}
        }
        path
    }

    /// Makes it read-only, or not.
    ///
    /// # Panics
    /// Where that is refused.
    pub fn read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        let status = Command::new("mount").args(["-o", options]).arg(&self.at).status().unwrap();
        assert!(status.success(), "{options}: {status}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.at.join("filling"));
        // Lazily, for a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
