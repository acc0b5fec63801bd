//! Text for people: escaped, with units, rounded to what can be read.

use std::fmt;

use super::table::{Cell, Table};

/// A text that cannot become markup.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let plain = part.trim_end_matches(['&', '<', '>', '"', '\'']);
            f.write_str(plain)?;
            match part[plain.len()..].chars().next() {
                Some('&') => f.write_str("&amp;")?,
                Some('<') => f.write_str("&lt;")?,
                Some('>') => f.write_str("&gt;")?,
                Some('"') => f.write_str("&quot;")?,
                Some(_) => f.write_str("&#39;")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// `4.2 s`, `42 s`, `4 min 10 s`, `1 h 2 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time within a report's years"
    )]
    let whole = seconds.round() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// `4.1 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `12,345`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A cell as people read it.
pub(super) fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => Escaped(text).to_string(),
        Cell::Count(count) => grouped(*count),
        Cell::Share(share) => percent(*share),
        Cell::Seconds(seconds) => duration(*seconds),
        Cell::Number(number) => format!("{number:.2}"),
        Cell::Flag(true) => "yes".to_owned(),
        Cell::Flag(false) => String::new(),
        Cell::Time(time) => time.to_string(),
        Cell::Withheld => "<span class=\"withheld\">withheld</span>".to_owned(),
        Cell::None => "–".to_owned(),
        Cell::NotReached => "not reached".to_owned(),
    }
}

/// A table with its headings. The first column names the rows.
pub(super) fn table(table: &Table) -> String {
    let mut html = format!(
        "<table><caption>{}</caption><thead><tr>",
        Escaped(table.title)
    );
    for (index, column) in table.columns.iter().enumerate() {
        let is_text = table
            .rows
            .first()
            .is_some_and(|row| matches!(row[index], Cell::Text(_)));
        let class = if is_text { " class=\"text\"" } else { "" };
        html += &format!(
            "<th scope=\"col\"{class}>{}</th>",
            Escaped(&heading(column))
        );
    }
    html += "</tr></thead><tbody>\n";
    for row in &table.rows {
        html += "<tr>";
        for (index, value) in row.iter().enumerate() {
            let text = cell(value);
            html += &match (index, value) {
                (0, _) => format!("<th scope=\"row\">{text}</th>"),
                (_, Cell::Text(_)) => format!("<td class=\"text\">{text}</td>"),
                _ => format!("<td>{text}</td>"),
            };
        }
        html += "</tr>\n";
    }
    html += "</tbody></table>\n";
    html
}

/// `median_s` is a median, and its cells say that they are seconds.
fn heading(column: &str) -> String {
    column
        .strip_suffix("_s")
        .unwrap_or(column)
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        let text = "<script>alert(\"1\" & '2')</script>&&";
        let expected =
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;&amp;&amp;";
        assert_eq!(Escaped(text).to_string(), expected);
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        let told = [4.21, 9.96, 59.6, 250.0, 3_600.0, 3_725.0].map(duration);
        assert_eq!(
            told,
            ["4.2 s", "10 s", "1 min", "4 min 10 s", "1 h", "1 h 2 min"]
        );
    }

    #[test]
    fn long_numbers_have_groups() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
