//! The last part of a run: the files get their new content.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::prepare::{File, Prepared, Set, keep};
use super::{Outcome, Renderer, RunError};
use crate::render::step::Step;
use crate::render::target::TargetError;

/// Replaces what differs, and removes what is to be no longer.
pub(super) fn apply(renderer: &Renderer, prepared: Prepared) -> Result<Outcome, RunError> {
    // Remembered first: whoever is killed behind this line reloads once too often rather than never.
    let pending = renderer.pending();
    let was_due = pending.is_set();
    if renderer.reloads() {
        pending.set();
    }
    let applied = match prepared.set {
        None => single(renderer, prepared.files),
        Some(set) => several(renderer, prepared.files, set, prepared.refused),
    };
    let changed = applied.as_ref().is_ok_and(|outcome| !outcome.changed.is_empty() || outcome.removed > 0);
    if !changed && !was_due {
        pending.clear();
    }
    let mut outcome = applied?;
    outcome.reload = renderer.reloads() && (changed || was_due);
    Ok(outcome)
}

fn single(renderer: &Renderer, files: Vec<File>) -> Result<Outcome, RunError> {
    let mut outcome = Outcome::default();
    for file in files {
        if let Some(dest) = replace(renderer, file)? {
            outcome.changed.push(dest);
        }
    }
    Ok(outcome)
}

/// Replaces each file that differs. One that fails stays as it is and stops no other.
fn several(renderer: &Renderer, files: Vec<File>, set: Set, refused: usize) -> Result<Outcome, RunError> {
    let Set { mut ledger, stage, names, gone } = set;
    let path = ledger.path().to_owned();
    let unsaved = |error| RunError::Ledger { path: path.clone(), error };
    let root = path.parent().unwrap_or(std::path::Path::new(".")).to_owned();
    let made: BTreeSet<String> = ledger.files().iter().cloned().chain(listed(&root, &files)).collect();
    ledger.save(made.clone()).map_err(unsaved)?;
    let mut outcome = Outcome { refused, ..Outcome::default() };
    for file in files {
        let done = file.target.prepare(renderer.resource.mkdir).map_err(RunError::from);
        match done.and_then(|()| replace(renderer, file)) {
            Ok(dest) => outcome.changed.extend(dest),
            Err(error) => {
                outcome.refused += 1;
                renderer.steps.tell(&Step::Refused { why: error.to_string() });
            }
        }
    }
    let mut kept: BTreeSet<String> = made.into_iter().filter(|name| names.contains(name)).collect();
    for name in gone {
        let dest = root.join(&name);
        match fs::remove_file(&dest) {
            Ok(()) => {
                outcome.removed += 1;
                renderer.steps.tell(&Step::Removed { dest });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                outcome.refused += 1;
                let error = TargetError::Refused { what: "remove", path: dest, error };
                renderer.steps.tell(&Step::Refused { why: error.to_string() });
                kept.insert(name);
            }
        }
    }
    ledger.save(kept).map_err(unsaved)?;
    keep(renderer, stage);
    Ok(outcome)
}

/// The files that are made or adopted, by their paths below the folder.
fn listed<'a>(root: &'a std::path::Path, files: &'a [File]) -> impl Iterator<Item = String> + 'a {
    files.iter().filter_map(move |file| {
        let below = file.target.path.strip_prefix(root).unwrap_or(&file.target.path);
        below.to_str().map(str::to_owned)
    })
}

/// Replaces a file if it differs, and gives its path if it did.
fn replace(renderer: &Renderer, file: File) -> Result<Option<std::path::PathBuf>, RunError> {
    let File { target, content, differs, stage } = file;
    let dest = target.path.clone();
    if !differs {
        renderer.steps.tell(&Step::InSync { dest });
        keep(renderer, stage);
        return Ok(None);
    }
    let moved = match stage {
        Some(stage) if !renderer.rules.keep_stage_file => stage,
        kept => {
            keep(renderer, kept);
            target.stage(content.as_bytes())?
        }
    };
    let how = target.replace(moved, content.as_bytes())?;
    renderer.steps.tell(&Step::Replaced { dest: dest.clone(), how });
    Ok(Some(dest))
}
