//! The file that is kept right: what it should be, and how it gets a new content without a reader ever seeing a part.

mod names;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{getegid, geteuid};

use super::compare::Attributes;
use super::resource::{Ownership, Resource};
use super::stage::{Stage, dress};
use super::step::How;

/// The mode of a file that is new, if nothing says another.
const USUAL_MODE: u32 = 0o644;

/// The file that is kept right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is to be, and with which mode.
    pub attributes: Attributes,
}

/// Why a file cannot be kept right. Each displays as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is a directory.
    #[error("{} is a directory; dest names a file", .0.display())]
    Directory(PathBuf),
    /// There is a device, a socket or a pipe.
    #[error("{} is no regular file; dest names one", .0.display())]
    NoFile(PathBuf),
    /// Its folder is missing.
    #[error("{} does not exist: make it, or set mkdir = true", .0.display())]
    NoFolder(PathBuf),
    /// `owner` names nobody.
    #[error("there is no user {0:?} in /etc/passwd (owner)")]
    NoUser(String),
    /// `group` names no group.
    #[error("there is no group {0:?} in /etc/group (group)")]
    NoGroup(String),
    /// The system refuses something.
    #[error("cannot {what} {}: {error}", path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl TargetError {
    fn refused<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Refused { what, path: path.to_owned(), error }
    }
}

impl Target {
    /// The file at `path`, as this resource wants it.
    ///
    /// # Errors
    /// When there is something else at `path`, or nobody has the owner's name.
    pub fn of(resource: &Resource, path: &Path) -> Result<Self, TargetError> {
        let before = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(TargetError::Directory(path.to_owned())),
            Ok(metadata) if !metadata.is_file() => return Err(TargetError::NoFile(path.to_owned())),
            Ok(metadata) => Some(metadata.permissions().mode() & 0o777),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(TargetError::refused("look at", path)(error)),
        };
        let mode = resource.mode.or(before).unwrap_or(USUAL_MODE);
        let (uid, gid) = owner(&resource.ownership)?;
        Ok(Self { path: path.to_owned(), attributes: Attributes { mode, uid, gid } })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Its name.
    #[must_use]
    pub fn base(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Makes its folder, if that is wanted and it is missing.
    ///
    /// # Errors
    /// When it is missing and not wanted, or cannot be made.
    pub fn prepare(&self, mkdir: bool) -> Result<(), TargetError> {
        let folder = self.folder();
        match fs::metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !mkdir {
                    return Err(TargetError::NoFolder(folder.to_owned()));
                }
                fs::create_dir_all(folder).map_err(TargetError::refused("make", folder))
            }
            _ => Ok(()),
        }
    }

    /// Stages its new content beside it.
    ///
    /// Where its folder cannot be written to and the file is there, as with a file mounted into a read-only system, the
    /// stage is in the folder for temporary files.
    ///
    /// # Errors
    /// When the disk is full, or the folder cannot be written to.
    pub fn stage(&self, content: &[u8]) -> Result<Stage, TargetError> {
        let folder = self.folder();
        let mut stage = match Stage::file(folder, self.base()) {
            Err(error) if is_forbidden(&error) && self.path.exists() => {
                let elsewhere = std::env::temp_dir();
                let stage = Stage::file(&elsewhere, self.base());
                stage.map_err(TargetError::refused("stage in", &elsewhere))?.elsewhere()
            }
            made => made.map_err(TargetError::refused("stage in", folder))?,
        };
        stage.fill(content, self.attributes).map_err(TargetError::refused("write", &self.path))?;
        Ok(stage)
    }

    /// Puts the staged content in its place.
    ///
    /// # Errors
    /// When the system refuses; the file then has its former content.
    pub fn replace(&self, mut stage: Stage, content: &[u8]) -> Result<How, TargetError> {
        let refused = TargetError::refused("replace", &self.path);
        if stage.is_elsewhere() {
            self.write_in_place(content).map_err(refused)?;
            return Ok(How::InPlace);
        }
        match stage.rename(&self.path) {
            Ok(()) => {
                // The rename itself is to survive a power failure. Not every file system can promise that.
                let _ = File::open(self.folder()).and_then(|folder| folder.sync_all());
                Ok(How::Renamed)
            }
            Err(error) if is_a_mount(&error) => {
                self.write_in_place(content).map_err(refused)?;
                Ok(How::InPlace)
            }
            Err(error) => Err(refused(error)),
        }
    }

    /// Writes into the file itself. Room is reserved first, so that a full disk costs nothing; if it fails on the way,
    /// the former content is written back.
    fn write_in_place(&self, content: &[u8]) -> io::Result<()> {
        let before = fs::read(&self.path)?;
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        reserve(&file, content.len())?;
        let written = overwrite(&mut file, content).and_then(|()| dress(&file, self.attributes));
        if written.is_err() {
            let _ = overwrite(&mut file, &before);
        }
        written
    }
}

fn overwrite(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Reserves room for so many bytes without changing the content, where the file system can do that.
fn reserve(file: &File, length: usize) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // As wide as the machine has it: 32 bits on armv7.
    let length = length.try_into().map_err(io::Error::other)?;
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether a rename fails because the file is a mount of its own, or one of another file system.
fn is_a_mount(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices)
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The owner and the group. Numbers win over names; without either, those of this process.
fn owner(ownership: &Ownership) -> Result<(u32, u32), TargetError> {
    let Ownership { uid, gid, owner, group } = ownership;
    let uid = match (uid, owner) {
        (Some(uid), _) => *uid,
        (None, None) => geteuid().as_raw(),
        (None, Some(name)) => {
            let found = names::user(name).map_err(TargetError::refused("read", Path::new("/etc/passwd")))?;
            found.ok_or_else(|| TargetError::NoUser(name.clone()))?
        }
    };
    let gid = match (gid, group) {
        (Some(gid), _) => *gid,
        (None, None) => getegid().as_raw(),
        (None, Some(name)) => {
            let found = names::group(name).map_err(TargetError::refused("read", Path::new("/etc/group")))?;
            found.ok_or_else(|| TargetError::NoGroup(name.clone()))?
        }
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests;
