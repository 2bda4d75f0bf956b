//! `mode`: the permissions of a file, as Go's `strconv.ParseUint(mode, 0, 32)` reads them, with one difference.
//!
//! There, a number without a prefix is decimal, so `"644"` would mean 01204. Nobody means that: digits of an octal number
//! are read as octal here, with a remark.

/// The bits that have an effect. In Go, the bits for set-uid and sticky are others than the system's, so confd drops them.
const PERMISSIONS: u32 = 0o777;

/// What a mode means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) bits: u32,
    /// It has no prefix, so confd would have read a decimal number.
    pub(super) bare: bool,
}

/// Reads a mode; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<Mode> {
    // Go allows underscores between digits where the base comes from a prefix.
    let (digits, radix, bare) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16, false),
        [b'0', b'o' | b'O', ..] => (&text[2..], 8, false),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2, false),
        [b'0', _, ..] => (&text[1..], 8, false),
        [b'0'] => ("0", 8, false),
        _ => (text, 8, true),
    };
    let plain: String = if bare { digits.to_owned() } else { digits.split('_').collect() };
    let well_formed = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let bits = u32::from_str_radix(&plain, radix).ok().filter(|_| well_formed)?;
    Some(Mode { bits: bits & PERMISSIONS, bare })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_go_reads_it_and_without_a_prefix_as_octal() {
        for (text, bits, bare) in [
            ("0644", 0o644, false),
            ("0o644", 0o644, false),
            ("0O600", 0o600, false),
            ("0x1a4", 0o644, false),
            ("0b110100100", 0o644, false),
            ("0_644", 0o644, false),
            ("0", 0, false),
            ("04755", 0o755, false),
            ("644", 0o644, true),
            ("600", 0o600, true),
            ("1777", 0o777, true),
        ] {
            assert_eq!(parse(text), Some(Mode { bits, bare }), "{text}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in
            ["", "rw", "888", "0o", "0x", "0899", "-644", "+644", " 644", "0644 ", "6_44", "077777777777777", "é"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
