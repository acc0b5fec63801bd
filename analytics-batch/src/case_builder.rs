//! From records to cases: every record of both topics goes in, in any order; out come the alerts of each line with who
//! accepted them, ready for [`crate::stats`], and the counts of what was left out.

use std::collections::BTreeMap;
use std::time::Duration;

use event_model::fold::{Fold, Repeats, correct_times_ahead};
use event_model::{
    AlertRaised, DecodeError, Decoded, Event, EventId, EventTime, House, Line, RecordPosition,
    RecordView, Recorded, Status, Topic, Warning, decode,
};
use jiff::tz::TimeZone;

use crate::Zones;
use crate::category::Category;
use crate::stats::{Case, Flaw, HoursSeen, Response, hours_seen, slot_of};

/// A record's timestamp and its event's own time may differ by this much before it is called skew.
const SKEW_TOLERANCE_MS: i64 = 5_000;

/// How far back the calendar goes. One call from a phone that believes in 1970 must not make a report of 20,000 days.
const CALENDAR_MAX: Duration = Duration::from_secs(5 * 366 * 24 * 60 * 60);

/// How many unreadable records are kept with their place; the rest is only counted.
const REJECTS_KEPT: usize = 1_000;

/// What is kept of each alert besides what the figures need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailLevel {
    /// Nothing: the figures are all that is published.
    Figures,
    /// Text and position, for tables with one row per alert.
    Rows,
}

/// Records on their way to becoming cases.
#[derive(Debug)]
pub struct CaseBuilder {
    as_of: EventTime,
    detail: DetailLevel,
    fold: Fold,
    facts: BTreeMap<(Line, EventId), Facts>,
    intake: Intake,
    /// The timestamps of all records, by partition, to tell what the log itself refutes of them.
    times: BTreeMap<(Topic, u32), Vec<(u64, EventTime)>>,
    /// Events after the moment the report is about, by their own word.
    later: Vec<Recorded>,
}

/// What became of the records that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// All of them.
    pub records: u64,
    /// Events that happened after the moment the report is about.
    pub after_as_of: u64,
    /// Tests, and whatever belongs to the system's own lines.
    pub tests: u64,
    /// Events of a type that this version does not know.
    pub unknown_types: u64,
    /// Records that no reader can decode.
    pub rejected: u64,
    /// The first of those, in the order they were read.
    pub rejects: Vec<Reject>,
}

/// A record that no reader can decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Where it stands.
    pub place: RecordPosition,
    /// What kind of trouble it is, without anything of what the record says.
    pub reason: &'static str,
}

/// What the fold does not keep of an alert.
#[derive(Clone, Debug)]
struct Facts {
    /// Of several records with one id the first in the log counts, here as in the fold.
    place: RecordPosition,
    category: Category,
    flaws: Vec<Flaw>,
    details: Option<CallDetails>,
}

/// What the caller said: personal, kept for the edition that shows rows only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallDetails {
    /// The call's text, as it was stored.
    pub text: String,
    /// Latitude and longitude.
    pub point: Option<(String, String)>,
}

impl CaseBuilder {
    /// Nothing read yet.
    pub fn new(as_of: EventTime, detail: DetailLevel) -> Self {
        Self {
            as_of,
            detail,
            fold: Fold::new(),
            facts: BTreeMap::new(),
            intake: Intake::default(),
            times: BTreeMap::new(),
            later: Vec::new(),
        }
    }

    /// Takes a record.
    pub fn take(&mut self, record: &RecordView<'_>) {
        self.intake.records += 1;
        let RecordPosition {
            topic,
            partition,
            offset,
        } = record.place;
        let times = self.times.entry((topic, partition)).or_default();
        times.push((offset, record.time));
        match decode(record) {
            Ok(Decoded::Event(recorded)) => self.take_event(recorded),
            Ok(Decoded::UnknownType { .. }) => self.intake.unknown_types += 1,
            Err(error) => self.reject(record.place, &error),
        }
    }

    fn take_event(&mut self, recorded: Recorded) {
        let event = &recorded.event;
        if event.status() == Status::Test || event.line().is_reserved() {
            self.intake.tests += 1;
        } else if self.as_of < event.at() {
            self.later.push(recorded);
        } else {
            self.fold.add(&recorded);
            if let Event::Raised(alert) = event {
                self.keep_facts(alert, &recorded);
            }
        }
    }

    /// An event of ten years ahead whose record others followed is one of today, and counts.
    fn take_later(&mut self) {
        let mut corrected: BTreeMap<RecordPosition, EventTime> = BTreeMap::new();
        for ((topic, partition), mut records) in std::mem::take(&mut self.times) {
            records.sort_unstable();
            let mut times: Vec<EventTime> = records.iter().map(|(_, time)| *time).collect();
            correct_times_ahead(&mut times);
            for ((offset, written), time) in records.into_iter().zip(times) {
                if written != time {
                    let place = RecordPosition {
                        topic,
                        partition,
                        offset,
                    };
                    corrected.insert(place, time);
                }
            }
        }
        for mut recorded in std::mem::take(&mut self.later) {
            if let Some(time) = corrected.get(&recorded.place) {
                recorded.event.set_at(*time);
            }
            if self.as_of < recorded.event.at() {
                self.intake.after_as_of += 1;
            } else {
                self.take_event(recorded);
            }
        }
    }

    fn keep_facts(&mut self, alert: &AlertRaised, recorded: &Recorded) {
        let key = (alert.line.clone(), alert.id);
        if self
            .facts
            .get(&key)
            .is_some_and(|known| known.place <= recorded.place)
        {
            return;
        }
        let details = (self.detail == DetailLevel::Rows).then(|| CallDetails {
            text: alert.text.to_string(),
            point: alert
                .position
                .as_ref()
                .map(|position| (position.lat.to_string(), position.lng.to_string())),
        });
        let category = Category::of(alert.text.as_str());
        self.facts.insert(
            key,
            Facts {
                place: recorded.place,
                category,
                flaws: flaws(alert, recorded),
                details,
            },
        );
    }

    fn reject(&mut self, place: RecordPosition, error: &DecodeError) {
        self.intake.rejected += 1;
        if self.intake.rejects.len() < REJECTS_KEPT {
            self.intake.rejects.push(Reject {
                place,
                reason: reason(error),
            });
        }
    }

    /// All records are read: what do they add up to?
    pub fn finish(mut self, zones: &Zones) -> GatheredCases {
        self.take_later();
        let mut houses = Houses::default();
        let lines = self
            .fold
            .lines()
            .map(|line| self.line(line, zones, &mut houses))
            .collect();
        self.intake.rejects.sort_by_key(|reject| reject.place);
        GatheredCases {
            as_of: self.as_of,
            lines,
            houses: houses.named,
            intake: self.intake,
        }
    }

    fn line(&self, line: &Line, zones: &Zones, houses: &mut Houses) -> LineCases {
        let zone = zones.of(line);
        let alerts = self.fold.alerts(line);
        let mut rows: Vec<Row> = Vec::with_capacity(alerts.len());
        for alert in &alerts {
            let facts = &self.facts[&(line.clone(), alert.id)];
            let ranked = self.fold.accepts(line, alert.id);
            let mut case = Case {
                raised_at: alert.at.as_millis(),
                house: houses.number(line, &alert.house),
                slot: slot_of(&zone, alert.at.as_millis()),
                category: facts.category as u8,
                flaws: facts.flaws.clone(),
                responses: Vec::new(),
                accepted_from: ranked
                    .iter()
                    .map(|ranked| ranked.accept.at.as_millis())
                    .min(),
                accepts: ranked.len() as u64,
            };
            for ranked in ranked {
                // Ranks count up, so a house's first accept is the one that brings a new rank.
                if case.responses.len() < ranked.rank as usize {
                    let house = houses.number(line, &ranked.accept.responder);
                    case.responses.push(Response {
                        house,
                        at: ranked.accept.at.as_millis(),
                    });
                }
            }
            rows.push(Row {
                id: alert.id,
                is_drill: alert.status != Status::Actual,
                case,
                details: facts.details.clone(),
            });
        }
        let orphans = self.fold.orphans(line);
        let first_orphan = orphans.iter().map(|orphan| orphan.at.as_millis()).min();
        let first = rows
            .first()
            .map(|row| row.case.raised_at)
            .into_iter()
            .chain(first_orphan)
            .min();
        let as_of = self.as_of.as_millis();
        let since = first
            .unwrap_or(as_of)
            .max(self.as_of.minus(CALENDAR_MAX).as_millis());
        LineCases {
            line: line.clone(),
            hours_seen: hours_seen(&zone, since, as_of),
            zone,
            since,
            rows,
            orphans: orphans.len() as u64,
            repeats: self.fold.repeats(line),
        }
    }
}

fn flaws(alert: &AlertRaised, recorded: &Recorded) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    match &alert.position {
        None if alert.warnings.contains(&Warning::PositionDropped) => {
            flaws.push(Flaw::InvalidLocation)
        }
        None => flaws.push(Flaw::NoLocation),
        Some(position) if position.is_null_island() => flaws.push(Flaw::NullIsland),
        Some(_) => {}
    }
    if alert.warnings.contains(&Warning::TextCut) {
        flaws.push(Flaw::Truncated);
    }
    if SKEW_TOLERANCE_MS < recorded.time.millis_since(alert.at).abs() {
        flaws.push(Flaw::Skew);
    }
    flaws
}

fn reason(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::NoValue { .. } => "no value",
        DecodeError::Json { .. } => "no JSON",
        DecodeError::NoObject { .. } => "no JSON object",
        DecodeError::Missing { .. } => "name missing",
        DecodeError::Name { .. } => "invalid name",
        DecodeError::WrongTopic { .. } => "wrong topic",
        DecodeError::NoType { .. } => "no type",
    }
}

/// Everything that was read, in order.
#[derive(Clone, Debug)]
pub struct GatheredCases {
    /// The moment the report is about.
    pub as_of: EventTime,
    /// The lines that have any event, by name.
    pub lines: Vec<LineCases>,
    /// The names behind the houses' numbers.
    pub houses: Vec<(Line, House)>,
    /// What became of the records.
    pub intake: Intake,
}

/// The alerts of one line.
#[derive(Clone, Debug)]
pub struct LineCases {
    /// The line, normalised.
    pub line: Line,
    /// Where its clocks stand.
    pub zone: TimeZone,
    /// From when on it was watched: its first event.
    pub since: i64,
    /// How often each hour of the week occurred since then.
    pub hours_seen: HoursSeen,
    /// Its alerts, by time.
    pub rows: Vec<Row>,
    /// Accepts that belong to no alert.
    pub orphans: u64,
    /// Records that repeat another one.
    pub repeats: Repeats,
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Row {
    /// The event's id.
    pub id: EventId,
    /// A drill: told apart from real calls.
    pub is_drill: bool,
    /// What the figures need.
    pub case: Case,
    /// What the caller said, where rows are kept.
    pub details: Option<CallDetails>,
}

/// Gives each house a number, in the order they are met.
#[derive(Default)]
struct Houses {
    numbers: BTreeMap<(Line, House), u32>,
    named: Vec<(Line, House)>,
}

impl Houses {
    fn number(&mut self, line: &Line, house: &House) -> u32 {
        let key = (line.clone(), house.clone());
        *self.numbers.entry(key).or_insert_with_key(|key| {
            self.named.push(key.clone());
            u32::try_from(self.named.len() - 1).expect("fewer than four thousand million houses")
        })
    }
}
