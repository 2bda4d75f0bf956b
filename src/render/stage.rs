//! Staged files: what was rendered stands beside the file that it will replace, until it is known to be good.
//!
//! A staged file is named as confd names it, `.` + the file's name + digits, and is readable by nobody else until it is
//! whole. While it is in use it is locked, so that what a killed process has left can be told from what another
//! process is working on.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::compare::Attributes;

/// How many digits a staged name ends with: more than any date that people put into names has.
const DIGITS: usize = 20;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

/// How many names are tried.
const ATTEMPTS: usize = 100;

/// A staged file or folder. It is removed when dropped, unless it was kept or moved.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    /// Open while it is in use, which holds the lock.
    lock: Option<File>,
    folder: bool,
    stays: bool,
    elsewhere: bool,
}

impl Stage {
    /// An empty file in `folder`, named after `base`. Nobody else can read it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(folder: &Path, base: &OsStr) -> io::Result<Self> {
        Self::make(folder, base, false, |path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path))
    }

    /// An empty folder in `folder`, named after `base`, which nobody else can look into.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(folder: &Path, base: &OsStr) -> io::Result<Self> {
        Self::make(folder, base, true, |path| {
            fs::DirBuilder::new().mode(0o700).create(path)?;
            File::open(path)
        })
    }

    /// An empty file at `path`, which is below a staged folder and goes with it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), lock: Some(file), folder: false, stays: false, elsewhere: false })
    }

    /// The same, known to be where nothing can be renamed from.
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        self.elsewhere = true;
        self
    }

    /// Whether it is where it cannot be renamed from.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    fn make(
        folder: &Path,
        base: &OsStr,
        is_folder: bool,
        make: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let path = folder.join(name(base));
            match make(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
                made => {
                    let lock = made?;
                    // From here on, whatever happens, it does not stay behind.
                    let stage = Self { path, lock: Some(lock), folder: is_folder, stays: false, elsewhere: false };
                    if stage.hold() {
                        return Ok(stage);
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("every new file is removed at once by another process")))
    }

    /// Locks it. False if another process has taken it for something left behind, and removed it, in the moment before.
    fn hold(&self) -> bool {
        let Some(lock) = &self.lock else { return false };
        // A file system without locks is used without them; then nothing that is left behind is removed either.
        let _ = lock.lock();
        lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills a staged file: whole on the disk, with its owner and its mode, when this returns.
    ///
    /// # Errors
    /// When the disk is full, or the owner cannot be set.
    pub fn fill(&mut self, content: &[u8], attributes: Attributes) -> io::Result<()> {
        match &mut self.lock {
            Some(file) => fill(file, content, attributes),
            None => Err(io::Error::other("it is in use no more")),
        }
    }

    /// It stays although it is no longer used.
    pub fn keep(mut self) -> PathBuf {
        self.stays = true;
        self.path.clone()
    }

    /// Takes the place of the file at `path`.
    ///
    /// # Errors
    /// When the system refuses; then the stage is still there. Removes it in any case when it is dropped.
    pub fn rename(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.stays = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed now is removed by the next run.
            let _ = remove(&self.path, self.folder);
        }
    }
}

/// Writes a new file whole.
///
/// # Errors
/// When the disk is full, or the owner cannot be set.
pub fn fill(file: &mut File, content: &[u8], attributes: Attributes) -> io::Result<()> {
    file.write_all(content)?;
    dress(file, attributes)?;
    file.sync_all()
}

/// Sets the owner, then the mode, so that the former group never gets to read it.
///
/// # Errors
/// When the system refuses.
pub fn dress(file: &File, attributes: Attributes) -> io::Result<()> {
    let Attributes { mode, uid, gid } = attributes;
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) != (uid, gid) {
        std::os::unix::fs::fchown(file, Some(uid), Some(gid)).map_err(|error| {
            let what = format!("cannot give it to uid {uid}, gid {gid}: {error}");
            io::Error::new(error.kind(), what)
        })?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// A new name for something staged.
fn name(base: &OsStr) -> OsString {
    let digits = format!("{:0DIGITS$}", fastrand::u64(..));
    OsString::from_vec([b".", cut(base), digits.as_bytes()].concat())
}

/// As much of a file's name as leaves room.
fn cut(base: &OsStr) -> &[u8] {
    let bytes = base.as_bytes();
    bytes.get(..LONGEST_NAME - DIGITS - 1).unwrap_or(bytes)
}

/// Whether this is a name that [`name`] makes.
fn is_staged(name: &OsStr, base: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(b".").and_then(|rest| rest.strip_prefix(cut(base)));
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_digit))
}

/// Removes what killed processes have left in `folder` for `base`, and says what. What belongs to somebody else, or is
/// in use by another process, is left alone.
pub fn clean(folder: &Path, base: &OsStr, uids: &[u32]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| is_staged(&entry.file_name(), base))
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).ok()?;
            let ours = uids.contains(&metadata.uid()) && (metadata.is_file() || metadata.is_dir());
            // The lock is held until it is removed: see `Stage::hold`.
            let _lock = if ours { abandoned(&path)? } else { return None };
            remove(&path, metadata.is_dir()).ok()?;
            Some(path)
        })
        .collect()
}

/// The lock on something staged, if nobody holds it.
fn abandoned(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn remove(path: &Path, folder: bool) -> io::Result<()> {
    if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(folder: &Path) -> Attributes {
        let metadata = fs::metadata(folder).unwrap();
        Attributes { mode: 0o640, uid: metadata.uid(), gid: metadata.gid() }
    }

    fn left(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_staged_file_is_secret_until_it_is_whole_and_gone_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::file(folder.path(), OsStr::new("nginx.conf")).unwrap();
        let mode = || fs::metadata(stage.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let path = stage.path().to_owned();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(".nginx.conf") && name.len() == 31, "{name}");
        stage.fill(b"text", own(folder.path())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        drop(stage);
        assert_eq!(left(folder.path()), 0);
    }

    #[test]
    fn a_kept_file_stays_and_a_renamed_one_has_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let base = OsStr::new("f");
        let kept = Stage::file(folder.path(), base).unwrap().keep();
        assert!(kept.exists());
        let mut moved = Stage::file(folder.path(), base).unwrap();
        moved.rename(&folder.path().join("f")).unwrap();
        drop(moved);
        assert!(folder.path().join("f").exists());
        assert_eq!(left(folder.path()), 2);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_or_of_others_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let base = OsStr::new("f");
        let uid = own(folder.path()).uid;
        let in_use = Stage::file(folder.path(), base).unwrap();
        let folder_in_use = Stage::folder(folder.path(), base).unwrap();
        let left_behind = Stage::file(folder.path(), base).unwrap().keep();
        let folder_left = Stage::folder(folder.path(), base).unwrap().keep();
        fs::write(folder_left.join("x"), "x").unwrap();
        let others: Vec<_> = [
            "f",
            ".f",
            ".f20261127055501",
            ".f0000000000000000000x",
            ".g00000000000000000001",
            ".f000000000000000000012",
        ]
        .iter()
        .map(|name| folder.path().join(name))
        .collect();
        others.iter().for_each(|path| fs::write(path, "mine").unwrap());
        std::os::unix::fs::symlink("f", folder.path().join(".f00000000000000000003")).unwrap();

        assert!(clean(folder.path(), base, &[uid + 1]).is_empty());
        let mut cleaned = clean(folder.path(), base, &[uid]);
        cleaned.sort();
        let mut expected = [left_behind, folder_left];
        expected.sort();
        assert_eq!(cleaned, expected);
        assert!(in_use.path().exists() && folder_in_use.path().exists());
        assert!(others.iter().all(|path| path.exists()));
    }

    #[test]
    fn the_longest_names_leave_room() {
        let folder = tempfile::tempdir().unwrap();
        let base = "x".repeat(255);
        let base = OsStr::new(&base);
        let left_behind = Stage::file(folder.path(), base).unwrap().keep();
        assert_eq!(clean(folder.path(), base, &[own(folder.path()).uid]), [left_behind]);
    }
}
