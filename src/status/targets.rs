//! What runs here for Prometheus: the answer of an `http_sd` endpoint, and the same as a file for `file_sd`
//! (<https://prometheus.io/docs/prometheus/latest/http_sd/>).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use registrator_words::authority;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::answer::{Gone, Out};
use super::hub::Hub;
use super::{look, view};
use crate::event::Event;

/// The longest time from a change to the file.
const FILE_PACE: Duration = Duration::from_secs(1);

/// One target.
#[derive(Debug, Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// The targets of a container: its services, with what is known of them as labels.
fn groups(hostname: &str, container: &view::Container) -> Vec<Group> {
    let offered = container.ports.iter().filter_map(|port| port.service.as_ref());
    let serving = offered.filter(|service| service.mode == "serving" && service.port > 0);
    serving
        .map(|service| {
            let tags = if service.tags.is_empty() { String::new() } else { format!(",{},", service.tags.join(",")) };
            let mut labels: BTreeMap<String, String> = [
                ("service", service.name.as_str()),
                ("id", &service.id),
                ("tags", &tags),
                ("container", &container.name),
                ("image", &container.image),
                ("host", hostname),
                ("health", &container.health),
            ]
            .into_iter()
            .map(|(name, value)| (format!("__meta_registrator_{name}"), value.to_owned()))
            .collect();
            for (key, value) in &service.attributes {
                labels.insert(format!("__meta_registrator_attr_{}", label(key)), value.clone());
            }
            Group { targets: [authority(&service.address, service.port)], labels }
        })
        .collect()
}

/// A label's name has letters, digits and underscores only.
fn label(key: &str) -> String {
    key.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

/// Sends all targets.
///
/// # Errors
/// When the reader is gone.
pub(super) async fn send(hub: &Hub, out: &Out) -> Result<(), Gone> {
    let mut between = "[";
    for ids in look::ids(hub).await.chunks(look::PART) {
        out.send(part(hub, ids.to_vec(), &mut between).await).await?;
    }
    out.send(if between == "[" { "[]\n" } else { "]\n" }).await
}

async fn part(hub: &Hub, ids: Vec<crate::container::ContainerId>, between: &mut &'static str) -> String {
    let mut part = String::new();
    for container in look::containers(hub, ids, false).await {
        for group in groups(&hub.about.hostname, &container) {
            part += between;
            part += &serde_json::to_string(&group).unwrap_or_default();
            *between = ",\n";
        }
    }
    part
}

/// Keeps a file equal to what runs, until told to stop. A failure is told once, and tried again.
pub async fn keep_file(hub: Hub, path: PathBuf, stop: CancellationToken) {
    let (mut written, mut failed) = (0, false);
    while !stop.is_cancelled() {
        let version = hub.host.ask(|known| if known.listed { known.version } else { 0 }).await.unwrap_or(0);
        if version != written {
            let mut between = "[";
            let mut text = String::new();
            for ids in look::ids(&hub).await.chunks(look::PART) {
                text += &part(&hub, ids.to_vec(), &mut between).await;
            }
            text += if between == "[" { "[]\n" } else { "]\n" };
            let to = path.clone();
            let result = tokio::task::spawn_blocking(move || replace(&to, text.as_bytes())).await;
            match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => {
                    written = version;
                    failed = false;
                }
                Err(error) if !std::mem::replace(&mut failed, true) => {
                    let text = format!("-prometheus-file {}: {error}; it is tried again", path.display());
                    hub.listeners.events().emit(Event::Advice { about: "prometheus-file", text });
                }
                Err(_) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(FILE_PACE) => {}
        }
    }
}

/// Writes beside the file and renames, so that no reader sees a part. An equal file is left alone.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let beside = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let result = (|| {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_only_letters_digits_and_underscores() {
        for (key, expected) in [("region", "region"), ("a-b.c", "a_b_c"), ("é x", "__x")] {
            assert_eq!(label(key), expected);
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_left_alone_when_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.json");
        replace(&path, b"[]\n").unwrap();
        let first = std::fs::metadata(&path).unwrap().modified().unwrap();
        replace(&path, b"[]\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), first);
        replace(&path, b"[1]\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"[1]\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("no/such/folder"), b"").is_err());
    }
}
