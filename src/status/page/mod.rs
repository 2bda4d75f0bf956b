//! The page: HTML that is complete without scripts. A script replaces its parts when something changes, with the same
//! HTML, so that everything is spelled once. What our pages have in common is in [`registrator_web::page`].

mod cards;
mod explain;
mod frame;
mod labels;
mod rows;
mod time;

use registrator_web::page::{AFTER_ROWS, File, end_of_rows};

use crate::container::ContainerId;

use super::answer::{Gone, Out, tag};
use super::hub::Hub;
use super::look;
use super::view::UNKNOWN;
use labels::Labels;

pub use registrator_web::page::HTML;

/// A part of the page, or one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The engine and the registries.
    Registries,
    /// All containers.
    Containers,
    /// One container, by its ID.
    Container(String),
    /// Why each field of a container's services is as it is, by its ID.
    Explain(String),
    /// The latest events.
    Events,
    /// A file that the page loads.
    File(File),
}

impl Part {
    /// Whether it grows with what runs.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(self, Self::Containers)
    }

    /// The part of a path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "/page/registries" => Some(Self::Registries),
            "/page/containers" => Some(Self::Containers),
            "/page/events" => Some(Self::Events),
            _ => {
                if let Some(id) = path.strip_prefix("/page/container/") {
                    return Some(Self::Container(id.to_owned()));
                }
                if let Some(id) = path.strip_prefix("/page/explain/") {
                    return Some(Self::Explain(id.to_owned()));
                }
                File::find(path).map(Self::File)
            }
        }
    }
}

/// Sends the whole page.
///
/// # Errors
/// When the reader is gone.
pub async fn send(hub: &Hub, out: &Out) -> Result<(), Gone> {
    // Before anything is looked at: what changes meanwhile is then asked for again.
    let tag = tag(look::version(hub).await);
    let (docker, registries) = (look::docker(hub).await, look::registries(hub).await);
    let sorted = Sorted::look(hub).await;
    let files = hub.listeners.files.view();
    let attention = sorted.first.len() + cards::attention(&docker, &registries, &files);
    let last = hub.listeners.journal.after(0);
    out.send(frame::head(&hub.about, sorted.count(), attention, &tag, look::now())).await?;
    out.send(cards::section(&hub.about, &docker, &registries, &files)).await?;
    out.send(frame::events(&last)).await?;
    out.send(frame::before_containers()).await?;
    sorted.send(hub, out).await?;
    out.send(AFTER_ROWS).await?;
    out.send(frame::foot()).await
}

/// Sends a part of it.
///
/// # Errors
/// When the reader is gone.
pub async fn send_part(hub: &Hub, part: &Part, out: &Out) -> Result<(), Gone> {
    match part {
        Part::Registries => {
            let (docker, registries) = (look::docker(hub).await, look::registries(hub).await);
            let cards = cards::section(&hub.about, &docker, &registries, &hub.listeners.files.view());
            out.send(frame::about(&hub.about) + &cards).await
        }
        Part::Containers => Sorted::look(hub).await.send(hub, out).await,
        Part::Container(id) => {
            let found = look::find(hub, id).await;
            match look::containers(hub, found, false).await.as_slice() {
                // One that is not described has its line with the engine.
                [container] if container.state != UNKNOWN => {
                    out.send(rows::container(container, &Labels::new(hub))).await
                }
                _ => Ok(()),
            }
        }
        Part::Explain(id) => {
            let found = look::find(hub, id).await;
            match look::containers(hub, found, true).await.as_slice() {
                [container] => out.send(explain::panel(container)).await,
                _ => Ok(()),
            }
        }
        Part::Events => out.send(frame::events(&hub.listeners.journal.after(0))).await,
        Part::File(_) => Ok(()),
    }
}

/// All containers, those that need attention first; each group by name.
struct Sorted {
    first: Vec<ContainerId>,
    rest: Vec<ContainerId>,
}

impl Sorted {
    async fn look(hub: &Hub) -> Self {
        let ids = look::ids(hub).await;
        let mut sorted = Self { first: Vec::new(), rest: Vec::with_capacity(ids.len()) };
        for part in ids.chunks(look::PART) {
            for container in look::containers(hub, part.to_vec(), false).await {
                let group = if container.attention { &mut sorted.first } else { &mut sorted.rest };
                group.push(container.id.as_str().into());
            }
        }
        sorted
    }

    fn count(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    async fn send(self, hub: &Hub, out: &Out) -> Result<(), Gone> {
        let labels = Labels::new(hub);
        let count = self.count();
        for part in self.first.chunks(look::PART).chain(self.rest.chunks(look::PART)) {
            let views = look::containers(hub, part.to_vec(), false).await;
            out.send(views.iter().map(|container| rows::container(container, &labels)).collect::<String>()).await?;
        }
        out.send(end_of_rows(count)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_path() {
        for (path, part) in [
            ("/page/registries", Some(Part::Registries)),
            ("/page/containers", Some(Part::Containers)),
            ("/page/container/abc", Some(Part::Container("abc".to_owned()))),
            ("/page/explain/abc", Some(Part::Explain("abc".to_owned()))),
            ("/page/events", Some(Part::Events)),
            ("/page/script.js", Some(Part::File(File::Script))),
            ("/page/", None),
            ("/page/../v1/state", None),
            ("/other", None),
        ] {
            assert_eq!(Part::parse(path), part, "{path}");
        }
    }
}
