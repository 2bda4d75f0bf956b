//! memkv's own cases, and its rules against a model that is written otherwise.

use proptest::prelude::*;

use super::*;

fn keys(keys: &[(&str, &str)]) -> Keys {
    keys.iter().copied().collect()
}

fn application() -> Keys {
    keys(&[
        ("/app/db/pass", "foo"),
        ("/app/db/user", "admin"),
        ("/app/port", "443"),
        ("/app/url", "app.example.com"),
        ("/app/vhosts/host1", "app.example.com"),
        ("/app/upstream/host1", "203.0.113.0.1:8080"),
        ("/app/upstream/host1/domain", "app.example.com"),
        ("/app/upstream/host2", "203.0.113.0.2:8080"),
        ("/app/upstream/host2/domain", "app.example.com"),
    ])
}

fn services() -> Keys {
    keys(&[
        ("/deis/services/key", "value"),
        ("/deis/services/notaservice/foo", "bar"),
        ("/deis/services/srv1/node1", "10.244.1.1:80"),
        ("/deis/services/srv1/node2", "10.244.1.2:80"),
        ("/deis/services/srv1/node3", "10.244.1.3:80"),
        ("/deis/services/srv2/node1", "10.244.2.1:80"),
        ("/deis/services/srv2/node2", "10.244.2.2:80"),
        ("/deis/prefix/node1", "prefix_node1"),
        ("/deis/prefix/node2/leafnode", "prefix_node2"),
        ("/deis/prefix_a/node1", "prefix_a_node1"),
        ("/deis/prefix_a/node2/leafnode", "prefix_a_node2"),
        ("/top/first", ""),
    ])
}

#[test]
fn patterns_find_the_keys_of_one_level_in_order() {
    for (pattern, expected) in [
        ("/app/*/host1", &["/app/upstream/host1", "/app/vhosts/host1"] as &[_]),
        ("/app/upstream/*", &["/app/upstream/host1", "/app/upstream/host2"]),
        ("/app/db/*", &["/app/db/pass", "/app/db/user"]),
        ("/app/db/user", &["/app/db/user"]),
        ("/app/*", &["/app/port", "/app/url"]),
        ("/nothing/*", &[]),
    ] {
        let keys = application();
        let found: Vec<_> = keys.matching(pattern).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, expected, "{pattern}");
    }
    assert_eq!(application().matching("[]a]"), Err(BadPattern));
    assert_eq!(Keys::default().matching("[]a]"), Ok(vec![]));
}

#[test]
fn a_directory_is_listed_as_memkv_lists_it() {
    let keys = services();
    for (directory, expected) in [
        ("/deis/services", &["key", "notaservice", "srv1", "srv2"] as &[_]),
        ("/deis/services/", &["key", "notaservice", "srv1", "srv2"]),
        ("/deis/services/key", &["key"]),
        ("/deis/services/srv1", &["node1", "node2", "node3"]),
        ("/deis/prefix", &["node1", "node2"]),
        ("/deis/pre", &[]),
        ("/top/first", &["first"]),
        ("/top/first/", &[]),
        ("/", &[]),
        ("/nothing", &[]),
    ] {
        assert_eq!(keys.list(directory), expected, "{directory}");
    }
    for (directory, expected) in [
        ("/deis/services", &["notaservice", "srv1", "srv2"] as &[_]),
        ("/deis/services/", &["notaservice", "srv1", "srv2"]),
        ("/deis/services/srv1", &[]),
        ("/deis/prefix", &["node2"]),
        ("/deis", &["prefix", "prefix_a", "services"]),
        ("/", &[]),
    ] {
        assert_eq!(keys.list_directories(directory), expected, "{directory}");
    }
    // Of the root, only its own leaves are listed.
    let root = self::keys(&[("/a", ""), ("/b/c", "")]);
    assert_eq!((root.list("/"), root.list_directories("/")), (vec!["a"], vec![]));
}

/// The rules themselves, key by key, without any order of the keys: also for keys and directories that are not clean.
fn listed_plainly(keys: &Keys, directory: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let terms = |path: &str| paths::clean(path).split('/').map(str::to_owned).collect::<Vec<_>>();
    let prefix = terms(directory);
    let (mut all, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for (key, _) in keys.iter() {
        let above = terms(&paths::dir(key));
        if key == directory {
            all.insert(paths::base(key).to_owned());
        } else if above.starts_with(&prefix) {
            let rest = key.strip_prefix(directory).unwrap_or(key);
            all.insert(rest.strip_prefix('/').unwrap_or(rest).split('/').next().unwrap().to_owned());
        }
        if key.starts_with(directory) && above.starts_with(&prefix) && above.len() > prefix.len() {
            directories.insert(above[prefix.len()].clone());
        }
    }
    (all, directories)
}

/// The model: `ls DIR` by what a tree of names would say, for clean directories below the root.
fn listed(keys: &Keys, directory: &str) -> (Vec<String>, Vec<String>) {
    let below = format!("{directory}/");
    let (mut all, mut directories) = (Vec::new(), Vec::new());
    for (key, _) in keys.iter() {
        if key == directory {
            all.push(key.rsplit_once('/').unwrap().1.to_owned());
        }
        let Some(rest) = key.strip_prefix(&below) else { continue };
        match rest.split_once('/') {
            Some((name, _)) => {
                all.push(name.to_owned());
                directories.push(name.to_owned());
            }
            None => all.push(rest.to_owned()),
        }
    }
    for names in [&mut all, &mut directories] {
        names.sort();
        names.dedup();
    }
    (all, directories)
}

proptest! {
    #[test]
    fn a_clean_directory_is_listed_as_a_tree_would_be(
        names in prop::collection::btree_set("(/[ab]{1,2}){1,4}", 0..12),
        directory in "(/[ab]{1,2}){1,3}",
    ) {
        let keys: Keys = names.into_iter().map(|name| (name, String::new())).collect();
        let (all, directories) = listed(&keys, &directory);
        prop_assert_eq!(keys.list(&directory), all);
        prop_assert_eq!(keys.list_directories(&directory), directories);
    }

    #[test]
    fn any_directory_is_listed_by_the_rules(
        names in prop::collection::btree_set("(/?(a|b|\\.\\.?|)){0,5}", 0..8),
        directory in "(/?(a|b|\\.\\.?)){0,4}/?",
    ) {
        let keys: Keys = names.into_iter().map(|name| (name, String::new())).collect();
        let (all, directories) = listed_plainly(&keys, &directory);
        prop_assert_eq!(keys.list(&directory).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), all);
        prop_assert_eq!(keys.list_directories(&directory).into_iter().collect::<BTreeSet<_>>(), directories);
    }

    #[test]
    fn the_keys_that_match_are_those_that_match_one_by_one(
        names in prop::collection::btree_set("[/ab]{0,5}", 1..8),
        pattern in "([/ab*?\\\\]|\\[[ab^-]{1,3}\\]){0,5}",
    ) {
        let keys: Keys = names.iter().map(|name| (name.clone(), String::new())).collect();
        let one_by_one: Result<Vec<_>, _> =
            names.iter().map(|name| paths::matches(&pattern, name).map(|is_match| (name, is_match))).collect();
        let expected = one_by_one.map(|all| all.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name.as_str(), "")).collect());
        prop_assert_eq!(keys.matching(&pattern), expected);
    }

    #[test]
    fn no_key_and_no_directory_is_too_odd(
        names in prop::collection::btree_set("[/.ab*é\\[\\]]{0,8}", 0..8),
        directory in "[/.ab*é]{0,6}",
    ) {
        let keys: Keys = names.into_iter().map(|name| (name, String::new())).collect();
        let _ = keys.list(&directory);
        let _ = keys.list_directories(&directory);
        let _ = keys.matching(&directory);
    }
}
