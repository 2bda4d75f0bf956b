//! What a check may say: 4 KB, as in Consul.

/// The most of a probe's own words that are kept, in bytes.
pub(super) const LONGEST: usize = 4096;

/// The last bytes of what came, and how many came.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Vec<u8>,
    came: usize,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len();
        self.kept.extend_from_slice(bytes);
        let excess = self.kept.len().saturating_sub(LONGEST);
        self.kept.drain(..excess);
    }

    /// As Consul spells it.
    pub(super) fn into_text(self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        if self.came > self.kept.len() {
            format!("Captured {} of {} bytes\n...\n{text}", self.kept.len(), self.came)
        } else {
            text.into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut tail = Tail::default();
        tail.push(b"short");
        assert_eq!(tail.into_text(), "short");
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push(b"0123456789");
        }
        let text = tail.into_text();
        assert!(text.starts_with("Captured 4096 of 10000 bytes\n...\n456789"), "{text}");
        assert!(text.ends_with("789"));
    }
}
