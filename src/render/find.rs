//! The resources of a configuration folder: every `*toml` file below `conf.d/`, in the order of confd.
//!
//! The search is that of Go's `filepath.Walk`: lexical order, entries of a folder one after the other, a folder's own
//! files where its name stands. Links to files are followed, links to folders are not. One bad file stops no other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::resource::{self, Remark, Resource};

/// The largest depth of folders below `conf.d/`.
const DEEPEST: usize = 64;

/// A configuration folder: `conf.d/` and `templates/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confdir {
    root: PathBuf,
    /// The only resource, in the place of those of `conf.d/`.
    only: Option<PathBuf>,
}

/// What was found in a configuration folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The resources, in order.
    pub resources: Vec<Resource>,
    /// The files that cannot be used, and why.
    pub errors: Vec<Remark>,
    /// What is probably a mistake, in files that can be used.
    pub remarks: Vec<Remark>,
}

/// Why no resources can be looked for.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The folder is not there.
    #[error("confdir '{}' does not exist", .0.display())]
    NoConfdir(PathBuf),
    /// The folder has no `conf.d/`.
    #[error("{} does not exist: make it, and put template resources (*.toml) there", .0.display())]
    NoConfD(PathBuf),
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Confdir {
    /// The configuration folder at this path.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), only: None }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// With this file as its only resource.
    #[must_use]
    pub fn only(self, file: impl Into<PathBuf>) -> Self {
        Self { only: Some(file.into()), ..self }
    }

    /// Where template resources are.
    #[must_use]
    pub fn conf_d(&self) -> PathBuf {
        self.only.clone().unwrap_or_else(|| self.root.join("conf.d"))
    }

    /// Where templates are.
    #[must_use]
    pub fn templates(&self) -> PathBuf {
        self.root.join("templates")
    }

    /// Reads all resources.
    ///
    /// # Errors
    /// When there is no folder to look in. A bad file is no error: it is one of [`Found::errors`].
    pub fn find(&self) -> Result<Found, FindError> {
        if !self.root.try_exists().unwrap_or(true) {
            return Err(FindError::NoConfdir(self.root.clone()));
        }
        let paths = files(&self.conf_d())?;
        let mut found = Found::default();
        for path in paths {
            match path.and_then(|path| resource::read(&path)) {
                Ok(read) => {
                    found.resources.push(read.resource);
                    found.remarks.extend(read.remarks);
                }
                Err(error) => found.errors.push(error),
            }
        }
        found.remarks.extend(rivals(&found.resources));
        Ok(found)
    }
}

/// A remark for each resource whose file is that of an earlier one.
fn rivals(resources: &[Resource]) -> Vec<Remark> {
    let mut first: HashMap<&str, &Path> = HashMap::new();
    let rivals = resources.iter().filter_map(|Resource { dest, path, .. }| match first.entry(dest) {
        Entry::Vacant(free) => {
            free.insert(path);
            None
        }
        Entry::Occupied(taken) => {
            let (dest, other) = (dest.escape_debug(), taken.get().display());
            let reason = format!("dest {dest} is that of {other} as well: each overwrites what the other renders");
            Some(Remark { path: path.clone(), place: None, reason })
        }
    });
    rivals.collect()
}

/// The files of resources in order; an error for a folder below that cannot be read.
fn files(conf_d: &Path) -> Result<Vec<Result<PathBuf, Remark>>, FindError> {
    let unreadable = |error| FindError::Unreadable { path: conf_d.to_owned(), error };
    let metadata = match std::fs::metadata(conf_d) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FindError::NoConfD(conf_d.to_owned())),
        metadata => metadata.map_err(unreadable)?,
    };
    if !metadata.is_dir() {
        return Ok(vec![Ok(conf_d.to_owned())]);
    }
    let mut files = Vec::new();
    walk(conf_d, 0, &mut files).map_err(unreadable)?;
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<Result<PathBuf, Remark>>) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other(format!("it is deeper than {DEEPEST} folders")));
    }
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Err(error) = walk(&path, depth + 1, files) {
                files.push(Err(Remark { path, place: None, reason: error.to_string() }));
            }
        } else if is_resource(&entry.file_name()) {
            match std::fs::metadata(&path) {
                // A link to a folder.
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => files.push(Ok(path)),
                Err(error) => files.push(Err(Remark { path, place: None, reason: error.to_string() })),
            }
        }
    }
    Ok(())
}

fn is_resource(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b"toml")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn confdir(files: &[(&str, &str)]) -> (tempfile::TempDir, Confdir) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("conf.d").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let confdir = Confdir::new(folder.path());
        (folder, confdir)
    }

    fn good(dest: &str) -> String {
        format!("[template]\nsrc = \"t\"\ndest = \"{dest}\"\n")
    }

    fn dests(found: &Found) -> Vec<&str> {
        found.resources.iter().map(|resource| resource.dest.as_str()).collect()
    }

    #[test]
    fn resources_are_found_in_the_order_of_gos_walk() {
        let [a, b, c, d, e] = ["/a", "/b", "/c", "/d", "/e"].map(good);
        let (_folder, confdir) = confdir(&[
            ("web.toml", &e),
            ("a.toml", &a),
            ("app/z.toml", &c),
            ("app/deep/xtoml", &b),
            ("app.toml", &d),
            ("notes.txt", "no resource"),
            ("old.toml.bak", "no resource"),
        ]);
        // "app" sorts before "app.toml", so what is below it comes first.
        assert_eq!(dests(&confdir.find().unwrap()), ["/a", "/b", "/c", "/d", "/e"]);
    }

    #[test]
    fn a_bad_file_is_one_error_and_the_others_are_used() {
        let (one, two) = (good("/1"), good("/2"));
        let (_folder, confdir) =
            confdir(&[("1.toml", &one), ("bad.toml", "[template\n"), ("empty.toml", ""), ("zz.toml", &two)]);
        let found = confdir.find().unwrap();
        assert_eq!(dests(&found), ["/1", "/2"]);
        let errors: Vec<_> = found.errors.iter().map(|error| error.path.file_name().unwrap()).collect();
        assert_eq!(errors, ["bad.toml", "empty.toml"]);
        assert_eq!(found.errors[1].reason, "empty src template");
    }

    #[test]
    fn two_resources_with_one_file_are_named() {
        let one = good("/1");
        let (_folder, confdir) = confdir(&[("a.toml", &one), ("b.toml", &one), ("c.toml", &good("/2"))]);
        let found = confdir.find().unwrap();
        assert_eq!(found.resources.len(), 3);
        let remarks: Vec<_> = found.remarks.iter().map(ToString::to_string).collect();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].contains("b.toml: dest /1 is that of ") && remarks[0].contains("a.toml as well"),
            "{remarks:?}"
        );
    }

    #[test]
    fn links_to_files_are_followed_and_links_to_folders_are_not() {
        let one = good("/linked");
        let (folder, confdir) = confdir(&[("a/1.toml", &one)]);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("x.toml"), good("/outside")).unwrap();
        symlink(outside.path().join("x.toml"), folder.path().join("conf.d/link.toml")).unwrap();
        symlink(outside.path(), folder.path().join("conf.d/folder.toml")).unwrap();
        symlink("nowhere", folder.path().join("conf.d/zz.toml")).unwrap();
        let found = confdir.find().unwrap();
        assert_eq!(dests(&found), ["/linked", "/outside"]);
        assert_eq!(found.errors.len(), 1, "{:?}", found.errors);
    }

    #[test]
    fn a_conf_d_that_is_a_file_is_the_one_resource() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("conf.d"), good("/one")).unwrap();
        assert_eq!(dests(&Confdir::new(folder.path()).find().unwrap()), ["/one"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no");
        let error = Confdir::new(&missing).find().unwrap_err();
        assert_eq!(error.to_string(), format!("confdir '{}' does not exist", missing.display()));
        assert!(matches!(Confdir::new(folder.path()).find(), Err(FindError::NoConfD(_))));
    }
}
