//! What is wrong in a file of containers, before anything is started. Pure: asks neither an engine nor a registry.
//!
//! `yaml` reads YAML and JSON with places; `compose` and `inspect` make containers of it; the services are then
//! described by [`crate::service::describe`], as if they ran, so that nothing is found here that the daemon would see
//! otherwise. What a file leaves open, with a variable or another file, is left open here: a false alarm is worse than
//! none.

mod clashes;
mod compose;
mod finding;
mod findings;
mod inspect;
mod interpolate;
mod keys;
mod ports;
mod subject;

use crate::config::ServiceConfig;
use crate::yaml;

pub use crate::yaml::{Position, Unreadable};
pub use finding::{Finding, Kind};
use interpolate::Expressions;
pub use keys::{Misspelt, misspelt};
use subject::{Form, Subject};

/// All that is wrong in a compose file or the output of `docker inspect`, in the order of the file.
///
/// `config` are the options of the daemon that is to see these containers, `uris` its registries; without URIs, what any
/// registry would refuse is said.
///
/// # Errors
/// When the file is neither.
pub fn validate(text: &str, config: &ServiceConfig, uris: &[&str]) -> Result<Vec<Finding>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = yaml::parse(text)?;
    let budget = yaml::Budget::default();
    let is_inspect = !root.items().is_empty() || budget.member(&root, "Config").is_some();
    let (form, subjects, expressions) = if is_inspect {
        (Form::Inspect, inspect::subjects(text, &root, &budget)?, Expressions::default())
    } else {
        let unknown = || Unreadable {
            at: root.at,
            reason: "this is neither a compose file, which has services:, nor the output of docker inspect".to_owned(),
        };
        let (_, services) = budget.member(&root, "services").ok_or_else(unknown)?;
        let (subjects, expressions) = compose::subjects(services, &budget);
        (Form::Compose, subjects, expressions)
    };
    let file = findings::File { form, subjects: &subjects, expressions: &expressions };
    Ok(file.findings(config, uris))
}

#[cfg(test)]
mod tests;
