//! `-check-config`: whether resources and templates can be read, without a back end and without writing.

use std::path::Path;
use std::process::ExitCode;

use tracing::{error, info, warn};

use super::settings::Settings;
use super::{fatal, lines, place};
use crate::render::find::Confdir;
use crate::render::resource::Resource;
use crate::template::FileTemplate;

/// Logs all that is wrong. Fails if anything is.
pub(super) fn run(settings: &Settings) -> ExitCode {
    let confdir = place::confdir(settings);
    let found = match confdir.find() {
        Ok(found) => found,
        Err(failure) => return fatal(&format!("Cannot load template resources: {failure}")),
    };
    found.remarks.iter().for_each(|remark| warn!("{remark}"));
    found.errors.iter().for_each(lines::broken);
    let templates = Confdir::new(&settings.confdir).templates();
    let mut wrong = found.errors.len();
    for resource in &found.resources {
        if let Err(reason) = template(resource, &templates) {
            error!("{reason}");
            wrong += 1;
        }
    }
    if found.resources.is_empty() && wrong == 0 {
        lines::nothing();
    }
    match wrong {
        0 => {
            info!("{} template resources are right", found.resources.len());
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn template(resource: &Resource, templates: &Path) -> Result<(), String> {
    let path = templates.join(&resource.src);
    let shown = path.display().to_string().escape_debug().to_string();
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("Missing template: {shown}"),
        _ => format!("cannot read the template {shown}: {error}"),
    })?;
    let name = resource.src.file_name().unwrap_or_default().to_string_lossy();
    FileTemplate::parse_bytes(&name, &bytes, templates)
        .and_then(|template| template.check())
        .map_err(|error| format!("Unable to process template {shown}, {error}"))
}
