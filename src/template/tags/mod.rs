//! The templates of `-tags`: compiled once, executed with a container's inspect result.
//!
//! The operator writes the template. A container's values are data, and never parsed as a template. The cost of one
//! evaluation is bounded, because a container decides how much data there is.

mod context;
mod fetch;
mod functions;
mod hosts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gtmpl_ng::Limits;

use super::engine::{Compiled, Failure, one_line};
use crate::container::Container;
use crate::service::metadata::split_tags;

/// The time limit of one evaluation, including requests.
const DEADLINE: Duration = Duration::from_secs(30);

/// The output limit of one evaluation, in bytes.
const LONGEST_OUTPUT: usize = 1 << 20;

/// The maximum length of a reported reason, in characters.
const LONGEST_REASON: usize = 200;

/// Why there are no forced tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// `-tags` does not parse.
    #[error("-tags is not a valid template: {0}")]
    Parse(String),
    /// The template failed on this container.
    #[error("-tags failed: {0}")]
    Evaluate(String),
    /// The inspect result was not kept for this container.
    #[error("-tags failed: the container's inspect result is not at hand")]
    NoInspect,
}

/// The tags of `-tags`: a list, or a template that makes one for each container.
pub struct ForcedTags(Source);

enum Source {
    List(Vec<String>),
    Template { template: Box<Compiled>, fetches: bool },
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The tags, in order, without empty ones.
    pub tags: Result<Vec<String>, TagsError>,
    /// Its failed requests (`httpGet`), one line each. A failed request yields an empty text.
    pub failed_requests: Vec<String>,
}

impl ForcedTags {
    /// Compiles `-tags`. Without a template action it is a list.
    ///
    /// # Errors
    /// When the template does not parse, or names a function that does not exist.
    pub fn parse(tags: &str) -> Result<Self, TagsError> {
        if !tags.contains("{{") {
            return Ok(Self(Source::List(split_tags(tags))));
        }
        let limits = Limits::default().with_output_bytes(LONGEST_OUTPUT).with_deadline(DEADLINE);
        let template = Compiled::parse("", tags, &[functions::ALL], limits)
            .map_err(|failure| TagsError::Parse(placed(&failure, &failure.reason)))?;
        Ok(Self(Source::Template { template: Box::new(template), fetches: tags.contains("httpGet") }))
    }

    /// Whether [`ForcedTags::evaluate`] needs [`Container::inspect`].
    #[must_use]
    pub fn needs_inspect(&self) -> bool {
        matches!(self.0, Source::Template { .. })
    }

    /// The tags for this container. An evaluation that may take seconds runs on another thread, so it delays nothing
    /// else.
    pub async fn evaluate_apart(self: Arc<Self>, container: Arc<Container>) -> Evaluated {
        let work = move || fetch::noting_failures(|| self.evaluate(&container));
        let lost = || (Err(TagsError::Evaluate("it could not be run".to_owned())), Vec::new());
        let (tags, failed_requests) = fetch::apart(work).await.unwrap_or_else(lost);
        Evaluated { tags, failed_requests }
    }

    /// Whether [`ForcedTags::evaluate`] may block for some seconds, as `httpGet` does.
    #[must_use]
    pub fn may_block(&self) -> bool {
        matches!(self.0, Source::Template { fetches: true, .. })
    }

    /// The tags for this container, in order, without empty ones.
    ///
    /// # Errors
    /// When the template fails on this container or exceeds a limit. The reason is one line, and shows only the parts
    /// of the inspect result that the template itself selects.
    pub fn evaluate(&self, container: &Container) -> Result<Vec<String>, TagsError> {
        match &self.0 {
            Source::List(tags) => Ok(tags.clone()),
            Source::Template { template, .. } => {
                let inspect = container.inspect.as_deref().ok_or(TagsError::NoInspect)?;
                let text = template
                    .execute(context::of(inspect))
                    .map_err(|failure| TagsError::Evaluate(reason_of_failure(&failure)))?;
                Ok(split_tags(&text))
            }
        }
    }
}

impl fmt::Debug for ForcedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::List(tags) => f.debug_tuple("ForcedTags").field(tags).finish(),
            Source::Template { .. } => f.write_str("ForcedTags(template)"),
        }
    }
}

/// The engine quotes the offending value, which may be the whole inspect result with every secret in its environment.
/// So everything after the start of a map or a list is dropped.
fn reason_of_failure(failure: &Failure) -> String {
    let message = &failure.reason;
    let end = [" in map[", " on map[", " over map[", " in [", " on [", " over [", "map[", " ["]
        .iter()
        .filter_map(|start| message.find(start))
        .min();
    placed(failure, &message[..end.unwrap_or(message.len())])
}

/// The reason in one line, with its place.
fn placed(failure: &Failure, reason: &str) -> String {
    let reason = one_line(reason, LONGEST_REASON);
    match failure.place {
        Some((line, column)) => format!("line {line}, column {column}: {reason}"),
        None => reason,
    }
}

#[cfg(test)]
mod tests;
