//! What `dev/release` refuses, before it builds anything: each in a clone of the checkout's last commit.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The version of Cargo.toml.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A clone, whose changelog has no section of this version.
struct Clone(TempDir);

impl Clone {
    fn new() -> Self {
        let clone = Self(TempDir::new().expect("a folder"));
        let here = env!("CARGO_MANIFEST_DIR");
        // Whoever runs the tests need not be who owns the checkout.
        let trusted = format!("safe.directory={here}/.git");
        let path = clone.0.path().display().to_string();
        said(Command::new("git").args(["-c", &trusted, "clone", "--quiet", "--no-hardlinks", here, &path]));
        for setting in ["user.name=a", "user.email=a@example.org"] {
            let (name, value) = setting.split_once('=').expect("a setting");
            clone.git(&["config", name, value]);
        }
        // What is not committed yet is to be tried as well.
        for name in ["dev/release", "dev/lib.sh"] {
            fs::copy(Path::new(here).join(name), clone.at(name)).expect("copied");
        }
        let manifest = fs::read_to_string(Path::new(here).join("Cargo.toml")).expect("Cargo.toml");
        clone.write("Cargo.toml", &manifest);
        clone.write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n- A thing.\n\n## [0.0.1]\n\n- An old thing.\n");
        clone.commit();
        clone
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("written");
    }

    fn git(&self, arguments: &[&str]) {
        said(Command::new("git").arg("-C").arg(self.0.path()).args(arguments));
    }

    fn commit(&self) {
        self.git(&["commit", "--quiet", "--all", "--allow-empty", "--message", "A change"]);
    }

    /// What `dev/release` says when it refuses this version.
    fn refused(&self, version: &str) -> String {
        let done = Command::new(self.at("dev/release")).arg(version).output().expect("bash");
        assert!(!done.status.success() && !self.at("dist").exists() && !self.at("target").exists(), "{done:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    }
}

/// What a command prints; it must succeed.
fn said(command: &mut Command) -> String {
    let done = command.output().expect("git");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn what_is_no_version_is_refused() {
    let said = Clone::new().refused("tomorrow");
    assert_eq!(said, "release: usage: dev/release VERSION [-verify] [-profile NAME] [ARCH …]\n");
}

#[test]
fn another_version_than_that_of_the_program_is_refused() {
    let said = Clone::new().refused("99.0.0");
    assert_eq!(said, format!("release: Cargo.toml has the version {VERSION}, not 99.0.0\n"));
}

#[test]
fn a_version_that_the_changelog_does_not_tell_of_is_refused() {
    let clone = Clone::new();
    let expected = format!("release: CHANGELOG.md has no section [{VERSION}], or an empty one\n");
    assert_eq!(clone.refused(VERSION), expected);
    clone.write("CHANGELOG.md", &format!("# Changelog\n\n## [{VERSION}]\n\n## [0.0.1]\n\n- An old thing.\n"));
    clone.commit();
    assert_eq!(clone.refused(VERSION), expected);
}

#[test]
fn what_is_not_committed_is_refused() {
    let clone = Clone::new();
    clone.write("CHANGELOG.md", &format!("# Changelog\n\n## [{VERSION}]\n\n- A thing.\n"));
    clone.write("new", "");
    let said = clone.refused(VERSION);
    assert!(said.contains("this is not committed:\n M CHANGELOG.md\n?? new\n"), "{said}");
}
