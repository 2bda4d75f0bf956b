//! The numbers of users and groups by their names, as `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).
//!
//! Ours rather than the C library's: the shipped program is static, and there the library would load the modules of name
//! services at run time, which must be of exactly its own version.

use std::io;
use std::path::Path;

/// The number of this user; `None` if there is no such user.
pub(super) fn user(name: &str) -> io::Result<Option<u32>> {
    find(Path::new("/etc/passwd"), name)
}

/// The number of this group; `None` if there is no such group.
pub(super) fn group(name: &str) -> io::Result<Option<u32>> {
    find(Path::new("/etc/group"), name)
}

fn find(path: &Path, name: &str) -> io::Result<Option<u32>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(number(&String::from_utf8_lossy(&read?), name)),
    }
}

/// `name:password:number:…`; the first line counts.
fn number(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_named = !name.is_empty() && fields.next() == Some(name);
        fields.nth(1).filter(|_| is_named)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_name_counts_and_what_is_no_line_is_skipped() {
        let text = "root:x:0:0:root:/root:/bin/bash\n\n# no line\nweb\nweb:x:none:1\nweb:x:33:33::/:\nweb:x:34:34::/:\n+::::::\n";
        for (name, expected) in
            [("root", Some(0)), ("web", Some(33)), ("x", None), ("", None), ("ro", None), ("+", None)]
        {
            assert_eq!(number(text, name), expected, "{name}");
        }
    }

    #[test]
    fn this_machine_has_root() {
        assert_eq!((user("root").unwrap(), group("root").unwrap()), (Some(0), Some(0)));
        assert_eq!(find(Path::new("/no/such/file"), "root").unwrap(), None);
    }
}
