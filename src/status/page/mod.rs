//! The page: HTML that is complete without scripts. A script replaces its parts when something changes, with the same
//! HTML, so that everything is spelled once.

mod files;
mod html;

use crate::container::ContainerId;

use super::hub::Hub;
use super::look;
use super::serve::{Gone, Out};

pub use files::File;

/// The media type of the page.
pub const HTML: &str = "text/html; charset=utf-8";

/// A part of the page, or one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The engine and the registries.
    Registries,
    /// All containers.
    Containers,
    /// One container, by its ID.
    Container(String),
    /// A file that the page loads.
    File(File),
}

impl Part {
    /// The part of a path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        match path.strip_prefix("/page/")? {
            "registries" => Some(Self::Registries),
            "containers" => Some(Self::Containers),
            rest => match rest.strip_prefix("container/") {
                Some(id) => Some(Self::Container(id.to_owned())),
                None => File::find(rest).map(Self::File),
            },
        }
    }
}

/// Sends the whole page.
///
/// # Errors
/// When the reader is gone.
pub async fn send(hub: &Hub, out: &Out) -> Result<(), Gone> {
    let (docker, registries) = (look::docker(hub).await, look::registries(hub).await);
    out.send(html::head(&hub.about)).await?;
    out.send(html::registries(&hub.about, &docker, &registries)).await?;
    out.send(html::BEFORE_CONTAINERS).await?;
    containers(hub, out).await?;
    let last = hub.listeners.journal.after(0);
    out.send(html::events(&last)).await?;
    out.send(html::FOOT).await
}

/// Sends a part of it.
///
/// # Errors
/// When the reader is gone.
pub async fn send_part(hub: &Hub, part: &Part, out: &Out) -> Result<(), Gone> {
    match part {
        Part::Registries => {
            let (docker, registries) = (look::docker(hub).await, look::registries(hub).await);
            out.send(html::registries(&hub.about, &docker, &registries)).await
        }
        Part::Containers => containers(hub, out).await,
        Part::Container(id) => {
            let found = look::find(hub, id).await;
            match look::containers(hub, found, false).await.as_slice() {
                [container] => out.send(html::container(container, look::now())).await,
                _ => Ok(()),
            }
        }
        Part::File(_) => Ok(()),
    }
}

/// All containers, those that need somebody first.
async fn containers(hub: &Hub, out: &Out) -> Result<(), Gone> {
    let ids = look::ids(hub).await;
    let (mut first, mut rest): (Vec<ContainerId>, Vec<ContainerId>) = (Vec::new(), Vec::new());
    for part in ids.chunks(look::PART) {
        for container in look::containers(hub, part.to_vec(), false).await {
            (if html::needs_somebody(&container) { &mut first } else { &mut rest }).push(container.id.as_str().into());
        }
    }
    for part in first.chunks(look::PART).chain(rest.chunks(look::PART)) {
        let now = look::now();
        let views = look::containers(hub, part.to_vec(), false).await;
        out.send(views.iter().map(|container| html::container(container, now)).collect::<String>()).await?;
    }
    Ok(())
}
