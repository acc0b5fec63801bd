//! Tables: all that a report publishes stands in one, and the page, its plots, `stats.json` and the CSV files only show it.
//! So there is one place where something can leak, and it is the making of the tables.

use event_model::EventTime;
use serde_json::{Map, Value};

use super::disclosure::PublishedCount;

/// A table of a report.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// The name of its file and of its key in `stats.json`.
    pub(super) name: &'static str,
    /// Its heading on the page.
    pub(super) title: &'static str,
    pub(super) columns: &'static [&'static str],
    /// Each as long as `columns`.
    pub(super) rows: Vec<Vec<Cell>>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Count(u64),
    /// Between 0 and 1.
    Share(f64),
    /// A time that something took.
    Seconds(f64),
    Number(f64),
    Flag(bool),
    /// A moment.
    Time(EventTime),
    /// There is one, and it may not be published.
    Withheld,
    /// There is none.
    None,
    /// A time that was not reached while it was watched.
    NotReached,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// From milliseconds.
    pub(super) fn seconds(millis: f64) -> Self {
        Self::Seconds(millis / 1_000.0)
    }

    /// The value if there is one and it may be published.
    pub(super) fn published(value: Option<Self>, allowed: bool) -> Self {
        match value {
            None => Self::None,
            Some(_) if !allowed => Self::Withheld,
            Some(value) => value,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Share(number) | Self::Seconds(number) | Self::Number(number) => Some(*number),
            Self::Text(_)
            | Self::Flag(_)
            | Self::Time(_)
            | Self::Withheld
            | Self::None
            | Self::NotReached => None,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Share(number) | Self::Seconds(number) | Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Time(time) => time.to_string().into(),
            Self::Withheld => "withheld".into(),
            Self::None => Value::Null,
            Self::NotReached => "not reached".into(),
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::Text(text) => quote(&disarm(text)),
            Self::Count(count) => count.to_string(),
            Self::Share(number) | Self::Seconds(number) | Self::Number(number) => {
                number.to_string()
            }
            Self::Flag(flag) => flag.to_string(),
            Self::Time(time) => time.to_string(),
            Self::Withheld => "withheld".to_owned(),
            Self::None => String::new(),
            Self::NotReached => "not reached".to_owned(),
        }
    }
}

impl From<PublishedCount> for Cell {
    fn from(shown: PublishedCount) -> Self {
        shown.count().map_or(Self::Withheld, Self::Count)
    }
}

/// Too long for a page and for `stats.json`: they are for other programs, and stand only in files of their own.
const ONE_ROW_PER_EVENT: [&str; 4] = ["alerts", "accepts", "rejects", "houses"];

const FACT_TABLES: [&str; 2] = ["alerts", "accepts"];

impl Table {
    pub(super) fn is_one_row_per_event(&self) -> bool {
        ONE_ROW_PER_EVENT.contains(&self.name)
    }

    /// Written as Parquet too.
    pub(super) fn is_fact_table(&self) -> bool {
        FACT_TABLES.contains(&self.name)
    }

    /// A list of objects, one for each row.
    pub(super) fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let cells = self
                .columns
                .iter()
                .zip(row)
                .map(|(column, cell)| ((*column).to_owned(), cell.json()));
            Value::Object(cells.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    /// RFC 4180, in UTF-8 with the mark that spreadsheets need to see that it is.
    pub(super) fn csv(&self) -> String {
        let mut csv = String::from("\u{feff}");
        csv.push_str(&self.columns.join(","));
        csv.push_str("\r\n");
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::csv).collect();
            csv.push_str(&cells.join(","));
            csv.push_str("\r\n");
        }
        csv
    }

    /// The cell of a row that begins with a name, under a column.
    pub(super) fn find(&self, row: &str, column: &str) -> Option<&Cell> {
        let column = self.columns.iter().position(|name| *name == column)?;
        let row = self
            .rows
            .iter()
            .find(|cells| matches!(cells.first(), Some(Cell::Text(name)) if name == row))?;
        row.get(column)
    }

    pub(super) fn column(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| *column == name)
            .expect("a plot names a column of its table")
    }
}

/// A spreadsheet would run a cell that begins like a formula.
fn disarm(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_cell_is_never_a_formula_and_always_one_cell() {
        let table = Table {
            name: "t",
            title: "T",
            columns: &["a", "b"],
            rows: vec![
                vec![Cell::text("=1+1"), Cell::text("@cmd,\"x\"\n")],
                vec![Cell::text("-"), Cell::Number(-1.5)],
                vec![Cell::Withheld, Cell::None],
            ],
        };
        assert_eq!(
            table.csv(),
            "\u{feff}a,b\r\n'=1+1,\"'@cmd,\"\"x\"\"\n\"\r\n'-,-1.5\r\nwithheld,\r\n"
        );
    }

    #[test]
    fn a_row_of_json_names_its_columns() {
        let table = Table {
            name: "t",
            title: "T",
            columns: &["a", "b"],
            rows: vec![vec![Cell::Count(1), Cell::seconds(1_500.0)]],
        };
        assert_eq!(table.json().to_string(), r#"[{"a":1,"b":1.5}]"#);
    }
}
