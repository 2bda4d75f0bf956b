//! The place of an entry in a zone.

use crate::registry::label;
use crate::service::Service;

/// How many bytes the labels of a place may have, so that what stands before them fits, too.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct Longest {
    pub(in crate::registry) id: usize,
    pub(in crate::registry) name: usize,
}

/// The place of an entry: `<id>.<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::registry) struct Spot {
    /// The label of the ID.
    pub(in crate::registry) id: String,
    /// The label of the name.
    pub(in crate::registry) name: String,
}

impl Spot {
    /// The place of a service.
    pub(in crate::registry) fn of(service: &Service, longest: Longest) -> Self {
        Self { id: label::host_of_id(&service.id, longest.id), name: label::host_of_name(&service.name, longest.name) }
    }

    /// The place in a text such as `<id>.<name>`, if we could have written it.
    pub(in crate::registry) fn read(text: &str, longest: Longest) -> Option<Self> {
        let (id, name) = text.split_once('.')?;
        let is_name = label::is_host_label(name) && label::host_of_name(name, longest.name) == name;
        let is_id = label::is_host_label(id) && id.len() <= longest.id;
        (is_id && is_name).then(|| Self { id: id.to_owned(), name: name.to_owned() })
    }

    /// `<id>.<name>`.
    pub(in crate::registry) fn text(&self) -> String {
        format!("{}.{}", self.id, self.name)
    }
}
