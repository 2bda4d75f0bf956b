//! Tables for people, and the same as JSON.

use serde_json::{Map, Value, json};

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    tables: Vec<Table>,
}

struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Value>,
}

/// What stands in one column of a row.
pub enum Cell {
    Text(String),
    /// A number, with so many decimals for people.
    Number(f64, usize),
    /// Nothing was measured.
    None,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as f64, 0)
    }
}

impl Report {
    /// Begins a table.
    pub fn table(&mut self, title: &str, columns: &[&str]) {
        let columns: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
        println!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        self.tables.push(Table { title: title.to_owned(), columns, rows: Vec::new() });
    }

    /// Adds a row to it, and prints it at once: some take minutes.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let table = self.tables.last_mut().expect("a table");
        let mut row = Map::new();
        let mut line = String::from("|");
        for (column, cell) in table.columns.iter().zip(cells) {
            let (text, value) = match cell {
                Cell::Text(text) => (text.clone(), json!(text)),
                Cell::Number(number, decimals) => (format!("{number:.decimals$}"), json!(number)),
                Cell::None => ("–".to_owned(), Value::Null),
            };
            line += &format!(" {text} |");
            row.insert(column.clone(), value);
        }
        println!("{line}");
        table.rows.push(Value::Object(row));
    }

    /// Every table, with its rows as objects of numbers in the units of the columns' names.
    pub fn json(&self) -> String {
        let tables: Vec<_> =
            self.tables.iter().map(|table| json!({"table": table.title, "rows": table.rows})).collect();
        format!("{:#}\n", Value::Array(tables))
    }
}

/// The value in the middle; of an even number, the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

/// The value that this part of all is not above; 0 of none. Takes them sorted.
pub fn percentile(sorted: &[f64], part: f64) -> f64 {
    let place = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}
