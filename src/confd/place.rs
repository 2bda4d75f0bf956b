//! Where one run reads and what it renders: the back end of the command line, and those of resources that name their
//! own.

use std::sync::Arc;

use super::layer::Layer;
use super::options::{Name, Takes, Value, by_key};
use super::settings::{Color, Settings};
use super::{engine, lines};
use crate::app::Alone;
use crate::render::diff::Look;
use crate::render::find::Confdir;
use crate::render::resource::{Resource, Setting};
use crate::render::run::{Prefix, Renderer, Rules};
use crate::render::source::{Backend, Source, open};
use crate::render::step::Steps;

/// The settings of a run, with its back end opened.
pub(super) struct Place {
    settings: Settings,
    source: Arc<dyn Source>,
    rules: Arc<Rules>,
    steps: Steps,
    /// The host that is followed, if the engine is the back end.
    _host: Option<Alone>,
}

impl Place {
    /// Opens the back end. Only the engine is connected to.
    ///
    /// # Errors
    /// When its settings cannot be used, or the engine cannot be reached; one line.
    pub(super) async fn open(settings: Settings) -> Result<Self, String> {
        let host = match settings.backend.backend {
            Backend::Docker => Some(engine::follow(&settings.backend).await?),
            _ => None,
        };
        let source: Arc<dyn Source> = match &host {
            Some(host) => Arc::new(host.source()),
            None => open(&settings.backend)?,
        };
        let signaller = settings.allow_signals.then(|| match &host {
            Some(host) => host.signaller(),
            None => engine::signaller(&settings.backend),
        });
        let colour = |color| match color {
            Color::Always => true,
            Color::Auto => std::io::IsTerminal::is_terminal(&std::io::stdout()),
        };
        let rules = Rules {
            templates: Confdir::new(&settings.confdir).templates(),
            prefix: Prefix { general: settings.prefix.clone(), joined: settings.prefix_join },
            noop: settings.noop,
            keep_stage_file: settings.keep_stage_file,
            sync_only: settings.sync_only,
            diff: settings.diff.map(|color| Look { colour: colour(color), ..Look::default() }),
            signaller,
        };
        Ok(Self { settings, source, rules: Arc::new(rules), steps: Steps::new(lines::log), _host: host })
    }

    /// The settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of resources.
    pub(super) fn confdir(&self) -> Confdir {
        confdir(&self.settings)
    }

    /// The nodes, or the files, as confd logs them.
    pub(super) fn shown(&self) -> String {
        let backend = &self.settings.backend;
        match backend.backend {
            Backend::File => backend.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
            _ => backend.nodes.iter().map(|node| without_secrets(node)).collect::<Vec<_>>().join(", "),
        }
    }

    /// What renders a resource.
    pub(super) fn renderer(&self, resource: &Arc<Resource>) -> Renderer {
        Renderer::new(Arc::clone(resource), Arc::clone(&self.rules), self.steps.clone())
    }

    /// Where a resource is read from.
    ///
    /// # Errors
    /// When its own back end cannot be opened; one line.
    pub(super) fn source(&self, resource: &Resource) -> Result<Arc<dyn Source>, String> {
        let Some(table) = &resource.backend else { return Ok(Arc::clone(&self.source)) };
        let mut own = Layer::default();
        for (key, setting) in table {
            let (name, value) = read(key, setting).map_err(|reason| format!("[backend] {reason}"))?;
            own.set(name, value);
        }
        let mut warnings = Vec::new();
        let settings = self.settings.of_resource(own, &mut warnings).map_err(|reason| format!("[backend] {reason}"))?;
        open(&settings)
    }
}

/// The folder of resources, or the only one that was asked for.
pub(super) fn confdir(settings: &Settings) -> Confdir {
    let confdir = Confdir::new(&settings.confdir);
    match &settings.resource {
        Some(file) => confdir.only(file),
        None => confdir,
    }
}

/// The user and the password of a node are for the back end.
fn without_secrets(node: &str) -> String {
    crate::registry::redacted(node)
}

/// A value of a resource's own back end.
fn read(key: &str, setting: &Setting) -> Result<(Name, Value), String> {
    let option = by_key(key).ok_or_else(|| format!("{} is no key of a back end", key.escape_debug()))?;
    let value = match (option.takes, setting) {
        (Takes::Switch, Setting::Flag(on)) => Value::Switch(*on),
        (Takes::Number, Setting::Number(number)) => Value::Number(*number),
        (Takes::Text, Setting::Text(text)) => Value::Text(text.clone()),
        (Takes::List, Setting::List(list)) => Value::List(list.clone()),
        (Takes::List, Setting::Text(text)) => Value::List(vec![text.clone()]),
        _ => return Err(format!("{key} has a value of another kind")),
    };
    Ok((option.name, value))
}

/// The path of a resource, for a line.
pub(super) fn shown(path: &std::path::Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
