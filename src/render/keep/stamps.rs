//! Whether the files of a configuration folder have changed: resources and templates.
//!
//! They are looked at once a second, as files with credentials are: notifications of the file system would miss what
//! changes through a link (Kubernetes) or on a mount without them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::render::find::Confdir;
use crate::render::resource::Resource;

/// The largest depth that is looked at.
const DEEPEST: usize = 16;

/// The most files that are looked at.
const MOST: usize = 10_000;

/// What identifies a version of a file: device and inode, length, and the times of its last changes.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// The versions of all files of a configuration folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Stamp)>);

impl Stamps {
    /// Looks at `conf.d/` and `templates/`, and at the templates of these resources, wherever they are.
    pub(super) fn look<'r>(confdir: &Confdir, resources: impl Iterator<Item = &'r Resource>) -> Self {
        let mut stamps = Self::default();
        stamps.take(&confdir.conf_d(), 0);
        let templates = confdir.templates();
        stamps.take(&templates, 0);
        for resource in resources {
            let path = templates.join(&resource.src);
            if let Ok(metadata) = fs::metadata(&path) {
                stamps.0.push((path, stamp(&metadata)));
            }
        }
        stamps
    }

    fn take(&mut self, path: &Path, depth: usize) {
        // A link counts as what it leads to, but links to folders are not walked into.
        let Ok(metadata) = fs::metadata(path) else { return };
        if self.0.len() >= MOST {
            return;
        }
        if !metadata.is_dir() {
            self.0.push((path.to_owned(), stamp(&metadata)));
            return;
        }
        let is_link = depth > 0 && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        if is_link || depth > DEEPEST {
            return;
        }
        let Ok(entries) = fs::read_dir(path) else { return };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort_unstable();
        paths.iter().for_each(|path| self.take(path, depth + 1));
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whatever_changes_is_noticed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let confdir = Confdir::new(folder.path());
        let look = || Stamps::look(&confdir, std::iter::empty());
        assert_eq!(look(), Stamps::default());
        let mut seen = look();
        let mut changes = |what: &str| {
            let now = look();
            assert_ne!(now, seen, "{what}");
            assert_eq!(look(), now, "{what}");
            seen = now;
        };
        let (conf_d, templates) = (confdir.conf_d(), confdir.templates());
        fs::create_dir_all(conf_d.join("deep")).unwrap();
        fs::create_dir_all(&templates).unwrap();
        fs::write(conf_d.join("deep/a.toml"), "a").unwrap();
        changes("a new resource");
        fs::write(templates.join("t"), "one").unwrap();
        changes("a new template");
        fs::write(folder.path().join("other"), "two").unwrap();
        fs::rename(folder.path().join("other"), templates.join("t")).unwrap();
        changes("a template that is replaced by one of its length");
        fs::create_dir(folder.path().join("v1")).unwrap();
        fs::write(folder.path().join("v1/x"), "1").unwrap();
        symlink(folder.path().join("v1/x"), templates.join("linked")).unwrap();
        changes("a link");
        fs::write(folder.path().join("v1/x"), "22").unwrap();
        changes("what a link leads to");
        fs::remove_file(conf_d.join("deep/a.toml")).unwrap();
        changes("a removal");
    }
}
