//! Watches files with credentials (a token, a certificate, a key) for changes.
//!
//! They are checked once a second. File system notifications would miss much: such files are replaced by a rename, by a
//! moved symlink (Kubernetes), or on a mount without notifications.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::http::Tls;

/// How often the files are checked.
const PACE: Duration = Duration::from_secs(1);

/// What identifies a version of a file: device and inode, length, and modification time.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Files with credentials.
#[derive(Debug)]
pub(super) struct CredentialFiles {
    paths: Vec<PathBuf>,
    seen: Mutex<Vec<Stamp>>,
}

impl CredentialFiles {
    /// Watches these files from now on; they need not exist.
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let seen = paths.iter().map(|path| stamp(std::fs::metadata(path))).collect();
        Self { paths, seen: Mutex::new(seen) }
    }

    /// Returns when one of them has changed since the last return. Never returns if there are no files.
    pub(super) async fn changed(&self) {
        if self.paths.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(PACE).await;
            let mut now = Vec::with_capacity(self.paths.len());
            for path in &self.paths {
                now.push(stamp(tokio::fs::metadata(path).await));
            }
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen != now {
                *seen = now;
                return;
            }
        }
    }
}

/// The files that TLS is spoken with.
pub(super) fn of_tls(tls: &Tls) -> impl Iterator<Item = PathBuf> {
    let identity = tls.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    tls.ca.iter().chain(identity).cloned()
}

fn stamp(metadata: std::io::Result<Metadata>) -> Stamp {
    let metadata = metadata.ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    async fn is_quiet(files: &CredentialFiles) -> bool {
        timeout(PACE * 5 / 2, files.changed()).await.is_err()
    }

    #[tokio::test]
    async fn a_file_that_is_written_replaced_or_removed_is_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let (token, other) = (folder.path().join("token"), folder.path().join("other"));
        let files = CredentialFiles::new([token.clone(), folder.path().join("never")]);
        assert!(is_quiet(&files).await);
        for (what, change) in [
            ("it comes", Box::new(|| fs::write(&token, "one").unwrap()) as Box<dyn Fn()>),
            ("it is written", Box::new(|| fs::write(&token, "longer").unwrap())),
            (
                "it is replaced by one of its length",
                Box::new(|| {
                    fs::write(&other, "shorter".get(..6).unwrap()).unwrap();
                    fs::rename(&other, &token).unwrap();
                }),
            ),
            ("it goes", Box::new(|| fs::remove_file(&token).unwrap())),
        ] {
            change();
            timeout(SOON, files.changed()).await.unwrap_or_else(|_| panic!("{what}, and nobody noticed"));
            assert!(is_quiet(&files).await, "{what}, and it is noticed again");
        }
    }

    #[tokio::test]
    async fn a_change_while_nobody_waited_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let files = CredentialFiles::new([token.clone()]);
        // A cancelled wait.
        let _ = timeout(Duration::from_millis(10), files.changed()).await;
        fs::write(&token, "one").unwrap();
        timeout(SOON, files.changed()).await.expect("noticed");
    }

    #[tokio::test(start_paused = true)]
    async fn without_files_nothing_is_looked_at() {
        assert!(timeout(Duration::from_secs(3600), CredentialFiles::new([]).changed()).await.is_err());
    }
}
