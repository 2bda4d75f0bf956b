//! Go's documented cases, and a model of each function that is written otherwise.

use proptest::prelude::*;

use super::*;

#[test]
fn patterns_match_as_gos_do() {
    for (pattern, name, expected) in [
        ("abc", "abc", Ok(true)),
        ("*", "abc", Ok(true)),
        ("*c", "abc", Ok(true)),
        ("a*", "a", Ok(true)),
        ("a*", "abc", Ok(true)),
        ("a*", "ab/c", Ok(false)),
        ("a*/b", "abc/b", Ok(true)),
        ("a*/b", "a/c/b", Ok(false)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Ok(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Ok(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Ok(false)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Ok(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
        ("ab[c]", "abc", Ok(true)),
        ("ab[b-d]", "abc", Ok(true)),
        ("ab[e-g]", "abc", Ok(false)),
        ("ab[^c]", "abc", Ok(false)),
        ("ab[^b-d]", "abc", Ok(false)),
        ("ab[^e-g]", "abc", Ok(true)),
        ("a\\*b", "a*b", Ok(true)),
        ("a\\*b", "ab", Ok(false)),
        ("a?b", "a☺b", Ok(true)),
        ("a[^a]b", "a☺b", Ok(true)),
        ("a???b", "a☺b", Ok(false)),
        ("a[^a][^a][^a]b", "a☺b", Ok(false)),
        ("[a-ζ]*", "α", Ok(true)),
        ("*[a-ζ]", "A", Ok(false)),
        ("a?b", "a/b", Ok(false)),
        ("a*b", "a/b", Ok(false)),
        ("a[^b]c", "a/c", Ok(true)),
        ("[\\]a]", "]", Ok(true)),
        ("[\\-]", "-", Ok(true)),
        ("[x\\-]", "x", Ok(true)),
        ("[x\\-]", "z", Ok(false)),
        ("[\\-x]", "-", Ok(true)),
        ("[]a]", "]", Err(BadPattern)),
        ("[-]", "-", Err(BadPattern)),
        ("[x-]", "x", Err(BadPattern)),
        ("[-x]", "x", Err(BadPattern)),
        ("\\", "a", Err(BadPattern)),
        ("[a-b-c]", "a", Err(BadPattern)),
        ("[", "a", Err(BadPattern)),
        ("[^", "a", Err(BadPattern)),
        ("[^bc", "a", Err(BadPattern)),
        ("a[", "a", Err(BadPattern)),
        ("a[", "ab", Err(BadPattern)),
        ("a[", "x", Err(BadPattern)),
        ("a/b[", "x", Err(BadPattern)),
        ("*x", "xxx", Ok(true)),
        ("", "", Ok(true)),
        ("", "a", Ok(false)),
        ("**", "abc", Ok(true)),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn paths_are_cleaned_and_split_as_gos_are() {
    for (path, expected) in [
        ("", "."),
        ("abc", "abc"),
        ("abc/def", "abc/def"),
        ("a/b/c", "a/b/c"),
        (".", "."),
        ("..", ".."),
        ("../..", "../.."),
        ("../../abc", "../../abc"),
        ("/abc", "/abc"),
        ("/", "/"),
        ("abc/", "abc"),
        ("abc//def//ghi", "abc/def/ghi"),
        ("//abc", "/abc"),
        ("abc/./def", "abc/def"),
        ("/./abc/def", "/abc/def"),
        ("abc/def/ghi/../jkl", "abc/def/jkl"),
        ("abc/def/../..", "."),
        ("/abc/def/../../..", "/"),
        ("abc/def/../../../ghi/jkl/../../../mno", "../../mno"),
        ("abc/../../././../def", "../../def"),
    ] {
        assert_eq!(clean(path), expected, "{path}");
    }
    for (path, expected) in [
        ("", "."),
        (".", "."),
        ("/.", "."),
        ("/", "/"),
        ("////", "/"),
        ("x/", "x"),
        ("abc", "abc"),
        ("a/b/.x", ".x"),
        ("a/b/c.", "c."),
    ] {
        assert_eq!(base(path), expected, "{path}");
    }
    for (path, expected) in [
        ("", "."),
        (".", "."),
        ("/.", "/"),
        ("/", "/"),
        ("/foo", "/"),
        ("x/", "x"),
        ("abc", "."),
        ("abc/def", "abc"),
        ("a/b/.x", "a/b"),
        ("a//b/../c", "a"),
    ] {
        assert_eq!(dir(path), expected, "{path}");
    }
    for (elements, expected) in
        [(&[] as &[_], ""), (&[""], ""), (&["a", "b"], "a/b"), (&["", "b"], "b"), (&["/", "a/", "../b"], "/b")]
    {
        assert_eq!(join(elements), expected, "{elements:?}");
    }
}

/// The model of a pattern without classes: all ways to split the name, tried one by one.
fn glob(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            glob(rest, name) || matches!(name, [first, others @ ..] if *first != '/' && glob(pattern, others))
        }
        (['?', rest @ ..], [first, others @ ..]) => *first != '/' && glob(rest, others),
        (['\\', escaped, rest @ ..], [first, others @ ..]) => escaped == first && glob(rest, others),
        ([plain, rest @ ..], [first, others @ ..]) => plain != &'\\' && plain == first && glob(rest, others),
        _ => false,
    }
}

/// The model of cleaning: the four rules of Go's documentation, applied until none applies.
fn reduced(path: &str) -> String {
    let mut path = path.to_owned();
    loop {
        let before = path.clone();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        path = path.replace("/./", "/");
        if let Some(rest) = path.strip_prefix("./") {
            path = rest.to_owned();
        }
        if let Some(rest) = path.strip_suffix("/.") {
            path = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
        }
        if let Some(rest) = path.strip_prefix("/../") {
            path = format!("/{rest}");
        }
        if path == "/.." {
            path = "/".to_owned();
        }
        if path.len() > 1 {
            path = path.strip_suffix('/').map(str::to_owned).unwrap_or(path);
        }
        let elements: Vec<&str> = path.split('/').collect();
        let inner = elements.windows(2).position(|pair| !matches!(pair[0], "" | "." | "..") && pair[1] == "..");
        if let Some(inner) = inner {
            let kept = [&elements[..inner], &elements[inner + 2..]].concat().join("/");
            path = if kept.is_empty() && path.starts_with('/') { "/".to_owned() } else { kept };
        }
        if path.is_empty() {
            path = ".".to_owned();
        }
        if path == before {
            return path;
        }
    }
}

proptest! {
    #[test]
    fn a_pattern_matches_as_the_model_does(pattern in "([ab/*?]|\\\\[ab*]){0,8}", name in "[ab/*]{0,8}") {
        let model = glob(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>());
        prop_assert_eq!(matches(&pattern, &name), Ok(model));
    }

    #[test]
    fn a_class_matches_as_the_model_does(low in "[a-d]", high in "[a-d]", other in "[a-d]", name in "[a-e]", negated: bool) {
        let pattern = format!("[{}{low}-{high}{other}]", if negated { "^" } else { "" });
        let model = ((low <= name && name <= high) || name == other) != negated;
        prop_assert_eq!(matches(&pattern, &name), Ok(model));
    }

    #[test]
    fn a_path_is_cleaned_as_the_model_does(path in "[ab./]{0,12}") {
        prop_assert_eq!(clean(&path), reduced(&path));
    }

    #[test]
    fn no_pattern_is_too_odd(pattern in "[\\[\\]\\\\^\\-*?/aé]{0,10}", name in "[/aé\\-]{0,6}") {
        let _ = matches(&pattern, &name);
    }
}
