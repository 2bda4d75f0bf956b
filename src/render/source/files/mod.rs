//! Keys of YAML and JSON files: maps and lists become paths, scalars become values. Later files win.
//!
//! [`walk`] finds the files, [`tree`] makes keys of one. Files are looked at twice a second: notifications of the file
//! system would miss mounts, and files that are replaced by a moved link.

mod tree;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::{Reading, Source, SourceError, Wanted, Watch};
use walk::{Stamp, find, stamps};

/// How often files are looked at.
const PACE: Duration = Duration::from_millis(500);
/// The maximum size of a file, in bytes.
const LARGEST: u64 = 64 << 20;

/// The keys of one YAML or JSON text, as [`Backend::File`](super::Backend::File) reads it.
///
/// # Errors
/// When it is none, or no map: `LINE:COLUMN: reason`.
pub fn file_keys(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut keys = BTreeMap::new();
    tree::keys(text, &mut keys).map_err(|error| error.to_string())?;
    Ok(keys)
}

/// Files and folders of files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Which files of a folder count, by their base names.
    filter: String,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, filter: &str) -> Self {
        Self { paths, filter: filter.to_owned() }
    }

    fn read(&self, wanted: &[String]) -> Result<BTreeMap<String, String>, SourceError> {
        let mut keys = BTreeMap::new();
        for path in find(&self.paths, &self.filter).map_err(SourceError)? {
            let text = read(&path).map_err(|reason| SourceError(format!("{}: {reason}", shown(&path))))?;
            tree::keys(&text, &mut keys).map_err(|error| SourceError(format!("{}:{error}", shown(&path))))?;
        }
        // As with Consul, a key brings along all that begin with it.
        keys.retain(|key, _| wanted.iter().any(|wanted| key.starts_with(wanted.as_str())));
        Ok(keys)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

/// Does something with files on a thread for that.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SourceError(format!("files cannot be read: {error}")))
}

#[async_trait]
impl Source for Files {
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError> {
        let (files, wanted) = (self.clone(), wanted.keys.clone());
        let keys = aside(move || files.read(&wanted)).await??;
        Ok(Reading { keys, ..Reading::default() })
    }

    fn watch(&self, _wanted: &Wanted) -> Box<dyn Watch> {
        Box::new(FilesWatch { files: self.clone(), seen: None })
    }
}

struct FilesWatch {
    files: Files,
    /// The versions of all files at the last return.
    seen: Option<Vec<(PathBuf, Stamp)>>,
}

#[async_trait]
impl Watch for FilesWatch {
    async fn changed(&mut self) -> Result<(), SourceError> {
        loop {
            let files = self.files.clone();
            // What cannot be found is the error of the next reading.
            let now = aside(move || stamps(&find(&files.paths, &files.filter).unwrap_or_default())).await?;
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now);
                return Ok(());
            }
            sleep(PACE).await;
        }
    }
}
