//! A page of the documentation, as far as its checks need it: fenced blocks with their marks, headings and links.

use std::fs;
use std::path::Path;

/// A fenced block of a page.
#[derive(Debug)]
pub(crate) struct Block {
    /// The line of its fence, counted from 1.
    pub(crate) line: usize,
    /// What the fence says its content is.
    pub(crate) language: String,
    /// Its lines.
    pub(crate) text: String,
    /// The marks right before it.
    pub(crate) marks: Vec<Mark>,
}

/// An HTML comment that stands alone on its lines: `<!-- name: value -->`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What stands before the colon.
    pub(crate) name: String,
    /// What stands behind it.
    pub(crate) value: String,
}

/// What a page has, in its order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A fenced block.
    Block(Block),
    /// A mark that does not belong to a block, with its line.
    Mark(usize, Mark),
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path below the repository.
    pub(crate) path: String,
    /// Blocks and marks.
    pub(crate) items: Vec<Item>,
    /// What its headings can be linked by.
    pub(crate) anchors: Vec<String>,
    /// What it links to, with the lines.
    pub(crate) links: Vec<(usize, String)>,
    /// The lines of blocks that are not fenced, or not closed.
    pub(crate) unfenced: Vec<usize>,
}

impl Block {
    /// The mark of this name.
    pub(crate) fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find(|mark| mark.name == name).map(|mark| mark.value.as_str())
    }
}

impl Page {
    /// The page at this path below the repository.
    pub(crate) fn read(path: &str) -> Self {
        let file = root().join(path);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(path, &text)
    }

    /// A page of this text.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            items: Vec::new(),
            anchors: Vec::new(),
            links: Vec::new(),
            unfenced: Vec::new(),
        };
        let mut waiting: Vec<(usize, Mark)> = Vec::new();
        let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
        let mut blank = true;
        while let Some((number, line)) = lines.next() {
            let was_blank = std::mem::replace(&mut blank, line.trim().is_empty());
            let start = line.trim_start();
            let indent = line.len() - start.len();
            if let Some(language) = start.strip_prefix("```") {
                let closed = &mut false;
                let content = lines.by_ref().map(|(_, line)| line).take_while(|line| {
                    *closed = line.trim() == "```";
                    !*closed
                });
                let text: String = content.map(|line| format!("{}\n", line.get(indent..).unwrap_or(""))).collect();
                if !*closed {
                    page.unfenced.push(number);
                }
                // What a machine is does not belong to a block, wherever it stands.
                let (own, others): (Vec<_>, Vec<_>) =
                    waiting.drain(..).partition(|(_, mark)| !["machine", "before"].contains(&mark.name.as_str()));
                page.items.extend(others.into_iter().map(|(line, mark)| Item::Mark(line, mark)));
                let marks = own.into_iter().map(|(_, mark)| mark).collect();
                page.items.push(Item::Block(Block { line: number, language: language.to_owned(), text, marks }));
            } else if let Some(comment) = start.strip_prefix("<!--") {
                let mut comment = comment.to_owned();
                while !comment.contains("-->") {
                    let Some((_, line)) = lines.next() else { break };
                    comment = format!("{comment}\n{line}");
                }
                let comment = comment.split("-->").next().unwrap_or_default().trim();
                let (name, value) = comment.split_once(':').unwrap_or((comment, ""));
                waiting.push((number, Mark { name: name.trim().to_owned(), value: value.trim().to_owned() }));
            } else if !blank {
                page.items.extend(waiting.drain(..).map(|(line, mark)| Item::Mark(line, mark)));
                if was_blank && indent >= 4 && !start.starts_with(['-', '*', '|']) {
                    page.unfenced.push(number);
                }
                if let Some(heading) = line.strip_prefix('#') {
                    page.heading(heading.trim_start_matches('#'));
                }
                page.links.extend(links(line).into_iter().map(|link| (number, link)));
            }
        }
        page.items.extend(waiting.drain(..).map(|(line, mark)| Item::Mark(line, mark)));
        page
    }

    /// Its blocks.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.items.iter().filter_map(|item| match item {
            Item::Block(block) => Some(block),
            Item::Mark(..) => None,
        })
    }

    /// Adds what a heading can be linked by, as GitHub and mdBook make it.
    fn heading(&mut self, heading: &str) {
        let heading = heading.trim().replace(' ', "-").to_lowercase();
        let slug: String =
            heading.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect();
        let same = |anchors: &[String], slug: &str| anchors.iter().any(|anchor| anchor == slug);
        let mut anchor = slug.clone();
        let mut number = 0;
        while same(&self.anchors, &anchor) {
            number += 1;
            anchor = format!("{slug}-{number}");
        }
        self.anchors.push(anchor);
    }
}

/// What a line links to: `](target)`, outside of code.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: README.md, CONTRIBUTING.md, and all of docs/.
pub(crate) fn all() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/");
    let names = docs.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let pages = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let mut paths: Vec<_> = pages.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]).collect();
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}
