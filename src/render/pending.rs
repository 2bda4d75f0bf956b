//! Remembers over a restart that a reload is due: a small file beside the rendered one, there from before the file
//! changes until its program knows.
//!
//! Without it, a process that is killed after the rename would find the file as it should be, and never reload.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The mark of one file, or of one folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending(PathBuf);

impl Pending {
    /// The mark in `folder` for what is named `base`.
    #[must_use]
    pub fn new(folder: &Path, base: &OsStr) -> Self {
        let mut name = OsString::from(".");
        name.push(base);
        name.push(".reload-due");
        Self(folder.join(name))
    }

    /// Whether a reload is due.
    #[must_use]
    pub fn is_set(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok_and(|metadata| metadata.is_file())
    }

    /// A reload is due. Where the mark cannot be made, as beside a mounted file, only this process remembers it.
    pub fn set(&self) {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.0);
        if let Ok(file) = made {
            let _ = file.sync_all();
        }
    }

    /// It was done, or nothing is to be reloaded any more.
    pub fn clear(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_until_it_is_cleared_and_a_folder_that_cannot_be_written_to_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let pending = Pending::new(folder.path(), OsStr::new("nginx.conf"));
        assert!(!pending.is_set());
        pending.set();
        pending.set();
        assert!(pending.is_set() && folder.path().join(".nginx.conf.reload-due").exists());
        pending.clear();
        pending.clear();
        assert!(!pending.is_set());
        let nowhere = Pending::new(Path::new("/nowhere/at/all"), OsStr::new("f"));
        nowhere.set();
        assert!(!nowhere.is_set());
    }
}
