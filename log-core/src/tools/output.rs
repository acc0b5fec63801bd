//! The two forms of an answer: a table for a person, JSON for a program.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::error::ToolError;
use super::text::escaped;

/// Something that can be shown to a person; for a program it is serialised.
pub(super) trait Printable: Serialize {
    /// Lines for a person, each with its end.
    fn text(&self) -> String;
}

/// Where the answer goes, and in which form.
pub(super) struct Output<'a, W> {
    to: &'a mut W,
    json: bool,
}

impl<'a, W: Write> Output<'a, W> {
    pub(super) fn new(to: &'a mut W, json: bool) -> Self {
        Self { to, json }
    }

    /// Writes the one answer of a command.
    pub(super) fn answer(&mut self, answer: &impl Printable) -> Result<(), ToolError> {
        if self.json {
            self.write(serde_json::to_string_pretty(answer).map(|json| json + "\n"))
        } else {
            self.write(Ok(answer.text()))
        }
    }

    /// Writes one of many answers, on a line of its own. It is there at once: a person may be watching.
    pub(super) fn line(&mut self, answer: &impl Printable) -> Result<(), ToolError> {
        if self.json {
            self.write(serde_json::to_string(answer).map(|json| json + "\n"))
        } else {
            self.write(Ok(answer.text()))
        }
    }

    fn write(&mut self, text: serde_json::Result<String>) -> Result<(), ToolError> {
        text.map_err(io::Error::from)
            .and_then(|text| self.to.write_all(text.as_bytes()))
            .and_then(|()| self.to.flush())
            .map_err(ToolError::Output)
    }
}

/// What was done, where there is nothing to show.
#[derive(Serialize)]
pub(super) struct Done {
    pub(super) done: String,
}

impl Printable for Done {
    fn text(&self) -> String {
        format!("{}\n", escaped(&self.done))
    }
}

/// A table whose columns named in `numbers` stand to the right.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    numbers: &[&str],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty()
        .set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| escaped(&cell)));
    }
    for (index, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if numbers.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt() + "\n"
}

/// The same, or in words that there is nothing to show.
pub(super) fn table_or<const N: usize>(
    nothing: &str,
    header: [&str; N],
    numbers: &[&str],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return format!("{nothing}\n");
    }
    table(header, numbers, rows)
}

/// The line above a description: what it is of, and what there is one of.
pub(super) fn head<const N: usize>(values: [(&str, &str); N]) -> String {
    let words = values.map(|(name, value)| format!("{name} {}", escaped(value)));
    words.join("  ") + "\n"
}

/// A value that may be missing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
