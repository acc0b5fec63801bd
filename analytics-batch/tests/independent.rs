//! The figures against a second computation of them, in another language and by another way: `independent.py`.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use analytics_batch::{
    CaseBuilder, DetailLevel, Edition, GatheredCases, Offsets, Window, WrittenReport, Zones, write,
};
use event_model::{EventTime, Line, RecordPosition, RecordView, Topic};
use jiff::tz::TimeZone;
use serde_json::Value;

/// As many as the smallest log that a large complex fills in a few years.
const EVENTS: &str = "100000";

struct Log {
    folder: tempfile::TempDir,
    records: Vec<Value>,
    expected: Value,
}

impl Log {
    fn generate(seed: &str, events: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        independent(&[
            "generate".as_ref(),
            seed.as_ref(),
            events.as_ref(),
            path.as_ref(),
        ]);
        let records = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected = independent(&["figures".as_ref(), path.as_ref()]);
        Self {
            folder,
            records,
            expected: serde_json::from_slice(&expected).unwrap(),
        }
    }

    fn gather(
        &self,
        detail: DetailLevel,
        as_of: EventTime,
        records: impl Iterator<Item = usize>,
    ) -> GatheredCases {
        let mut cases = CaseBuilder::new(as_of, detail);
        for index in records {
            take(&mut cases, &self.records[index]);
        }
        cases.finish(&self.zones())
    }

    fn as_of(&self) -> EventTime {
        self.expected["as_of"].as_str().unwrap().parse().unwrap()
    }

    fn zones(&self) -> Zones {
        let mut zones = Zones::default();
        for (line, zone) in self.expected["zones"].as_object().unwrap() {
            zones.lines.insert(
                Line::new(line).unwrap(),
                TimeZone::get(zone.as_str().unwrap()).unwrap(),
            );
        }
        zones
    }

    fn window(&self) -> Window {
        let mut ends: BTreeMap<(Topic, u32), u64> = BTreeMap::new();
        for record in &self.records {
            let RecordPosition {
                topic,
                partition,
                offset,
            } = place(record);
            let end = ends.entry((topic, partition)).or_default();
            *end = (*end).max(offset + 1);
        }
        let mut window = Window::default();
        for ((topic, partition), end) in ends {
            window.insert(topic, partition, Offsets { start: 0, end });
        }
        window
    }

    fn report(&self, gathered: &GatheredCases, edition: Edition, below: &str) -> WrittenReport {
        let below = self.folder.path().join(below);
        write(
            gathered,
            &self.window(),
            edition,
            &Zones::default().default,
            &below,
        )
        .unwrap()
    }
}

fn independent(arguments: &[&std::ffi::OsStr]) -> Vec<u8> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent.py");
    let output = Command::new("python3").arg(script).args(arguments).output();
    let output = output.expect("python3 is installed: run .ci/clients");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn place(record: &Value) -> RecordPosition {
    RecordPosition {
        topic: Topic::from_name(record["topic"].as_str().unwrap()).unwrap(),
        partition: u32::try_from(record["partition"].as_u64().unwrap()).unwrap(),
        offset: record["offset"].as_u64().unwrap(),
    }
}

fn take(cases: &mut CaseBuilder, record: &Value) {
    let headers = record["headers"].as_object().unwrap();
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap().as_bytes()))
        .collect();
    cases.take(&RecordView {
        place: place(record),
        time: EventTime::from_millis(record["timestamp"].as_i64().unwrap()),
        headers: &headers,
        value: record["value"].as_str().map(str::as_bytes),
    });
}

fn stats(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("stats.json")).unwrap()).unwrap()
}

/// Every value that the independent computation has must be here too, floats to nine digits.
fn assert_same(found: &Value, expected: &Value, path: &str) {
    match expected {
        Value::Object(fields) => {
            for (name, expected) in fields {
                assert_same(&found[name], expected, &format!("{path}.{name}"));
            }
        }
        Value::Array(rows) => {
            assert_eq!(
                found.as_array().map(Vec::len),
                Some(rows.len()),
                "{path}: rows"
            );
            for (index, expected) in rows.iter().enumerate() {
                assert_same(&found[index], expected, &format!("{path}[{index}]"));
            }
        }
        Value::Number(number) if found.is_number() => {
            let (found, expected) = (found.as_f64().unwrap(), number.as_f64().unwrap());
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off < 1e-9, "{path}: {found} instead of {expected}");
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

#[test]
fn the_figures_are_those_of_an_independent_computation() {
    let log = Log::generate("7", EVENTS);
    let gathered = log.gather(DetailLevel::Rows, log.as_of(), 0..log.records.len());
    let written = log.report(&gathered, Edition::Admin, "admin");

    let total = stats(&written.folder.join("total"));
    assert_same(&total["tables"], &log.expected["total"], "total");
    let lines = log.expected["lines"].as_object().unwrap();
    assert_eq!(written.lines, lines.len());
    for (line, expected) in lines {
        let folder = written.folder.join("lines").join(line.replace(' ', "%20"));
        assert_same(&stats(&folder)["tables"], expected, line);
    }
}

/// The histories are `event-model`'s, with what its fold says of them.
#[test]
fn the_independent_computation_gives_each_accept_to_the_alert_that_the_fold_gives_it_to() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/event-model/tests/bindings.jsonl"
    );
    let found = independent(&["bindings".as_ref(), path.as_ref()]);
    let found: Vec<Value> = serde_json::from_slice(&found).unwrap();
    let histories = fs::read_to_string(path).unwrap();
    let expected: Vec<Value> = histories
        .lines()
        .map(|history| serde_json::from_str::<Value>(history).unwrap()["responders"].take())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn one_accept_left_out_is_noticed() {
    let log = Log::generate("8", "4000");
    let left_out = log
        .records
        .iter()
        .position(|record| record["topic"] == "an-accept")
        .unwrap();
    let gathered = log.gather(
        DetailLevel::Rows,
        log.as_of(),
        (0..log.records.len()).filter(|index| *index != left_out),
    );
    let written = log.report(&gathered, Edition::Admin, "admin");
    let total = stats(&written.folder.join("total"));
    let compared =
        std::panic::catch_unwind(|| assert_same(&total["tables"], &log.expected["total"], "total"));
    assert!(compared.is_err());
}

#[test]
fn the_same_records_in_any_order_give_the_same_bytes() {
    let log = Log::generate("8", "4000");
    let count = log.records.len();
    for (edition, keep) in [
        (Edition::Admin, DetailLevel::Rows),
        (Edition::Shareable, DetailLevel::Figures),
    ] {
        let forwards = log.gather(keep, log.as_of(), 0..count);
        let first = files(&log.report(&forwards, edition, "first").folder);
        assert_eq!(
            first,
            files(&log.report(&forwards, edition, "second").folder)
        );
        let backwards = log.gather(keep, log.as_of(), (0..count).rev());
        assert!(
            first == files(&log.report(&backwards, edition, "backwards").folder),
            "{edition}: another order"
        );
    }
}

#[test]
fn the_manifest_names_every_file_by_its_hash() {
    let log = Log::generate("9", "500");
    let gathered = log.gather(DetailLevel::Figures, log.as_of(), 0..log.records.len());
    let written = log.report(&gathered, Edition::Shareable, "report");
    let folder = written.folder.join("total");
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let mut named: Vec<&String> = manifest["files"].as_object().unwrap().keys().collect();
    named.sort();
    let written: Vec<PathBuf> = files(&folder)
        .into_keys()
        .filter(|path| path != Path::new("manifest.json"))
        .collect();
    assert_eq!(
        named,
        written
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect::<Vec<_>>()
    );
    for name in named {
        let output = Command::new("sha256sum")
            .arg(folder.join(name))
            .output()
            .unwrap();
        let hash = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            manifest["files"][name]["sha256"].as_str(),
            hash.split(' ').next(),
            "{name}"
        );
    }
}

#[test]
fn the_shareable_edition_holds_no_small_count_and_nothing_of_a_house() {
    let log = Log::generate("10", "3000");
    let gathered = log.gather(DetailLevel::Figures, log.as_of(), 0..log.records.len());
    let written = log.report(&gathered, Edition::Shareable, "report");
    let latitudes: Vec<String> = log.records.iter().filter_map(latitude).take(200).collect();
    assert_eq!(latitudes.len(), 200);
    for (path, bytes) in files(&written.folder) {
        let text = String::from_utf8(bytes).unwrap();
        for secret in ["동 ", "살려", "smoke"]
            .into_iter()
            .chain(latitudes.iter().map(String::as_str))
        {
            assert!(!text.contains(secret), "{}: {secret}", path.display());
        }
        if path.ends_with("stats.json") {
            let stats: Value = serde_json::from_str(&text).unwrap();
            assert_no_small_count(&stats["tables"], &path.display().to_string());
        }
    }
}

/// Of those that say where somebody is.
fn latitude(record: &Value) -> Option<String> {
    let value: Value = serde_json::from_str(record["value"].as_str()?).ok()?;
    let latitude = value["lat"].as_str()?;
    ("37.000000".len() <= latitude.len()).then(|| latitude.to_owned())
}

/// The columns that hold neither counts of calls nor of houses or records.
const NO_COUNTS: [&str; 10] = [
    "hour",
    "occurred",
    "after_s",
    "waiting",
    "low",
    "high",
    "naive_s",
    "kaplan_meier_s",
    "low_s",
    "high_s",
];

fn assert_no_small_count(tables: &Value, path: &str) {
    for (name, rows) in tables.as_object().unwrap() {
        for row in rows.as_array().unwrap() {
            for (column, cell) in row.as_object().unwrap() {
                let is_count = cell.is_u64() && !NO_COUNTS.contains(&column.as_str());
                assert!(
                    !is_count || !(1..5).contains(&cell.as_u64().unwrap()),
                    "{path}: {name} {row}"
                );
            }
        }
    }
}
