//! Regular expressions of filters, compiled within a budget.
//!
//! A few characters can stand for a machine of megabytes (`\\w{1000}`), or for a class of thousands of ranges that are
//! folded for a while. So all of one filter together have so many characters, and take so many bytes.

use std::fmt;

use regex_automata::Input;
use regex_automata::meta::{Cache, Config, Regex};

/// What all regular expressions of a filter may take, in bytes.
const MEMORY: usize = 1 << 20;
/// How long they may be together, in bytes.
const LENGTH: usize = 1024;
/// What the fastest way to search may take of each while it searches, in bytes.
const SEARCH_MEMORY: usize = 128 << 10;
/// What the fastest way to search for short expressions may take of each, in bytes.
const ONE_PASS_MEMORY: usize = 64 << 10;

/// The bytes of a text times the bytes of a machine, beyond which a text is not searched: some 0.2 s at worst.
const LONGEST_SEARCH: usize = 4 << 30;

/// A regular expression.
pub(super) struct Pattern {
    regex: Regex,
    memory: usize,
}

/// A text is too long for what it is to be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Pattern {
    /// What searching needs; it grows while it is used.
    pub(super) fn cache(&self) -> Cache {
        self.regex.create_cache()
    }

    /// Whether it is in a text.
    ///
    /// # Errors
    /// When that could take too long.
    pub(super) fn is_in(&self, text: &str, cache: &mut Cache) -> Result<bool, TooLong> {
        if self.memory.saturating_mul(text.len()) > LONGEST_SEARCH {
            return Err(TooLong);
        }
        Ok(self.regex.search_half_with(cache, &Input::new(text).earliest(true)).is_some())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// What the regular expressions of one filter have taken so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    memory: usize,
    length: usize,
}

impl Budget {
    /// Compiles one more.
    ///
    /// # Errors
    /// When it is none, or all of them together are too large: in Consul's words, as far as it has them.
    pub(super) fn compile(&mut self, text: &str) -> Result<Pattern, String> {
        self.length += text.len();
        if self.length > LENGTH {
            return Err(format!("its regular expressions have more than {LENGTH} bytes"));
        }
        let left = MEMORY.saturating_sub(self.memory);
        let too_large = || format!("its regular expressions take more than {} KB when compiled", MEMORY >> 10);
        let config = Config::new()
            .nfa_size_limit(Some(left))
            .onepass_size_limit(Some(ONE_PASS_MEMORY))
            .hybrid_cache_capacity(SEARCH_MEMORY);
        let regex = Regex::builder().configure(config).build(text).map_err(|error| match error.syntax_error() {
            Some(error) => problem(text, &error.to_string()),
            None => too_large(),
        })?;
        // What it needs for a search is not held, but counts: a search of many small ones has it for all of them.
        let memory = regex.memory_usage() + regex.create_cache().memory_usage();
        self.memory += memory;
        if self.memory > MEMORY { Err(too_large()) } else { Ok(Pattern { regex, memory }) }
    }

    /// What they take, in bytes.
    pub(super) fn taken(&self) -> usize {
        self.memory
    }
}

fn problem(text: &str, error: &str) -> String {
    // The library's message draws a picture of several lines; its last one is the reason.
    let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("Failed to compile regular expression {text:?}: {reason}")
}
