//! The first part of a run: what the files should be, staged and compared. Nothing that anybody reads is changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::{Belief, Renderer, RunError};
use crate::render::compare::{Difference, compare};
use crate::render::many::items::{Item, items};
use crate::render::many::ledger::Ledger;
use crate::render::pending::Pending;
use crate::render::resource::pattern::Pattern;
use crate::render::resource::{ForEach, Resource};
use crate::render::stage::{self, Stage};
use crate::render::step::Step;
use crate::render::target::Target;
use crate::render::{diff, format};
use crate::template::{Data, Dot, FileTemplate, TemplateError};

/// What a run is about to do.
pub(super) struct Prepared {
    /// Every file, in order.
    pub(super) files: Vec<File>,
    /// What several files need beside.
    pub(super) set: Option<Set>,
    /// How many files cannot be made.
    pub(super) refused: usize,
    /// Something would change, but what was read is doubted.
    pub(super) held: bool,
    dest: PathBuf,
}

/// One file.
pub(super) struct File {
    pub(super) target: Target,
    pub(super) content: String,
    pub(super) differs: bool,
    pub(super) stage: Option<Stage>,
}

/// What belongs to several files.
pub(super) struct Set {
    pub(super) ledger: Ledger,
    /// The folder of staged files.
    pub(super) stage: Option<Stage>,
    /// The files that there are to be, by their paths below the folder.
    pub(super) names: Vec<String>,
    /// The files that were made and are to be no longer.
    pub(super) gone: Vec<String>,
}

impl Prepared {
    /// Whether nothing is to be done.
    pub(super) fn is_right(&self) -> bool {
        self.files.iter().all(|file| !file.differs) && self.set.as_ref().is_none_or(|set| set.gone.is_empty())
    }

    /// Whether a content would be replaced, or a file removed.
    fn would_lose(&self) -> bool {
        self.files.iter().any(File::would_lose) || self.set.as_ref().is_some_and(|set| !set.gone.is_empty())
    }

    /// What `check_cmd` checks: the staged file, or the folder of them.
    pub(super) fn src(&self) -> &Path {
        let stage = match &self.set {
            Some(set) => set.stage.as_ref(),
            None => self.files.first().and_then(|file| file.stage.as_ref()),
        };
        stage.map_or(&self.dest, Stage::path)
    }

    /// The file, or the folder of several.
    pub(super) fn dest(&self) -> &Path {
        &self.dest
    }

    pub(super) fn tell_out_of_sync(&self, steps: &crate::render::step::Steps) {
        for file in self.files.iter().filter(|file| file.differs) {
            steps.tell(&Step::OutOfSync { dest: file.target.path.clone() });
        }
    }

    /// The end of a run that changes nothing.
    pub(super) fn leave(self, renderer: &Renderer) {
        for File { target, differs, stage, .. } in self.files {
            let dest = target.path;
            if renderer.rules.noop {
                renderer.steps.tell(&Step::Noop { dest, differs });
            } else if !differs {
                renderer.steps.tell(&Step::InSync { dest });
            }
            keep(renderer, stage);
        }
        keep(renderer, self.set.and_then(|set| set.stage));
    }
}

/// Leaves a staged file where it is, if that is wanted.
pub(super) fn keep(renderer: &Renderer, stage: Option<Stage>) {
    if let Some(stage) = stage.filter(|_| renderer.rules.keep_stage_file) {
        renderer.steps.tell(&Step::Kept { path: stage.keep() });
    }
}

/// The mark that a reload is due.
pub(super) fn pending(resource: &Resource) -> Pending {
    let subject = resource.subject();
    match resource.for_each {
        None => {
            let folder = subject.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Pending::new(folder, subject.file_name().unwrap_or_default())
        }
        Some(_) => Pending::new(&subject, stem(resource)),
    }
}

fn stem(resource: &Resource) -> &OsStr {
    resource.path.file_stem().unwrap_or_default()
}

/// Renders, stages and compares.
pub(super) fn prepare(renderer: &Renderer, data: &std::sync::Arc<Data>, belief: Belief) -> Result<Prepared, RunError> {
    match renderer.resource.for_each {
        None => one(renderer, data, belief),
        Some(for_each) => many(renderer, data, for_each, belief),
    }
}

fn one(renderer: &Renderer, data: &std::sync::Arc<Data>, belief: Belief) -> Result<Prepared, RunError> {
    let Renderer { resource, rules, .. } = renderer;
    let dest = PathBuf::from(&resource.dest);
    let target = Target::of(resource, &dest)?;
    let template = template(renderer)?;
    let content = template.render(data, &Dot::Nothing).map_err(|error| RunError::Execute(Box::new(error)))?;
    let mut file = compared(renderer, target, content)?;
    let held = belief == Belief::Doubted && file.would_lose() && !rules.noop;
    if !held {
        if !rules.noop {
            file.target.prepare(resource.mkdir)?;
            clean(renderer, file.target.folder(), file.target.base(), file.target.attributes.uid);
        }
        if file.stages(renderer) {
            file.stage = Some(file.target.stage(file.content.as_bytes())?);
        }
        show(renderer, &file);
    }
    Ok(Prepared { files: vec![file], set: None, refused: 0, held, dest })
}

impl File {
    /// Whether a content would be replaced.
    fn would_lose(&self) -> bool {
        self.differs && fs::metadata(&self.target.path).is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Whether it needs a staged file.
    fn stages(&self, renderer: &Renderer) -> bool {
        let rules = &renderer.rules;
        rules.keep_stage_file || (self.differs && !rules.noop)
    }
}

fn many(
    renderer: &Renderer,
    data: &std::sync::Arc<Data>,
    for_each: ForEach,
    belief: Belief,
) -> Result<Prepared, RunError> {
    let Renderer { resource, rules, steps } = renderer;
    let pattern = Pattern::parse(&resource.dest).map_err(|error| RunError::Dest(Box::new(error)))?;
    let root = pattern.root().to_owned();
    let template = template(renderer)?;
    let ledger = Ledger::open(&root, &resource.path).map_err(|error| RunError::Ledger { path: root.clone(), error })?;
    let mut prepared = Prepared { files: Vec::new(), set: None, refused: 0, held: false, dest: root.clone() };
    let mut names = BTreeMap::new();
    for item in items(for_each, data) {
        let found = file_of(renderer, &pattern, &item, &ledger, &mut names)
            .and_then(|target| {
                let content = template.render(data, &item.dot).map_err(|error| RunError::Execute(Box::new(error)));
                content.and_then(|content| compared(renderer, target, content)).map_err(|error| error.to_string())
            })
            .and_then(|file| adopted(&root, file, &ledger));
        match found {
            Ok(file) => prepared.files.push(file),
            Err(why) => {
                prepared.refused += 1;
                steps.tell(&Step::Refused { why: format!("{}: {why}", item.label()) });
            }
        }
    }
    // What cannot be made now keeps its last good content.
    let gone = ledger.files().iter().filter(|name| !names.contains_key(*name)).cloned().collect();
    let names = names.into_keys().collect();
    prepared.set = Some(Set { ledger, stage: None, names, gone });
    prepared.held = belief == Belief::Doubted && !rules.noop && prepared.would_lose();
    if !prepared.held {
        stage_all(renderer, &mut prepared)?;
        prepared.files.iter().for_each(|file| show(renderer, file));
    }
    Ok(prepared)
}

/// The file for one item. Its name is taken, so that no other item gets it.
fn file_of(
    renderer: &Renderer,
    pattern: &Pattern,
    item: &Item,
    ledger: &Ledger,
    names: &mut BTreeMap<String, String>,
) -> Result<Target, String> {
    let fields: Vec<_> = item.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let name = pattern.fill(&fields).map_err(|error| error.to_string())?;
    let path = pattern.root().join(&name);
    if ledger.path() == path {
        return Err(format!("{} is the list of files that were made", path.display()));
    }
    match names.entry(name) {
        Entry::Occupied(taken) => Err(format!("{} is already made for {}; it keeps it", path.display(), taken.get())),
        Entry::Vacant(free) => {
            free.insert(item.label());
            Target::of(&renderer.resource, &path).map_err(|error| error.to_string())
        }
    }
}

/// The file, if it is ours to change: we made it, or it is new, or it is already as it should be.
fn adopted(root: &Path, file: File, ledger: &Ledger) -> Result<File, String> {
    let path = &file.target.path;
    let name = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
    if !file.differs || ledger.files().contains(name) || !path.exists() {
        return Ok(file);
    }
    Err(format!("{} is there already and was made by somebody else: remove it, and it is made", path.display()))
}

/// Stages a set in a folder of its own, where every file has its final name: what differs is written, the rest is
/// linked, so that a check sees all.
fn stage_all(renderer: &Renderer, prepared: &mut Prepared) -> Result<(), RunError> {
    let Renderer { resource, rules, .. } = renderer;
    let root = prepared.dest.clone();
    if !rules.noop {
        if let Some(file) = prepared.files.first() {
            file.target.prepare(resource.mkdir)?;
        }
        let own = geteuid().as_raw();
        clean(renderer, &root, stem(resource), own);
        let ledger = prepared.set.as_ref().and_then(|set| set.ledger.path().file_name());
        ledger.into_iter().for_each(|name| clean(renderer, &root, name, own));
    }
    if !prepared.files.iter().any(|file| file.stages(renderer)) {
        return Ok(());
    }
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| crate::render::target::TargetError::Refused { what, path, error }
    };
    let folder = Stage::folder(&root, stem(resource)).map_err(failed("stage in", &root))?;
    for file in &mut prepared.files {
        let below = file.target.path.strip_prefix(&root).unwrap_or(&file.target.path);
        let path = folder.path().join(below);
        if file.stages(renderer) {
            let mut stage = Stage::below(&path).map_err(failed("stage", &path))?;
            stage.fill(file.content.as_bytes(), file.target.attributes).map_err(failed("write", &file.target.path))?;
            file.stage = Some(stage);
        } else {
            link(&file.target.path, &path).map_err(failed("stage", &path))?;
        }
    }
    if let Some(set) = &mut prepared.set {
        set.stage = Some(folder);
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

/// Reads and parses the template, anew in each run.
fn template(renderer: &Renderer) -> Result<FileTemplate, RunError> {
    let Renderer { resource, rules, steps } = renderer;
    let path = rules.templates.join(&resource.src);
    steps.tell(&Step::UsingTemplate { path: path.clone() });
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RunError::NoTemplate(path)),
        read => read.map_err(|error| RunError::Unreadable { path: path.clone(), error })?,
    };
    let name = resource.src.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |error: TemplateError| RunError::Parse { path: path.clone(), error: Box::new(error) };
    FileTemplate::parse_bytes(&name, &bytes, &rules.templates).map_err(failed)
}

/// Checks what was rendered, and compares it with the file.
fn compared(renderer: &Renderer, target: Target, content: String) -> Result<File, RunError> {
    let Renderer { resource, steps, .. } = renderer;
    let dest = target.path.clone();
    if let Some(format) = resource.format {
        format::check(format, &content).map_err(|error| RunError::Format { dest: dest.clone(), format, error })?;
    }
    steps.tell(&Step::Comparing { dest: dest.clone() });
    let differences = compare(&dest, target.attributes, content.as_bytes())
        .map_err(|error| RunError::Compare { path: dest.clone(), error })?;
    let differs = !differences.is_empty();
    for difference in differences.into_iter().filter(|difference| *difference != Difference::Missing) {
        steps.tell(&Step::Differs { dest: dest.clone(), difference });
    }
    Ok(File { target, content, differs, stage: None })
}

/// Removes what killed processes have left.
fn clean(renderer: &Renderer, folder: &Path, base: &OsStr, uid: u32) {
    if renderer.rules.keep_stage_file {
        return;
    }
    for path in stage::clean(folder, base, &[geteuid().as_raw(), uid]) {
        renderer.steps.tell(&Step::Cleaned { path });
    }
}

/// Shows what would change, if that is wanted.
fn show(renderer: &Renderer, file: &File) {
    let Some(look) = renderer.rules.diff.filter(|_| renderer.rules.noop) else { return };
    let dest = &file.target.path;
    let before = fs::read(dest).unwrap_or_default();
    let staged = match &file.stage {
        Some(stage) => stage.path().display().to_string(),
        None => format!("{} (rendered)", dest.display()),
    };
    let text = diff::unified(dest, &before, &staged, &file.content, look);
    renderer.steps.tell(&Step::Diff { dest: dest.clone(), text });
}
