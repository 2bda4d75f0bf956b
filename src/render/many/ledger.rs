//! The files that one resource with `for_each` has made: a small file in their folder, so that what no longer has a
//! service is removed also after a restart, and nothing else ever is.
//!
//! A file is listed from before it is made until after it is removed, whatever happens in between.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

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
            read => {
                let content: Content = serde_json::from_slice(&read?).map_err(io::Error::other)?;
                trusted(&path)?;
                content.files.into_iter().filter(|name| is_below(name)).collect()
            }
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

/// A list of files to remove is believed only if it is ours.
fn trusted(path: &Path) -> io::Result<()> {
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == geteuid().as_raw() || owner == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("it belongs to uid {owner}; remove it")))
}

/// Whether a path stays below the folder that it is joined to.
fn is_below(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
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
    fn what_it_lists_is_below_its_folder_whoever_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), Path::new("/r.toml")).unwrap();
        ledger.save(set(&["a"])).unwrap();
        let files = set(&["a", "b/c", "../up", "/etc/passwd", "d/../../e", "", ".", ".."]);
        let text = serde_json::to_vec(&Content { resource: "/r.toml".into(), files }).unwrap();
        fs::write(ledger.path(), text).unwrap();
        assert_eq!(Ledger::open(folder.path(), Path::new("/r.toml")).unwrap().files(), &set(&["a", "b/c"]));
        if geteuid().is_root() {
            std::os::unix::fs::chown(ledger.path(), Some(1), Some(1)).unwrap();
            let error = Ledger::open(folder.path(), Path::new("/r.toml")).unwrap_err();
            assert!(error.to_string().contains("belongs to uid 1"), "{error}");
        }
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
