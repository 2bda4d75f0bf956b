//! Rewrites a template into the part of Go's language that the template engine knows.
//!
//! - Literals are written with the few escapes that the engine reads as Go does.
//! - `{{else with X}}` becomes `{{else}}{{with X}}`, with another `{{end}}` at its end.
//! - A method call with arguments, `T.Format "15:04"`, becomes a call of [`CALL`]: `_call "Format" T "15:04"`.
//! - What an action prints goes through [`SHOW`], which prints structs and times as Go does.
//!
//! Places in the result are places in the source ([`Rewritten::source`]), so errors name what was written.

use super::literals;
use super::places::Places;
use super::tokens::{Action, Kind, Part, Token, parts};

/// Calls the method that its first argument names, of its second argument.
pub(super) const CALL: &str = "_call";

/// The value as an action prints it.
pub(super) const SHOW: &str = "_show";

/// How deep parentheses may nest. The engine reads them recursively, and a stack has an end.
const DEEPEST: usize = 50;

/// A template in the engine's language.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) text: String,
    places: Places,
}

impl Rewritten {
    /// The byte of the source for a byte of the text.
    pub(super) fn source(&self, written: usize) -> usize {
        self.places.source(written)
    }
}

/// Why a template is refused, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) at: usize,
    pub(super) reason: String,
}

/// The template in the engine's language.
///
/// # Errors
/// When a literal has an escape that Go does not know, or parentheses nest too deep.
pub(super) fn rewrite(source: &str) -> Result<Rewritten, Refused> {
    let mut writer =
        Writer { source, text: String::with_capacity(source.len()), places: Places::default(), blocks: vec![] };
    for part in parts(source) {
        match part {
            Part::Verbatim(place) => writer.copy(place.start, place.end),
            Part::Unclosed(place) if source[place.clone()].matches('(').nth(DEEPEST).is_some() => {
                return Err(Refused { at: place.start, reason: "unclosed action".to_owned() });
            }
            Part::Unclosed(place) => writer.copy(place.start, place.end),
            Part::Action(action) => writer.action(&action)?,
        }
    }
    Ok(Rewritten { text: writer.text, places: writer.places })
}

/// A block that `{{end}}` ends.
struct Block {
    is_with: bool,
    /// How many `{{else with}}` it has had, each of which takes another end.
    ends: usize,
}

struct Writer<'t> {
    source: &'t str,
    text: String,
    places: Places,
    /// The open blocks, the innermost last.
    blocks: Vec<Block>,
}

impl Writer<'_> {
    fn copy(&mut self, start: usize, end: usize) {
        self.places.same(self.text.len(), start);
        self.text.push_str(&self.source[start..end]);
    }

    /// Writes something of ours for this place of the source.
    fn insert(&mut self, text: &str, source: usize) {
        self.places.instead(self.text.len(), source);
        self.text.push_str(text);
    }

    fn word(&self, token: Option<&Token>) -> &str {
        token.filter(|token| token.kind == Kind::Word).map_or("", |token| &self.source[token.place.clone()])
    }

    fn action(&mut self, action: &Action) -> Result<(), Refused> {
        self.copy(action.open.start, action.open.end);
        let tokens = action.tokens.as_slice();
        self.refuse_our_names(tokens)?;
        if is_balanced(tokens)? {
            self.control(tokens)?;
        } else {
            self.copy_tokens(tokens)?;
        }
        self.copy(action.close.start, action.close.end);
        Ok(())
    }

    fn refuse_our_names(&self, tokens: &[Token]) -> Result<(), Refused> {
        let ours = tokens.iter().find(|token| matches!(self.word(Some(token)), CALL | SHOW));
        ours.map_or(Ok(()), |token| {
            let reason = format!("function {} not defined", self.word(Some(token)));
            Err(Refused { at: token.place.start, reason })
        })
    }

    /// An action by its keyword, if it has one.
    fn control(&mut self, tokens: &[Token]) -> Result<(), Refused> {
        let (spaces, tokens) = tokens.split_at(leading_spaces(tokens));
        self.copy_tokens(spaces)?;
        let Some((keyword, rest)) = tokens.split_first() else { return Ok(()) };
        match self.word(Some(keyword)) {
            "if" | "range" | "with" => {
                self.blocks.push(Block { is_with: self.word(Some(keyword)) == "with", ends: 0 });
                self.copy(keyword.place.start, keyword.place.end);
                self.pipeline(rest)
            }
            "else" => self.otherwise(keyword, rest),
            "end" => {
                self.copy(keyword.place.start, keyword.place.end);
                for _ in 0..self.blocks.pop().map_or(0, |block| block.ends) {
                    self.insert("}}{{end", keyword.place.end);
                }
                self.copy_tokens(rest)
            }
            "define" => {
                self.blocks.push(Block { is_with: false, ends: 0 });
                self.copy_tokens(tokens)
            }
            "block" | "template" => {
                if self.word(Some(keyword)) == "block" {
                    self.blocks.push(Block { is_with: false, ends: 0 });
                }
                let name = leading_spaces(rest) + 1;
                let (name, rest) = rest.split_at(name.min(rest.len()));
                self.copy(keyword.place.start, keyword.place.end);
                self.copy_tokens(name)?;
                self.pipeline(rest)
            }
            "break" | "continue" => self.copy_tokens(tokens),
            _ => self.shown(tokens),
        }
    }

    /// `{{else}}`, `{{else if X}}` or `{{else with X}}`.
    fn otherwise(&mut self, keyword: &Token, rest: &[Token]) -> Result<(), Refused> {
        self.copy(keyword.place.start, keyword.place.end);
        let (spaces, rest) = rest.split_at(leading_spaces(rest));
        let second = self.word(rest.first()).to_owned();
        let Some((next, pipeline)) = rest.split_first().filter(|_| matches!(&*second, "if" | "with")) else {
            self.copy_tokens(spaces)?;
            return self.copy_tokens(rest);
        };
        match self.blocks.last_mut().filter(|block| block.is_with && second == "with") {
            Some(block) => {
                block.ends += 1;
                self.insert("}}{{", next.place.start);
            }
            None => self.copy_tokens(spaces)?,
        }
        self.copy(next.place.start, next.place.end);
        self.pipeline(pipeline)
    }

    /// An action that prints its value, unless it declares a variable.
    fn shown(&mut self, tokens: &[Token]) -> Result<(), Refused> {
        let prints = declaration(tokens) == 0;
        let end = tokens.len() - tokens.iter().rev().take_while(|token| token.kind == Kind::Space).count();
        let (value, spaces) = tokens.split_at(end);
        self.pipeline(value)?;
        if let Some(last) = value.last().filter(|last| prints && last.kind != Kind::Pipe) {
            self.insert(&format!(" | {SHOW}"), last.place.end);
        }
        self.copy_tokens(spaces)
    }

    /// `[$x :=] command | command …`
    fn pipeline(&mut self, tokens: &[Token]) -> Result<(), Refused> {
        let (declaration, mut rest) = tokens.split_at(declaration(tokens));
        self.copy_tokens(declaration)?;
        let mut is_first = true;
        loop {
            let end = end_of_command(rest);
            let (command, others) = rest.split_at(end);
            self.command(command, is_first)?;
            let Some((pipe, others)) = others.split_first() else { return Ok(()) };
            self.copy(pipe.place.start, pipe.place.end);
            rest = others;
            is_first = false;
        }
    }

    /// Operands with spaces between them.
    fn command(&mut self, tokens: &[Token], is_first: bool) -> Result<(), Refused> {
        let (spaces, tokens) = tokens.split_at(leading_spaces(tokens));
        self.copy_tokens(spaces)?;
        let (operand, rest) = tokens.split_at(end_of_operand(tokens));
        let has_arguments = rest.iter().any(|token| token.kind != Kind::Space);
        match operand.split_last() {
            Some((method, receiver))
                if method.kind == Kind::Field
                    && (has_arguments || !is_first)
                    && receiver.first().is_none_or(|base| self.is_receiver(base)) =>
            {
                let name = &self.source[method.place.start + 1..method.place.end];
                let call = format!("{CALL} \"{name}\" ");
                self.insert(&call, receiver.first().unwrap_or(method).place.start);
                if receiver.is_empty() {
                    self.insert(".", method.place.start);
                }
                self.operand(receiver)?;
            }
            _ => self.operand(operand)?,
        }
        self.operand(rest)
    }

    fn is_receiver(&self, base: &Token) -> bool {
        match base.kind {
            Kind::Word => !matches!(self.word(Some(base)), "true" | "false" | "nil"),
            Kind::Variable | Kind::Field | Kind::Open => true,
            _ => false,
        }
    }

    /// Operands as they are, but for the pipelines in parentheses.
    fn operand(&mut self, mut tokens: &[Token]) -> Result<(), Refused> {
        while let Some((token, rest)) = tokens.split_first() {
            if token.kind != Kind::Open {
                self.token(token)?;
                tokens = rest;
                continue;
            }
            let (inner, after) = rest.split_at(end_of_group(rest));
            self.copy(token.place.start, token.place.end);
            self.pipeline(inner)?;
            tokens = after;
        }
        Ok(())
    }

    fn copy_tokens(&mut self, tokens: &[Token]) -> Result<(), Refused> {
        tokens.iter().try_for_each(|token| self.token(token))
    }

    fn token(&mut self, token: &Token) -> Result<(), Refused> {
        let (start, end) = (token.place.start, token.place.end);
        if token.kind != Kind::Literal {
            self.copy(start, end);
            return Ok(());
        }
        let literal = &self.source[start..end];
        let plain = literals::plain(literal).map_err(|reason| Refused { at: start, reason })?;
        if plain == literal {
            self.copy(start, end);
        } else {
            self.insert(&plain, start);
        }
        Ok(())
    }
}

/// Whether each parenthesis has its other half.
fn is_balanced(tokens: &[Token]) -> Result<bool, Refused> {
    let mut open: usize = 0;
    for token in tokens {
        match token.kind {
            Kind::Open if open == DEEPEST => {
                let reason = format!("parentheses are nested more than {DEEPEST} levels deep");
                return Err(Refused { at: token.place.start, reason });
            }
            Kind::Open => open += 1,
            Kind::Close if open == 0 => return Ok(false),
            Kind::Close => open -= 1,
            _ => {}
        }
    }
    Ok(open == 0)
}

fn leading_spaces(tokens: &[Token]) -> usize {
    tokens.iter().take_while(|token| token.kind == Kind::Space).count()
}

/// The number of tokens of `$x :=`, `$x =` or `$i, $x :=`; 0 without any.
fn declaration(tokens: &[Token]) -> usize {
    let assign = tokens.iter().position(|token| token.kind == Kind::Assign);
    let of_declaration = |token: &Token| matches!(token.kind, Kind::Space | Kind::Variable | Kind::Comma);
    assign.filter(|&assign| tokens[..assign].iter().all(of_declaration)).map_or(0, |assign| assign + 1)
}

/// The place of the pipe after the first command, or the end.
fn end_of_command(tokens: &[Token]) -> usize {
    outside_parentheses(tokens, |kind| kind == Kind::Pipe)
}

/// The end of the first operand.
fn end_of_operand(tokens: &[Token]) -> usize {
    outside_parentheses(tokens, |kind| kind == Kind::Space)
}

/// The place of the parenthesis that closes the group whose tokens these are.
fn end_of_group(tokens: &[Token]) -> usize {
    outside_parentheses(tokens, |kind| kind == Kind::Close)
}

fn outside_parentheses(tokens: &[Token], is_end: impl Fn(Kind) -> bool) -> usize {
    let mut open: usize = 0;
    let end = tokens.iter().position(|token| {
        let found = open == 0 && is_end(token.kind);
        match token.kind {
            Kind::Open => open += 1,
            Kind::Close => open = open.saturating_sub(1),
            _ => {}
        }
        found
    });
    end.unwrap_or(tokens.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn rewritten(source: &str) -> String {
        rewrite(source).unwrap().text
    }

    #[test]
    fn what_the_engine_knows_stays_as_it_is() {
        for source in [
            "",
            "`a\\b` \"\\q\"",
            "{{/* `a` }} \"\\q\" */}}",
            "a{{`b",
            "a{{\"b`",
            "a{{/* b`",
            "{{",
            "{{if eq .a \"b\"}}x{{else if not $y}}{{else}}{{end}}",
            "{{$x := gets \"/a\"}}{{$x = 1}}{{range $i, $e := .l}}{{break}}{{continue}}{{end}}",
            "{{define \"t\"}}{{end}}{{template \"t\" .x}}{{block \"b\" (.c)}}{{end}}",
            "{{)(}}{{(}}",
        ] {
            assert_eq!(rewritten(source), source);
        }
    }

    #[test]
    fn what_an_action_prints_is_shown() {
        for (source, expected) in [
            ("{{.x}}", "{{.x | _show}}"),
            ("{{- .x -}}", "{{- .x | _show -}}"),
            ("{{ f 1  }}", "{{ f 1 | _show  }}"),
            (r"{{`\w+`}}ö{{.ü}}", r#"{{"\\w+" | _show}}ö{{.ü | _show}}"#),
            ("{{.x | }}", "{{.x | }}"),
            ("{{}}{{ }}", "{{}}{{ }}"),
        ] {
            assert_eq!(rewritten(source), expected);
        }
    }

    #[test]
    fn else_with_is_a_with_of_its_own() {
        for (source, expected) in [
            ("{{with a}}1{{else with b}}2{{end}}", "{{with a}}1{{else}}{{with b}}2{{end}}{{end}}"),
            (
                "{{with a}}{{- else  with $x := b -}}{{else with c}}{{else}}{{- end -}}x",
                "{{with a}}{{- else}}{{with $x := b -}}{{else}}{{with c}}{{else}}{{- end}}{{end}}{{end -}}x",
            ),
            (
                "{{with a}}{{if b}}{{else if c}}{{end}}{{else with d}}{{with e}}{{end}}{{end}}",
                "{{with a}}{{if b}}{{else if c}}{{end}}{{else}}{{with d}}{{with e}}{{end}}{{end}}{{end}}",
            ),
            // Go knows it in a `with` only.
            ("{{if a}}{{else with b}}{{end}}", "{{if a}}{{else with b}}{{end}}"),
        ] {
            assert_eq!(rewritten(source), expected);
        }
    }

    #[test]
    fn a_method_call_with_arguments_is_a_function_call() {
        for (source, expected) in [
            (r#"{{datetime.Format "2006"}}"#, r#"{{_call "Format" datetime "2006" | _show}}"#),
            (r#"{{(datetime).UTC.Format "15"}}"#, r#"{{_call "Format" (datetime).UTC "15" | _show}}"#),
            (r#"{{$t.Format "15" | f}}"#, r#"{{_call "Format" $t "15" | f | _show}}"#),
            (r#"{{.Format "15"}}"#, r#"{{_call "Format" . "15" | _show}}"#),
            (r#"{{.a.b.F 1 (c.D 2)}}"#, r#"{{_call "F" .a.b 1 (_call "D" c 2) | _show}}"#),
            (r#"{{"15" | .t.Format}}"#, r#"{{"15" | _call "Format" .t | _show}}"#),
            (r#"{{if (x.F 1).G 2}}{{end}}"#, r#"{{if _call "G" (_call "F" x 1) 2}}{{end}}"#),
            ("{{f .x.y $z.w}}", "{{f .x.y $z.w | _show}}"),
        ] {
            assert_eq!(rewritten(source), expected);
        }
    }

    #[test]
    fn a_place_is_that_of_the_source() {
        let source = "a{{`x`}}\n{{$t.Format `y`}} {{.missing}}";
        let rewritten = rewrite(source).unwrap();
        for word in ["\n{{", "$t", "missing"] {
            let written = rewritten.text.find(word).unwrap();
            assert_eq!(rewritten.source(written), source.find(word).unwrap(), "{word}");
        }
        let call = rewritten.text.find(CALL).unwrap();
        assert_eq!(rewritten.source(call), source.find("$t").unwrap());
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let refused = rewrite("a\n{{f \"\\q\"}}").unwrap_err();
        assert_eq!((refused.at, &*refused.reason), (6, r#"invalid escape or line break in "\q""#));
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(1000), ")".repeat(1000));
        assert_eq!(rewrite(&deep).unwrap_err().at, 2 + DEEPEST);
        assert_eq!(rewrite(&format!("{{{{{}", "(".repeat(1000))).unwrap_err().reason, "unclosed action");
        assert_eq!(rewrite("{{_call 1}}").unwrap_err().reason, "function _call not defined");
    }

    proptest! {
        #[test]
        fn no_template_is_too_odd(source in "(\\{\\{-? ?|( -)?\\}\\}|else |with |end|if |/\\*|\\*/|[\"'`\\\\xuU0é$.|() a]|.){0,30}") {
            if let Ok(rewritten) = rewrite(&source) {
                for byte in 0..=rewritten.text.len() {
                    prop_assert!(rewritten.source(byte) <= source.len());
                }
            }
        }
    }
}
