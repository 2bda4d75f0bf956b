//! Go's text/template: parses, and executes within limits. Knows no function of ours but by its table.
//!
//! The engine is the crate gtmpl-ng. What it does not know of Go's language is rewritten before it parses
//! ([`rewrite`]); what it prints otherwise is replaced ([`show`]).

mod failure;
mod literals;
mod method;
mod places;
mod rewrite;
mod show;
mod tokens;

use gtmpl_ng::{Context, Func, Limits, Template, Value};

pub(super) use failure::{ERROR_CALLING, Failure, WRONG_COUNT, one_line};
use rewrite::Rewritten;
pub(super) use show::{TEXT, holds_struct, shown, type_name};
use tokens::{Kind, Part, Token};

/// Functions by name. A later table replaces what an earlier one, or Go, has under the same name.
pub(super) type Table = &'static [(&'static str, Func)];

/// A template that has been parsed.
pub(super) struct Compiled {
    template: Template,
    source: String,
    rewritten: Rewritten,
}

impl Compiled {
    /// Parses a template of this name.
    ///
    /// # Errors
    /// When it is not Go's language, or names a function that no table has.
    pub(super) fn parse(name: &str, source: &str, tables: &[Table], limits: Limits) -> Result<Self, Failure> {
        let mut template = Template::with_limits(limits);
        name.clone_into(&mut template.name);
        tables.iter().for_each(|table| template.add_funcs(table));
        template.add_funcs(&[(rewrite::SHOW, show::show as Func), (rewrite::CALL, method::call)]);
        let rewritten = rewrite::rewrite(source).map_err(|refused| Failure::refused(name, source, refused))?;
        template.parse(rewritten.text.as_str()).map_err(|error| Failure::parse(name, source, &rewritten, &error))?;
        Ok(Self { template, source: source.to_owned(), rewritten })
    }

    /// The calls of a function whose first argument is written as a literal: its text, and where the call stands.
    pub(super) fn literal_calls(&self, function: &str) -> Vec<(String, (usize, usize))> {
        let source = self.source.as_str();
        let actions = tokens::parts(source).into_iter().filter_map(|part| match part {
            Part::Action(action) => Some(action.tokens),
            _ => None,
        });
        let called = |tokens: &[Token]| match tokens {
            [word, space, literal]
                if (word.kind, space.kind, literal.kind) == (Kind::Word, Kind::Space, Kind::Literal)
                    && source[word.place.clone()] == *function =>
            {
                let text = literals::text(&source[literal.place.clone()])?;
                Some((text, places::line_and_column(source, word.place.start)))
            }
            _ => None,
        };
        actions.flat_map(|tokens| tokens.windows(3).filter_map(called).collect::<Vec<_>>()).collect()
    }

    /// The template's text with this value as its dot.
    ///
    /// # Errors
    /// When a function fails, a field is missing, or a limit is exceeded.
    pub(super) fn execute(&self, dot: Value) -> Result<String, Failure> {
        self.template
            .render(&Context::from(dot))
            .map_err(|error| Failure::execute(&self.template.name, &self.source, &self.rewritten, &error))
    }
}
