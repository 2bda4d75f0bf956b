//! A file that the program renders (`-render`): templates must see what runs, as registries hold it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

const RESOURCE: &str = "[template]\nsrc = 'all.tmpl'\ndest = ";
const TEMPLATE: &str =
    "{{range services}}{{range service .Name \"any\"}}{{.ID}} {{.Address}}:{{.Port}}\n{{end}}{{end}}";

/// The folder of one resource, and the file that it makes.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("conf.d")).unwrap();
        fs::create_dir(at("templates")).unwrap();
        fs::write(at("conf.d/all.toml"), format!("{RESOURCE}'{}'\n", at("all").display())).unwrap();
        fs::write(at("templates/all.tmpl"), TEMPLATE).unwrap();
        Self(folder)
    }

    /// What `-render` gets.
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The lines of the file, if it was made.
    pub(crate) fn lines(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.0.path().join("all")).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }
}
