//! Where something of a rewritten template stands in the template as it was written.

/// The text of a template while it is rewritten, and where its parts came from.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In order of `written`.
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where it begins in the rewritten text.
    written: usize,
    /// Where it begins in the source.
    source: usize,
    /// Whether its bytes are those of the source; else all of it stands for one place.
    same: bool,
}

impl Places {
    /// From `written` on, the bytes are those of the source from `source` on.
    pub(super) fn same(&mut self, written: usize, source: usize) {
        self.segments.push(Segment { written, source, same: true });
    }

    /// From `written` on, the bytes stand for this place of the source.
    pub(super) fn instead(&mut self, written: usize, source: usize) {
        self.segments.push(Segment { written, source, same: false });
    }

    /// The place in the source.
    pub(super) fn source(&self, written: usize) -> usize {
        let next = self.segments.partition_point(|segment| segment.written <= written);
        match next.checked_sub(1).and_then(|last| self.segments.get(last)) {
            Some(segment) if segment.same => segment.source + (written - segment.written),
            Some(segment) => segment.source,
            None => 0,
        }
    }
}

/// The byte at a line and a column, both counted from 1, the column in bytes.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = match line.checked_sub(2) {
        None => 0,
        Some(skipped) => text.match_indices('\n').nth(skipped).map_or(text.len(), |(position, _)| position + 1),
    };
    (start + column.saturating_sub(1)).min(text.len())
}

/// The line and the column of a byte, both counted from 1, the column in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let offset = (0..=offset.min(text.len())).rev().find(|&byte| text.is_char_boundary(byte)).unwrap_or(0);
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_the_source() {
        let mut places = Places::default();
        places.same(0, 0);
        places.instead(5, 5);
        places.same(9, 8);
        for (written, source) in [(0, 0), (4, 4), (5, 5), (8, 5), (9, 8), (12, 11)] {
            assert_eq!(places.source(written), source, "{written}");
        }
        assert_eq!(Places::default().source(3), 0);
    }

    #[test]
    fn lines_and_columns_are_counted_from_one() {
        let text = "aé\nb\n\ncd";
        for (byte, place) in [(0, (1, 1)), (3, (1, 3)), (4, (2, 1)), (6, (3, 1)), (8, (4, 2)), (99, (4, 3))] {
            assert_eq!(line_and_column(text, byte), place, "{byte}");
        }
        for (line, column, byte) in [(1, 1, 0), (1, 4, 3), (2, 1, 4), (4, 2, 8), (9, 1, 9), (0, 0, 0)] {
            assert_eq!(offset(text, line, column), byte, "{line}:{column}");
        }
    }
}
