//! Finds files, and tells their versions apart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::template::paths;

/// The maximum depth of folders: a link may lead back.
const DEEPEST: usize = 32;

/// What identifies a version of a file: device and inode, length, and modification time.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The files among these paths, and those in folders whose base names match the filter, in order.
///
/// # Errors
/// When a path cannot be looked at; one line.
pub(super) fn find(paths: &[PathBuf], filter: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
        if kind.is_dir() {
            descend(path, filter, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn descend(folder: &Path, filter: &str, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if depth > DEEPEST {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| failed(folder, &error))?;
    entries.sort_unstable();
    for path in entries {
        // A link that leads nowhere, or a file that is just being replaced.
        let Ok(kind) = std::fs::metadata(&path) else { continue };
        if kind.is_dir() {
            descend(&path, filter, depth + 1, found)?;
        } else if let Some(name) = path.file_name() {
            match paths::matches(filter, &name.to_string_lossy()) {
                Ok(true) => found.push(path),
                Ok(false) => {}
                Err(_) => return Err(format!("the filter {filter:?} is no pattern")),
            }
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display().to_string().escape_debug())
}

/// The versions of files.
pub(super) fn stamps(paths: &[PathBuf]) -> Vec<(PathBuf, Stamp)> {
    let stamp = |path: &PathBuf| {
        let of = |it: std::fs::Metadata| (it.dev(), it.ino(), it.len(), it.mtime(), it.mtime_nsec());
        (path.clone(), std::fs::metadata(path).ok().map(of))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_are_read_as_deep_as_they_go_and_only_names_that_match() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("sub/deep")).unwrap();
        for name in ["b.yml", "a.yml", "sub/c.yml", "sub/deep/d.yml", "sub/other.txt"] {
            fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("sub/loop")).unwrap();
        let found = find(&[at("sub/other.txt"), folder.path().to_owned()], "*.yml").unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(&names[..3], ["sub/other.txt", "a.yml", "b.yml"]);
        assert!(names.contains(&"sub/deep/d.yml"));
        assert!(find(&[at("nothing")], "*").unwrap_err().contains("No such file"));
        assert_eq!(find(&[folder.path().to_owned()], "["), Err("the filter \"[\" is no pattern".to_owned()));
    }
}
