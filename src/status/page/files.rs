//! The files that the page loads: a style and a script, each with a tag of its content.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};

use super::super::serve::{Answer, response, tagged};

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The style.
    Style,
    /// The script.
    Script,
    /// The icon.
    Icon,
}

impl File {
    /// The file of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "style.css" => Some(Self::Style),
            "script.js" => Some(Self::Script),
            "icon.svg" => Some(Self::Icon),
            _ => None,
        }
    }

    fn content(self) -> (&'static str, &'static str) {
        match self {
            Self::Style => ("text/css; charset=utf-8", include_str!("style.css")),
            Self::Script => ("text/javascript; charset=utf-8", include_str!("script.js")),
            Self::Icon => ("image/svg+xml", include_str!("icon.svg")),
        }
    }

    /// The file, unless the reader has it.
    #[must_use]
    pub fn answer(self, headers: &HeaderMap) -> Answer {
        let (kind, text) = self.content();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let tag = format!("\"{:x}\"", hasher.finish());
        let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let (code, text) = if known { (StatusCode::NOT_MODIFIED, "") } else { (StatusCode::OK, text) };
        tagged(response(code, kind, Full::new(text.into()).boxed_unsync()), &tag)
    }
}
