//! Names: which ones can be part of a store's keys, and the default ones.

/// The longest name, in characters.
const LONGEST: usize = 128;

/// Whether a text can be the name of a router, a service or a middleware.
///
/// Traefik takes a part of a key that has only digits for a place in a list, and `@` for the start of a provider's name.
pub(crate) fn is_name(text: &str) -> bool {
    is_part(text, |c| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '+' | '~'))
}

/// Whether a text can be the key of a map of options, such as a header's name.
pub(crate) fn is_map_key(text: &str) -> bool {
    is_part(text, |c| c.is_ascii_alphanumeric() || "-_!#$&'*+^|~".contains(c))
}

fn is_part(text: &str, fits: impl Fn(char) -> bool) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    !digits && text.chars().count() <= LONGEST && text.chars().all(fits)
}

/// A name as Traefik's Docker provider makes it of a container's: runs of other characters than letters and digits are
/// one hyphen.
#[must_use]
pub fn normalized(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_key_that_traefik_takes_for_a_name() {
        for (text, name, key) in [
            ("web", true, true),
            ("Web_1-a", true, true),
            ("é", true, false),
            ("X-Forwarded-For", true, true),
            ("404", false, false),
            ("", false, false),
            ("a/b", false, false),
            ("a@b", false, false),
            ("a b", false, false),
            ("a[0]", false, false),
            ("a\nb", false, false),
            ("..", false, false),
        ] {
            assert_eq!((is_name(text), is_map_key(text)), (name, key), "{text:?}");
        }
        assert!(is_name(&"x".repeat(128)) && !is_name(&"x".repeat(129)));
    }

    #[test]
    fn default_names_are_those_of_traefiks_docker_provider() {
        for (name, expected) in
            [("web", "web"), ("web.1", "web-1"), ("shop_web_1", "shop-web-1"), ("_a--b_", "a-b"), ("--", "")]
        {
            assert_eq!(normalized(name), expected);
        }
    }
}
