//! Tables for people: columns that stand below each other.

use std::fmt::Write;

/// The spaces between two columns.
const GAP: &str = "  ";

/// A table with a head. Text is printed on one line, whatever it holds.
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with these heads.
    pub(super) fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(|cell| cell.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")));
    }

    /// The whole table; ends with a line break.
    pub(super) fn render(&self) -> String {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                // Writing to a string cannot fail.
                let _ = write!(line, "{cell:<width$}{GAP}");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_a_cell_is_one_line() {
        let mut table = Table::new(["NAME", "VALUE"]);
        table.row(["a", "1"]);
        table.row(["äöü-long", "say \"x\"\n\u{1b}[31m"]);
        table.row(["b", ""]);
        let expected = "NAME      VALUE\na         1\näöü-long  say \"x\"\\n\\u{1b}[31m\nb\n";
        assert_eq!(table.render(), expected);
    }
}
