use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::render::resource::parse;

fn resource(more: &str) -> Resource {
    parse(Path::new("r.toml"), &format!("[template]\nsrc = \"t\"\ndest = \"/d\"\n{more}")).unwrap().resource
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Brings the file to this content.
fn write(target: &Target, content: &[u8]) -> Result<How, TargetError> {
    let stage = target.stage(content)?;
    target.replace(stage, content)
}

#[test]
fn the_mode_is_the_resources_or_the_files_or_the_usual_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    assert_eq!(Target::of(&resource(""), &path).unwrap().attributes.mode, 0o644);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    assert_eq!(Target::of(&resource(""), &path).unwrap().attributes.mode, 0o751);
    assert_eq!(Target::of(&resource("mode = \"0600\""), &path).unwrap().attributes.mode, 0o600);
}

#[test]
fn numbers_win_over_names_and_unknown_names_are_said() {
    let path = Path::new("/nowhere/f");
    let own = Target::of(&resource("uid = -1\ngid = -1"), path).unwrap().attributes;
    assert_eq!((own.uid, own.gid), (geteuid().as_raw(), getegid().as_raw()));
    let named = Target::of(&resource("owner = \"daemon\"\ngroup = \"daemon\""), path).unwrap().attributes;
    assert_eq!((named.uid, named.gid), (1, 1));
    let both = Target::of(&resource("owner = \"daemon\"\ngroup = \"daemon\"\nuid = 7\ngid = 8"), path).unwrap();
    assert_eq!((both.attributes.uid, both.attributes.gid), (7, 8));
    let error = Target::of(&resource("owner = \"no-such-user\""), path).unwrap_err();
    assert_eq!(error.to_string(), "there is no user \"no-such-user\" in /etc/passwd (owner)");
    let error = Target::of(&resource("group = \"no-such-group\""), path).unwrap_err();
    assert_eq!(error.to_string(), "there is no group \"no-such-group\" in /etc/group (group)");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Target::of(&resource(""), folder.path()).unwrap_err();
    assert!(matches!(error, TargetError::Directory(_)), "{error}");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(matches!(Target::of(&resource(""), &socket), Err(TargetError::NoFile(_))));
}

#[test]
fn a_file_is_replaced_by_a_rename_with_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "old").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let target = Target::of(&resource("mode = \"0640\""), &path).unwrap();
    assert_eq!(write(&target, b"new").unwrap(), How::Renamed);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(&path), 0o640);
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_is_replaced_and_what_it_led_to_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("f"), folder.path().join("other"));
    fs::write(&other, "other").unwrap();
    symlink(&other, &path).unwrap();
    write(&Target::of(&resource(""), &path).unwrap(), b"new").unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(&other).unwrap(), b"other");
}

#[test]
fn missing_folders_are_made_only_if_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/f");
    let target = Target::of(&resource(""), &path).unwrap();
    let error = target.prepare(false).unwrap_err();
    assert!(error.to_string().ends_with("/a/b does not exist: make it, or set mkdir = true"), "{error}");
    target.prepare(true).unwrap();
    write(&target, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn a_file_is_written_in_place_longer_shorter_and_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "middle").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let target = Target::of(&resource("mode = \"0600\""), &path).unwrap();
    for content in [&b"much longer than before"[..], b"short", b""] {
        target.write_in_place(content).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn an_owner_that_cannot_be_set_is_said_and_the_file_stays() {
    if geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "old").unwrap();
    let target = Target::of(&resource("uid = 0"), &path).unwrap();
    let error = target.stage(b"new").unwrap_err();
    assert!(error.to_string().contains("cannot give it to uid 0"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
