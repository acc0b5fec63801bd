//! The page: one file, no script, nothing fetched; each plot beside its numbers.

use super::disclosure::Edition;
use super::html::{self, Escaped, duration, grouped, percent};
use super::plot::{self, Plot};
use super::scope::Scope;
use super::table::{Cell, Table};

/// So many periods of one kind still make a plot that can be read.
const PERIODS_MAX: usize = 60;

/// Writes `report.html`.
pub(super) fn page(scope: &Scope<'_>, tables: &[Table]) -> String {
    let by_name = TablesByName(tables);
    let mut html = head(scope);
    html += "<main>\n";
    html += &lead(scope, &by_name);
    html += &section_waiting(&by_name);
    html += &section_trend(&by_name);
    html += &section_hours(&by_name);
    html += &section_plain(
        &by_name,
        "categories",
        categories_plot(&by_name),
        CATEGORIES_NOTE,
    );
    html += &section_plain(
        &by_name,
        "responders",
        responders_plot(&by_name),
        RESPONDERS_NOTE,
    );
    html += &section_plain(&by_name, "responder_load", load_plot(&by_name), LOAD_NOTE);
    html += &section_tables(&by_name);
    html += &method(scope, tables);
    html += "</main>\n</body>\n</html>\n";
    html
}

/// The tables by name.
struct TablesByName<'a>(&'a [Table]);

impl TablesByName<'_> {
    fn table(&self, name: &str) -> &Table {
        self.0
            .iter()
            .find(|table| table.name == name)
            .expect("every report has the tables of the page")
    }

    fn maybe(&self, name: &str) -> Option<&Table> {
        self.0.iter().find(|table| table.name == name)
    }

    fn summary(&self, figure: &str, column: &str) -> &Cell {
        self.table("summary")
            .find(figure, column)
            .unwrap_or(&Cell::None)
    }
}

fn head(scope: &Scope<'_>) -> String {
    let title = Escaped(scope.title());
    let (since, as_of) = (local(scope, scope.told_since), local(scope, scope.as_of));
    let edition = match scope.edition {
        Edition::Shareable => "shareable edition: counts of 1 to 4 are withheld",
        Edition::Admin => "<strong>admin edition: personal, not to be passed on</strong>",
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Emergency calls: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"kind\">Emergency calls and who came</p>\n<h1>{title}</h1>\n\
         <p class=\"span\">{since} to {as_of} ({zone}) · {edition}</p>\n</header>\n",
        zone = Escaped(scope.zone_name()),
    )
}

fn local(scope: &Scope<'_>, at_ms: i64) -> String {
    let at = event_model::EventTime::from_millis(at_ms)
        .to_timestamp()
        .to_zoned(scope.zone.clone());
    at.strftime("%-d %B %Y, %H:%M").to_string()
}

/// The four numbers that a reader wants first, and what they mean in words.
fn lead(scope: &Scope<'_>, tables: &TablesByName<'_>) -> String {
    let median = tables
        .table("time_to_first_accept")
        .find("p50", "kaplan_meier_s")
        .unwrap_or(&Cell::None);
    let p90 = tables
        .table("time_to_first_accept")
        .find("p90", "kaplan_meier_s")
        .unwrap_or(&Cell::None);
    let unaccepted =
        ["value", "low", "high"].map(|column| tables.summary("unaccepted rate", column));
    let counted = match scope.edition {
        Edition::Shareable => ("mature alerts", "alerts, raised at least an hour ago"),
        Edition::Admin => ("alerts", "alerts"),
    };
    let tiles = [
        (
            html::cell(tables.summary(counted.0, "value")),
            counted.1.to_owned(),
        ),
        (html::cell(median), "until half were accepted".to_owned()),
        (
            html::cell(p90),
            "until nine in ten were accepted".to_owned(),
        ),
        (html::cell(unaccepted[0]), interval_note(&unaccepted)),
    ];
    let mut html = String::from("<section class=\"tiles\" aria-label=\"In short\">\n");
    for (value, name) in tiles {
        html += &format!(
            "<div class=\"tile\"><p class=\"value\">{value}</p><p class=\"what\">{}</p></div>\n",
            Escaped(&name)
        );
    }
    html += "</section>\n";
    html
}

fn interval_note([_, low, high]: &[&Cell; 3]) -> String {
    let note = "were not accepted within the hour";
    match (low, high) {
        (Cell::Share(low), Cell::Share(high)) => {
            format!("{note} (95 %: {} to {})", percent(*low), percent(*high))
        }
        _ => note.to_owned(),
    }
}

fn section_waiting(tables: &TablesByName<'_>) -> String {
    let quantiles = tables.table("time_to_first_accept");
    let median = quantiles
        .find("p50", "kaplan_meier_s")
        .and_then(Cell::number);
    let plot = plot::waiting(tables.table("waiting"), median);
    let note = "The curve counts every alert, those that nobody has accepted too. The plain percentiles beside it look only \
                at alerts that were accepted, and so hide the bad cases.";
    let tables = [quantiles, tables.table("waiting")]
        .map(html::table)
        .concat();
    section(
        "How long until somebody comes",
        note,
        &figure(&plot, &tables),
    )
}

fn section_trend(tables: &TablesByName<'_>) -> String {
    let grains = [
        ("trend_day", "day"),
        ("trend_week", "week"),
        ("trend_month", "month"),
    ];
    let fits = |(name, _): &(&str, &str)| tables.table(name).rows.len() <= PERIODS_MAX;
    let (name, unit) = grains.into_iter().find(fits).unwrap_or(grains[2]);
    let plot = plot::trend(tables.table(name), unit);
    let tables = [
        tables.table("trend_month"),
        tables.table("trend_week"),
        tables.table("trend_day"),
    ]
    .map(html::table)
    .concat();
    let note = "Periods that were watched only in part, at either end, are marked and left out of the mean.";
    section("How it changes", note, &figure(&plot, &tables))
}

fn section_hours(tables: &TablesByName<'_>) -> String {
    let table = tables.table("hour_by_weekday");
    let note = "Each hour is divided by how often it occurred, on the clocks of the complex: days with a clock change have \
                23 or 25 hours.";
    section(
        "When calls come",
        note,
        &figure(&plot::hours(table), &html::table(table)),
    )
}

const CATEGORIES_NOTE: &str =
    "By the first rule of a dictionary, Korean and English, that meets the text.";
const RESPONDERS_NOTE: &str =
    "Distinct houses that accepted an alert, whenever that was, for alerts whose hour is over.";
const LOAD_NOTE: &str = "Houses by the number of alerts they accepted: is it always the same ones?";

fn categories_plot(tables: &TablesByName<'_>) -> Plot {
    let table = tables.table("categories");
    let rows: Vec<&[Cell]> = table.rows.iter().map(Vec::as_slice).collect();
    plot::bars(
        "categories",
        "Calls by what they are about",
        &rows,
        table.column("alerts"),
    )
}

fn responders_plot(tables: &TablesByName<'_>) -> Plot {
    let table = tables.table("responders");
    let rows: Vec<&[Cell]> = table.rows.iter().take(4).map(Vec::as_slice).collect();
    plot::bars(
        "responders",
        "Calls by the number of houses that accepted",
        &rows,
        table.column("value"),
    )
}

fn load_plot(tables: &TablesByName<'_>) -> Plot {
    let table = tables.table("responder_load");
    let rows: Vec<&[Cell]> = table.rows.iter().map(Vec::as_slice).collect();
    plot::bars(
        "load",
        "Houses by the number of calls they accepted",
        &rows,
        table.column("houses"),
    )
}

fn section_plain(tables: &TablesByName<'_>, name: &str, plot: Plot, note: &str) -> String {
    let table = tables.table(name);
    section(table.title, note, &figure(&plot, &html::table(table)))
}

fn section_tables(tables: &TablesByName<'_>) -> String {
    let names = [
        "lines",
        "summary",
        "drills",
        "data_quality",
        "intake",
        "reject_reasons",
    ];
    let tables = names
        .into_iter()
        .filter_map(|name| tables.maybe(name))
        .filter(|table| !table.rows.is_empty());
    let tables: String = tables.map(html::table).collect();
    section(
        "The numbers, and what is wrong with them",
        "",
        &tables_box(&tables),
    )
}

fn section(title: &str, note: &str, content: &str) -> String {
    let note = if note.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>\n", Escaped(note))
    };
    format!(
        "<section>\n<h2>{}</h2>\n{note}{content}</section>\n",
        Escaped(title)
    )
}

/// A plot, what it says, and the numbers behind it for who cannot see it or wants them.
fn figure(plot: &Plot, tables: &str) -> String {
    format!(
        "<figure>\n<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{}\">{}</div>\n<figcaption>{}</figcaption>\n<details><summary>The numbers behind: {}</summary>\n\
         {}</details>\n</figure>\n",
        Escaped(&plot.title),
        plot.svg(),
        Escaped(&plot.description),
        Escaped(&plot.title),
        tables_box(tables)
    )
}

/// Tables wider than a phone are scrolled, by keyboard too.
fn tables_box(tables: &str) -> String {
    format!(
        "<div class=\"tables\" tabindex=\"0\" role=\"group\" aria-label=\"tables\">{tables}</div>"
    )
}

fn method(scope: &Scope<'_>, tables: &[Table]) -> String {
    let files: Vec<String> = tables
        .iter()
        .filter(|table| table.is_one_row_per_event())
        .map(|table| {
            format!(
                "<li><code>{}.csv</code>: {} ({} rows)</li>",
                table.name,
                table.title,
                grouped(table.rows.len() as u64)
            )
        })
        .collect();
    let files = if files.is_empty() {
        String::new()
    } else {
        format!("<p>Only as files:</p><ul>{}</ul>", files.concat())
    };
    let withheld = match scope.edition {
        Edition::Shareable => {
            "<li>Counts of 1 to 4 are withheld, and so are those from which they would follow. There is no percentile of \
             fewer than five alerts. Tables count alerts that were raised at least an hour before the report.</li>"
        }
        Edition::Admin => "",
    };
    let hour = duration(crate::stats::ACCEPTED_WITHIN_MS as f64 / 1_000.0);
    format!(
        "<section class=\"method\">\n<h2>How it is counted</h2>\n<ul>\n\
         <li>An alert is a distinct id in the log. A repeat press is a call of the same house within 120 s of one that nobody has accepted yet.</li>\n\
         <li>Time to the first accept is the time from the call to the first accept in the log, and 0 where clocks disagree.</li>\n\
         <li>An alert is accepted if that is at most {hour}, and mature when it was raised at least {hour} before the report. Rates and shares use mature alerts only; the intervals are Wilson's, 95 %.</li>\n\
         <li>Plain percentiles are of type 7, over mature accepted alerts. The curve is Kaplan and Meier's over all alerts, censored after {hour} or at the report; its band is Greenwood's on the log-log scale, 95 %.</li>\n\
         <li>Drills count nowhere but in their own table, tests nowhere.</li>\n{withheld}</ul>\n{files}</section>\n"
    )
}

const STYLE: &str = include_str!("page.css");
