//! The files that one resource with `for_each` has made: a small file in their folder, so that what no longer has a
//! service is removed also after a restart, and nothing else ever is.
//!
//! A file is listed from before it is made until after it is removed, whatever happens in between.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::render::compare::Attributes;
use crate::render::stage::Stage;

/// The files that a resource has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    path: PathBuf,
    resource: PathBuf,
    saved: BTreeSet<String>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Content {
    /// The resource, for whoever wonders.
    resource: PathBuf,
    /// The files, each by its path below the folder.
    files: BTreeSet<String>,
}

impl Ledger {
    /// Reads the ledger of this resource in `root`. One that is not there is empty.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(root: &Path, resource: &Path) -> io::Result<Self> {
        let resource = fs::canonicalize(resource).unwrap_or_else(|_| resource.to_owned());
        let path = root.join(name(&resource));
        let saved = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            read => serde_json::from_slice::<Content>(&read?).map_err(io::Error::other)?.files,
        };
        Ok(Self { path, resource, saved })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that were made.
    #[must_use]
    pub fn files(&self) -> &BTreeSet<String> {
        &self.saved
    }

    /// Saves that these are the files. Returns when that is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self, files: BTreeSet<String>) -> io::Result<()> {
        if files == self.saved {
            return Ok(());
        }
        if files.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.saved = files,
            }
            return Ok(());
        }
        let content = Content { resource: self.resource.clone(), files };
        let text = serde_json::to_vec_pretty(&content)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut stage = Stage::file(folder, self.path.file_name().unwrap_or_default())?;
        let own = Attributes { mode: 0o600, uid: geteuid().as_raw(), gid: getegid().as_raw() };
        stage.fill(&text, own)?;
        stage.rename(&self.path)?;
        self.saved = content.files;
        Ok(())
    }
}

/// The name of a resource's ledger. Resources of equal names in different folders have different ones.
fn name(resource: &Path) -> OsString {
    let digest = format!("{:x}", md5::compute(resource.as_os_str().as_bytes()));
    let mut name = OsString::from(".");
    name.push(resource.file_stem().unwrap_or_default());
    name.push(format!(".{}.made", digest.get(..12).unwrap_or_default()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart_and_each_resource_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let resource = folder.path().join("a/web.toml");
        let mut ledger = Ledger::open(folder.path(), &resource).unwrap();
        assert_eq!(ledger.files(), &set(&[]));
        ledger.save(set(&["web.conf", "sub/\"odd\".conf"])).unwrap();
        let again = Ledger::open(folder.path(), &resource).unwrap();
        assert_eq!(again.files(), &set(&["web.conf", "sub/\"odd\".conf"]));
        let other = Ledger::open(folder.path(), &folder.path().join("b/web.toml")).unwrap();
        assert_eq!(other.files(), &set(&[]));
        assert_ne!(other.path(), again.path());
        ledger.save(set(&[])).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_cannot_be_read_is_an_error_and_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), Path::new("/r.toml")).unwrap();
        ledger.save(set(&["a"])).unwrap();
        fs::write(ledger.path(), "{").unwrap();
        assert!(Ledger::open(folder.path(), Path::new("/r.toml")).is_err());
    }
}
