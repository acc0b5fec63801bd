//! A record as it is shown: one line for a person, one object for a program.

use std::fmt;

use serde::Serialize;

use super::output::Printable;
use super::position::time;
use super::text::{Payload, escaped};
use crate::record::{Record, RecordHeader};

/// A record as it is shown. Its `Display` is one line: partition, offset, time, key, headers, value.
#[derive(Serialize)]
pub struct ShownRecord {
    topic: String,
    partition: i32,
    offset: u64,
    time: String,
    key: Option<Payload>,
    headers: Vec<ShownHeader>,
    value: Option<Payload>,
}

#[derive(Serialize)]
struct ShownHeader {
    name: String,
    value: Option<Payload>,
}

impl ShownRecord {
    /// A record of a partition, by its topic and number.
    pub fn of((topic, partition): &(String, i32), record: Record) -> Self {
        Self {
            topic: topic.clone(),
            partition: *partition,
            offset: record.offset.0,
            time: time(record.timestamp),
            key: record.key.map(Payload::new),
            headers: record.headers.into_iter().map(ShownHeader::of).collect(),
            value: record.value.map(Payload::new),
        }
    }

    /// Whether the key, the value or a header contains `text`.
    pub(super) fn contains(&self, text: &str) -> bool {
        let inside = |payload: &Option<Payload>| {
            payload
                .as_ref()
                .is_some_and(|payload| payload.contains(text))
        };
        let in_header = |header: &ShownHeader| header.name.contains(text) || inside(&header.value);
        inside(&self.key) || inside(&self.value) || self.headers.iter().any(in_header)
    }
}

impl ShownHeader {
    fn of(header: RecordHeader) -> Self {
        Self {
            name: header.name,
            value: header.value.map(Payload::new),
        }
    }
}

impl fmt::Display for ShownHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", escaped(&self.name), shown(&self.value))
    }
}

impl fmt::Display for ShownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{}  {}  {}  key={}  headers=[{}]  {}",
            self.partition,
            self.offset,
            self.time,
            shown(&self.key),
            headers.join(" "),
            shown(&self.value)
        )
    }
}

fn shown(payload: &Option<Payload>) -> String {
    payload
        .as_ref()
        .map_or_else(|| "-".to_owned(), Payload::shown)
}

impl Printable for ShownRecord {
    fn text(&self) -> String {
        format!("{self}\n")
    }
}
