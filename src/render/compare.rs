//! Compares a file with what it should be, as confd does: owner, group, the whole mode, and the content.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// In what a file differs from what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Missing,
    /// Its owner.
    Uid {
        /// As it is.
        is: u32,
        /// As it should be.
        should: u32,
    },
    /// Its group.
    Gid {
        /// As it is.
        is: u32,
        /// As it should be.
        should: u32,
    },
    /// Its kind and permissions, as `st_mode` has them.
    Mode {
        /// As they are.
        is: u32,
        /// As they should be.
        should: u32,
    },
    /// Its content, told by digests in hexadecimal (MD5, as confd prints them).
    Content {
        /// Of what it is.
        is: String,
        /// Of what it should be.
        should: String,
    },
}

/// What a file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The bits of `st_mode` that say that it is a regular file.
const REGULAR: u32 = 0o100_000;

/// In what the file at `path` differs; empty if it is right.
///
/// # Errors
/// When it is there and cannot be read.
pub fn compare(path: &Path, should: Attributes, content: &[u8]) -> io::Result<Vec<Difference>> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![Difference::Missing]),
        metadata => metadata?,
    };
    let mut differences = of_attributes(&metadata, should);
    let is = read(path, &metadata)?;
    if is != content {
        let digest = |bytes: &[u8]| format!("{:x}", md5::compute(bytes));
        differences.push(Difference::Content { is: digest(&is), should: digest(content) });
    }
    Ok(differences)
}

fn of_attributes(metadata: &Metadata, should: Attributes) -> Vec<Difference> {
    let mut differences = Vec::new();
    let Attributes { mode, uid, gid } = should;
    if metadata.uid() != uid {
        differences.push(Difference::Uid { is: metadata.uid(), should: uid });
    }
    if metadata.gid() != gid {
        differences.push(Difference::Gid { is: metadata.gid(), should: gid });
    }
    let (is, should) = (metadata.permissions().mode(), REGULAR | mode);
    if is != should {
        differences.push(Difference::Mode { is, should });
    }
    differences
}

/// The content of a regular file; a device or a pipe has none that could be compared, and may never end.
fn read(path: &Path, metadata: &Metadata) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if metadata.is_file() {
        File::open(path)?.read_to_end(&mut content)?;
    }
    Ok(content)
}

/// A mode as `ls -l` and Go show it: `-rw-r--r--`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeText(pub u32);

impl fmt::Display for ModeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Go's os.FileMode: letters for what is not a permission, then the nine permissions.
        let kinds = [(0o040_000, 0o170_000, 'd'), (0o120_000, 0o170_000, 'L'), (0o010_000, 0o170_000, 'p')];
        let mut kind: String =
            kinds.iter().filter(|(value, mask, _)| self.0 & mask == *value).map(|(_, _, letter)| *letter).collect();
        for (bit, letter) in [(0o4000, 'u'), (0o2000, 'g'), (0o1000, 't')] {
            if self.0 & bit != 0 {
                kind.push(letter);
            }
        }
        f.write_str(if kind.is_empty() { "-" } else { &kind })?;
        "rwxrwxrwx"
            .chars()
            .enumerate()
            .try_for_each(|(index, letter)| write!(f, "{}", if self.0 & (0o400 >> index) != 0 { letter } else { '-' }))
    }
}

impl fmt::Display for Difference {
    /// As it follows the file's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Uid { is, should } => write!(f, "has UID {is} should be {should}"),
            Self::Gid { is, should } => write!(f, "has GID {is} should be {should}"),
            Self::Mode { is, should } => write!(f, "has mode {} should be {}", ModeText(*is), ModeText(*should)),
            Self::Content { is, should } => write!(f, "has md5sum {is} should be {should}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn attributes(path: &Path) -> Attributes {
        let metadata = fs::metadata(path).unwrap();
        Attributes { mode: 0o644, uid: metadata.uid(), gid: metadata.gid() }
    }

    #[test]
    fn every_difference_is_named_as_confd_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "foo").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let own = attributes(&path);
        let should = Attributes { mode: 0o644, uid: own.uid + 1, gid: own.gid + 2 };
        let told: Vec<_> = compare(&path, should, b"bar").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                format!("has UID {} should be {}", own.uid, own.uid + 1),
                format!("has GID {} should be {}", own.gid, own.gid + 2),
                "has mode -rw------- should be -rw-r--r--".to_owned(),
                "has md5sum acbd18db4cc2f85cedef654fccc4a4d8 should be 37b51d194a7513e45b56f6524f2d51f2".to_owned(),
            ]
        );
        assert_eq!(compare(&folder.path().join("no"), should, b"").unwrap(), [Difference::Missing]);
    }

    #[test]
    fn an_equal_file_differs_in_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "foo").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(compare(&path, attributes(&path), b"foo").unwrap(), []);
    }

    #[test]
    fn a_mode_is_written_as_go_writes_it() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o100_000, "----------"),
            (0o104_755, "urwxr-xr-x"),
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "dtrwxrwxrwx"),
        ] {
            assert_eq!(ModeText(mode).to_string(), text);
        }
    }
}
