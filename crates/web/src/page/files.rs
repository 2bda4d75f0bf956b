//! The files that a page loads: a style, a script and an icon, each with a tag of its content.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// A file of the pages.
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
    /// The file of this path.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        match path {
            "/page/style.css" => Some(Self::Style),
            "/page/script.js" => Some(Self::Script),
            "/page/icon.svg" | "/favicon.ico" => Some(Self::Icon),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Icon => "image/svg+xml",
        }
    }

    /// Its content.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Style => include_str!("style.css"),
            Self::Script => include_str!("script.js"),
            Self::Icon => include_str!("icon.svg"),
        }
    }

    /// Its entity tag, in quotes.
    #[must_use]
    pub fn tag(self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text().hash(&mut hasher);
        format!("\"{:x}\"", hasher.finish())
    }

    /// Whether a reader has it already, as its request says.
    #[must_use]
    pub fn is_known(self, headers: &HeaderMap) -> bool {
        headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == self.tag().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_path_and_asks_for_nothing_from_elsewhere() {
        for (path, file) in [
            ("/page/style.css", File::Style),
            ("/page/script.js", File::Script),
            ("/page/icon.svg", File::Icon),
            ("/favicon.ico", File::Icon),
        ] {
            assert_eq!(File::find(path), Some(file));
            let elsewhere = file.text().replace("http://www.w3.org/2000/svg", "");
            assert!(
                !elsewhere.contains("//cdn") && !elsewhere.contains("http:") && !elsewhere.contains("https:"),
                "{path}"
            );
        }
        assert_eq!(File::find("/page/other"), None);
    }
}
