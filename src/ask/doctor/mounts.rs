//! How a socket came here: as a file of its own, mounted into this container, or with its folder.

/// The mount of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// The file is mounted alone.
    Alone,
    /// The file is mounted alone, and what it was mounted from has been removed since.
    Removed,
}

/// The mount of exactly this path in `/proc/self/mountinfo` (proc(5)); `None` if it is part of a larger one.
pub(super) fn of(mountinfo: &str, path: &str) -> Option<Mount> {
    // The last mount is on top.
    let line = mountinfo.lines().rev().find(|line| line.split(' ').nth(4).map(unescaped).as_deref() == Some(path))?;
    // The kernel says so behind the path in the source's file system.
    let source = line.split(' ').nth(3).map(unescaped)?;
    Some(if source.ends_with("//deleted") { Mount::Removed } else { Mount::Alone })
}

/// Spaces and the like are octal there: `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_so_when_the_source_of_a_mount_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        std::fs::write(&target, "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(&source).unwrap());
        // In a mount namespace of its own, so that nothing of it stays.
        let script =
            r#"mount --bind "$0" "$1" && cat /proc/self/mountinfo && echo === && rm "$0" && cat /proc/self/mountinfo"#;
        let mut command = std::process::Command::new("unshare");
        let done = command.args(["--mount", "sh", "-ec", script]).args([&source, &target]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let (before, after) = said.split_once("===\n").unwrap_or_else(|| panic!("{done:?}"));
        let target = std::fs::canonicalize(&target).unwrap().display().to_string();
        assert_eq!(of(before, &target), Some(Mount::Alone));
        assert_eq!(of(after, &target), Some(Mount::Removed));
        assert_eq!(of(after, &folder.path().display().to_string()), None);
    }

    #[test]
    fn a_socket_that_is_mounted_alone_is_told_from_one_in_a_mounted_folder() {
        let line = |source: &str, target: &str| format!("36 35 0:22 {source} {target} rw,relatime - tmpfs tmpfs rw\n");
        let alone = line("/docker.sock", "/tmp/docker.sock");
        let removed = line("/docker.sock//deleted", "/tmp/docker.sock");
        for (mountinfo, path, expected) in [
            (alone.clone(), "/tmp/docker.sock", Some(Mount::Alone)),
            (removed.clone(), "/tmp/docker.sock", Some(Mount::Removed)),
            (format!("{removed}{alone}"), "/tmp/docker.sock", Some(Mount::Alone)),
            (line("/", "/host/run"), "/host/run/docker.sock", None),
            (line("/a\\040b", "/tmp/a\\040b"), "/tmp/a b", Some(Mount::Alone)),
            (line("/a", "/tmp/a\\09z"), "/tmp/a\\09z", Some(Mount::Alone)),
            ("garbage\n".to_owned(), "/tmp/docker.sock", None),
            (String::new(), "", None),
        ] {
            assert_eq!(of(&mountinfo, path), expected, "{mountinfo}");
        }
    }
}
