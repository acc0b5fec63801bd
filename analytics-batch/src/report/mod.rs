//! Writing the figures: one folder for the total and one for each line, each complete in itself.
//!
//! ```text
//! <folder>/report-2026-11-20T060000.000Z-shareable/
//!     total/            report.html  stats.json  manifest.json  summary.csv  categories.csv  ...
//!     lines/<line>/     the same
//! ```
//!
//! The same offsets and the same `as_of` give the same bytes: nothing here asks the time, and everything is in order.

mod disclosure;
mod folder;
mod html;
mod page;
mod parquet_file;
mod plot;
mod scope;
mod table;
mod tables;

pub use disclosure::{Edition, EditionError};
pub use folder::WriteError;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use event_model::EventTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::case_builder::GatheredCases;
use crate::window::Window;
use folder::{Draft, folder_names, sha256};
use scope::Scope;
use table::Table;

/// The layout of `stats.json` and `manifest.json`. Counts up when a reader of the last one would misread it.
const SCHEMA: u32 = 1;

/// A report that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenReport {
    /// The folder of the report, as it was published.
    pub folder: PathBuf,
    /// The page of the total.
    pub report: PathBuf,
    /// How many lines have a folder of their own: the shareable edition has none for lines of few calls.
    pub lines: usize,
    /// How many records it was made from.
    pub records: u64,
}

/// Writes the report about what was gathered from a window of the log.
///
/// # Errors
/// [`WriteError`], and then no report of that name is new.
pub fn write(
    gathered: &GatheredCases,
    window: &Window,
    edition: Edition,
    zone: &TimeZone,
    below: &Path,
) -> Result<WrittenReport, WriteError> {
    let place = below.join(report_name(gathered.as_of, edition));
    let draft = Draft::begin(&place)?;
    let total = Scope::total(gathered, edition, zone.clone());
    let mut tables = tables::tables(&total);
    tables.extend(tables::total_tables(gathered, edition));
    draft.write(
        Path::new("total"),
        &files(&total, &tables, gathered, window),
    )?;
    let scopes = gathered
        .lines
        .iter()
        .map(|line| Scope::line(gathered, line, edition));
    let told: Vec<Scope<'_>> = scopes.filter(Scope::may_be_told).collect();
    // Only lines that are told count: a folder's name must not give away that there is another one.
    let names = folder_names(told.iter().map(Scope::title));
    for (scope, name) in told.iter().zip(names) {
        let files = files(scope, &tables::tables(scope), gathered, window);
        draft.write(&Path::new("lines").join(name), &files)?;
    }
    draft.publish()?;
    Ok(WrittenReport {
        report: place.join("total").join("report.html"),
        folder: place,
        lines: told.len(),
        records: gathered.intake.records,
    })
}

/// `:` has another meaning in names of files on some systems.
fn report_name(as_of: EventTime, edition: Edition) -> String {
    format!("report-{}-{edition}", as_of.to_string().replace(':', ""))
}

/// The files of one folder, by name.
fn files(
    scope: &Scope<'_>,
    tables: &[Table],
    gathered: &GatheredCases,
    window: &Window,
) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = tables
        .iter()
        .map(|table| (format!("{}.csv", table.name), table.csv().into_bytes()))
        .collect();
    let facts = tables.iter().filter(|table| table.is_fact_table());
    files.extend(facts.map(|table| {
        (
            format!("{}.parquet", table.name),
            parquet_file::bytes(table),
        )
    }));
    files.insert("stats.json".to_owned(), pretty(&stats(scope, tables)));
    files.insert(
        "report.html".to_owned(),
        page::page(scope, tables).into_bytes(),
    );
    let manifest = manifest(scope, gathered, window, &files);
    files.insert("manifest.json".to_owned(), pretty(&manifest));
    files
}

fn stats(scope: &Scope<'_>, tables: &[Table]) -> Value {
    let tables: Map<String, Value> = tables
        .iter()
        .filter(|table| !table.is_one_row_per_event())
        .map(|table| (table.name.to_owned(), table.json()))
        .collect();
    json!({
        "schema": SCHEMA,
        "edition": scope.edition.as_str(),
        "line": scope.line.map(|line| line.as_str()),
        "as_of": scope.as_of_time().to_string(),
        "since": scope.since_time().to_string(),
        "time_zone": scope.zone_name(),
        "tables": tables,
    })
}

fn manifest(
    scope: &Scope<'_>,
    gathered: &GatheredCases,
    window: &Window,
    files: &BTreeMap<String, Vec<u8>>,
) -> Value {
    let offsets: Vec<Value> = window
        .iter()
        .map(|(topic, partition, offsets)| {
            json!({ "topic": topic.name(), "partition": partition, "start": offsets.start, "end": offsets.end })
        })
        .collect();
    let hashes: Map<String, Value> = files
        .iter()
        .map(|(name, bytes)| {
            (
                name.clone(),
                json!({ "bytes": bytes.len(), "sha256": sha256(bytes) }),
            )
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "written_by": concat!("analytics-batch ", env!("CARGO_PKG_VERSION")),
        "edition": scope.edition.as_str(),
        "line": scope.line.map(|line| line.as_str()),
        "as_of": scope.as_of_time().to_string(),
        "time_zone": scope.zone_name(),
        "offsets": offsets,
        "records_read": gathered.intake.records,
        "files": hashes,
    })
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("a value with text keys is JSON");
    bytes.push(b'\n');
    bytes
}
