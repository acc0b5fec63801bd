//! Events as records of the log, and back: CloudEvents 1.0 in Kafka's binary mode, with a value that consumers of the
//! original system still understand, and the original's own records, which have neither key nor headers.
//!
//! Source: CloudEvents 1.0 Kafka protocol binding, section 3.2; Spring for Apache Kafka, `AbstractJavaTypeMapper`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::fold::LIVE_FOR;
use std::sync::Arc;

use crate::json::scalar_text;
use crate::life::body::{read_note, read_seen};
use crate::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, LifeEvent, LifeKind, Line,
    NameError, Position, RecordPosition, Role, Status, Text, Topic, Warning, json,
};

/// The names of the headers.
pub mod header {
    /// `application/json`.
    pub const CONTENT_TYPE: &str = "content-type";
    /// `1.0`.
    pub const SPEC_VERSION: &str = "ce_specversion";
    /// The event's id.
    pub const ID: &str = "ce_id";
    /// Who wrote it.
    pub const SOURCE: &str = "ce_source";
    /// What it is.
    pub const TYPE: &str = "ce_type";
    /// When it happened.
    pub const TIME: &str = "ce_time";
    /// `line/house`, each percent-encoded.
    pub const SUBJECT: &str = "ce_subject";
    /// The record's key.
    pub const PARTITION_KEY: &str = "ce_partitionkey";
    /// W3C trace context.
    pub const TRACE_PARENT: &str = "ce_traceparent";
    /// `Exercise` or `Test`; absent for real events.
    pub const STATUS: &str = "ce_status";
    /// The [`Tag`](crate::Tag) of who made the call.
    pub const CALLER: &str = "ce_caller";
    /// The [`Tag`](crate::Tag) of the call's Idempotency-Key, where it has one.
    pub const IDEMPOTENCY_KEY: &str = "ce_idempotencykey";
    /// Reserved for signatures.
    pub const KEY_ID: &str = "ce_keyid";
}

/// `ce_type` of an [`AlertRaised`].
pub const ALERT_RAISED: &str = "alert.raised.v1";
/// `ce_type` of an [`AlertAccepted`].
pub const ALERT_ACCEPTED: &str = "alert.accepted.v1";

const SOURCE: &str = "/producer-api";
/// Who writes escalations.
const NOTIFIER_SOURCE: &str = "/notifier";

/// What a Spring consumer's JSON reader needs to know the classes. A map of objects fits every version of the value.
const SPRING_TYPES: [(&str, &str); 3] = [
    ("__TypeId__", "java.util.HashMap"),
    ("__KeyTypeId__", "java.lang.Object"),
    ("__ContentTypeId__", "java.lang.Object"),
];

/// RFC 3986 unreserved characters stay as they are.
const SUBJECT_KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whether records carry the type headers that the original system's Spring consumers need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpringTypes {
    /// Records carry them, beside all others.
    #[default]
    Written,
    /// No such consumer is left.
    Omitted,
}

/// A record, ready to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Where it belongs.
    pub topic: Topic,
    /// The normalised line.
    pub key: Vec<u8>,
    /// In the order they are written.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The JSON.
    pub value: Vec<u8>,
    /// The record's timestamp: the event's own time.
    pub timestamp: EventTime,
}

/// Writes an event as a record. `traceparent` is the W3C trace context of the call, where there is one.
pub fn encode(
    event: &Event,
    spring_types: SpringTypes,
    traceparent: Option<&str>,
) -> EncodedRecord {
    EncodedRecord {
        topic: event.topic(),
        key: event.line().as_str().into(),
        headers: headers(event, spring_types, traceparent),
        value: value(event).to_string().into_bytes(),
        timestamp: event.at(),
    }
}

fn headers(
    event: &Event,
    spring_types: SpringTypes,
    traceparent: Option<&str>,
) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers: Vec<(&'static str, Vec<u8>)> = vec![
        (header::CONTENT_TYPE, b"application/json".into()),
        (header::SPEC_VERSION, b"1.0".into()),
        (header::ID, event.id().to_string().into()),
        (header::SOURCE, source(event).into()),
        (header::TYPE, event_type(event).into()),
        (header::TIME, event.at().to_string().into()),
        (header::SUBJECT, subject(event).into()),
        (header::PARTITION_KEY, event.line().as_str().into()),
    ];
    if let Some(traceparent) = traceparent {
        headers.push((header::TRACE_PARENT, traceparent.into()));
    }
    if event.status() != Status::Actual {
        headers.push((header::STATUS, event.status().as_str().into()));
    }
    if spring_types == SpringTypes::Written {
        headers.extend(SPRING_TYPES.map(|(name, class)| (name, class.into())));
    }
    headers
}

fn event_type(event: &Event) -> &'static str {
    match event {
        Event::Raised(_) => ALERT_RAISED,
        Event::Accepted(_) => ALERT_ACCEPTED,
        Event::Life(event) => event.kind.event_type(),
    }
}

fn source(event: &Event) -> &'static str {
    match event {
        Event::Life(event) if matches!(event.kind, LifeKind::Escalated(_)) => NOTIFIER_SOURCE,
        _ => SOURCE,
    }
}

fn subject(event: &Event) -> String {
    let encode = |name| utf8_percent_encode(name, SUBJECT_KEPT);
    format!(
        "{}/{}",
        encode(event.line().as_str()),
        encode(event.house().as_str())
    )
}

fn value(event: &Event) -> Value {
    let mut object = match event {
        Event::Raised(alert) => alert_value(alert),
        Event::Accepted(accept) => accept_value(accept),
        Event::Life(event) => life_value(event),
    };
    let warnings = match event {
        Event::Raised(alert) => &alert.warnings,
        Event::Accepted(accept) => &accept.warnings,
        Event::Life(event) => &event.warnings,
    };
    put(&mut object, "id", &event.id().to_string());
    put(&mut object, "at", &event.at().to_string());
    if event.status() != Status::Actual {
        put(&mut object, "status", event.status().as_str());
    }
    if !warnings.is_empty() {
        let codes: Vec<&str> = warnings.iter().map(|warning| warning.code()).collect();
        // A text like every other value of the original contract, so one codes after the other.
        put(&mut object, "warnings", &codes.join(" "));
    }
    Value::Object(object)
}

fn alert_value(alert: &AlertRaised) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "line", alert.line.as_str());
    put(&mut object, "house", alert.house.as_str());
    put(&mut object, "text", alert.text.as_str());
    put_position(&mut object, alert.position.as_ref());
    object
}

/// Writes `lat` and `lng`, empty texts if there is no position: the original contract has them always, and as texts.
pub(crate) fn put_position(object: &mut Map<String, Value>, position: Option<&Position>) {
    put(
        object,
        "lat",
        position.map_or("", |position| position.lat.as_str()),
    );
    put(
        object,
        "lng",
        position.map_or("", |position| position.lng.as_str()),
    );
    let Some(position) = position else { return };
    if let Some(accuracy) = &position.accuracy {
        put(object, "accuracy", accuracy.as_str());
    }
    if let Some(floor) = &position.floor {
        put(object, "floor", floor);
    }
    if let Some(located_at) = position.located_at {
        put(object, "locatedAt", &located_at.to_string());
    }
}

fn accept_value(accept: &AlertAccepted) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "line", accept.line.as_str());
    put(&mut object, "accept", accept.responder.as_str());
    put(&mut object, "target", accept.target.as_str());
    if let Some(alert_id) = accept.alert_id {
        put(&mut object, "alertId", &alert_id.to_string());
    }
    if let Some(seen) = accept.seen {
        put(&mut object, "seen", &seen.to_string());
    }
    object
}

fn life_value(event: &LifeEvent) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "line", event.line.as_str());
    put(&mut object, "house", event.house.as_str());
    put(&mut object, "alertId", &event.alert_id.to_string());
    put(&mut object, "role", event.role.as_str());
    if let Some(seen) = event.seen {
        put(&mut object, "seen", &seen.to_string());
    }
    if let Some(note) = &event.note {
        put(&mut object, "note", note.as_str());
    }
    event.kind.put(&mut object);
    object
}

pub(crate) fn put(object: &mut Map<String, Value>, name: &str, text: &str) {
    object.insert(name.to_owned(), Value::String(text.to_owned()));
}

/// A record as a consumer has it in hand.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Where it was read.
    pub place: RecordPosition,
    /// The record's timestamp.
    pub time: EventTime,
    /// Its headers, as they came.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart where it is made; nearly all are events"
)]
pub enum Decoded {
    /// An event that this version knows.
    Event(Recorded),
    /// An event of a type that this version does not know: to be counted and skipped.
    UnknownType {
        /// Its `ce_type`.
        event_type: String,
    },
}

/// An event, and where and when the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The event, decoded.
    pub event: Event,
    /// Where it was read.
    pub place: RecordPosition,
    /// The record's timestamp.
    pub time: EventTime,
}

/// Why a record is no event. Reading it again gives the same.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record has no value.
    #[error("{place}: the record has no value")]
    NoValue {
        /// Where it was read.
        place: RecordPosition,
    },
    /// The value is no JSON.
    #[error("{place}: the value is no JSON")]
    Json {
        /// Where it was read.
        place: RecordPosition,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The value is JSON, but no object.
    #[error("{place}: the value is no JSON object")]
    NoObject {
        /// Where it was read.
        place: RecordPosition,
    },
    /// A name that an event cannot do without is missing.
    #[error("{place}: {field} is missing")]
    Missing {
        /// Where it was read.
        place: RecordPosition,
        /// The key in the value.
        field: &'static str,
    },
    /// A name is none.
    #[error("{place}: {field} is no name")]
    Name {
        /// Where it was read.
        place: RecordPosition,
        /// The key in the value.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// The record says of no event what it is, in a topic of several.
    #[error("{place}: {} is missing", header::TYPE)]
    NoType {
        /// Where it was read.
        place: RecordPosition,
    },
    /// An event stands in another event's topic, where its place would say nothing about its order.
    #[error("{place}: a {event_type} does not belong there")]
    WrongTopic {
        /// Where it was read.
        place: RecordPosition,
        /// Its `ce_type`.
        event_type: &'static str,
    },
}

/// Reads a record. What can be degraded is, with a warning in the event; [`DecodeError`] is left for what cannot be
/// attributed to a line and a house.
///
/// # Errors
/// [`DecodeError`]: the record belongs to the dead letters.
pub fn decode(record: &RecordView<'_>) -> Result<Decoded, DecodeError> {
    let place = record.place;
    let written = record.header(header::TYPE);
    let kind = match written.as_deref() {
        Some(event_type) => EventKind::of_type(event_type),
        // The original system wrote no headers: the topic says what it is.
        None => Some(EventKind::of_topic(place)?),
    };
    let Some(kind) = kind else {
        return Ok(Decoded::UnknownType {
            event_type: written.unwrap_or_default().into_owned(),
        });
    };
    if kind.topic() != place.topic {
        let event_type = kind.event_type();
        return Err(DecodeError::WrongTopic { place, event_type });
    }
    let body = Body::read(record)?;
    let event = match kind {
        EventKind::Raised => Event::Raised(body.into_alert()?),
        EventKind::Accepted => Event::Accepted(body.into_accept()?),
        EventKind::Life { name, .. } => Event::Life(Arc::new(body.into_life(name)?)),
    };
    Ok(Decoded::Event(Recorded {
        event,
        place,
        time: record.time,
    }))
}

/// What a record says that it is.
enum EventKind {
    Raised,
    Accepted,
    Life {
        name: &'static str,
        event_type: &'static str,
    },
}

impl EventKind {
    fn of_type(event_type: &str) -> Option<Self> {
        match event_type {
            ALERT_RAISED => Some(Self::Raised),
            ALERT_ACCEPTED => Some(Self::Accepted),
            other => {
                let (name, event_type) = LifeKind::TYPES
                    .into_iter()
                    .find(|(_, known)| *known == other)?;
                Some(Self::Life { name, event_type })
            }
        }
    }

    fn of_topic(place: RecordPosition) -> Result<Self, DecodeError> {
        match place.topic {
            Topic::Alert => Ok(Self::Raised),
            Topic::Accept => Ok(Self::Accepted),
            Topic::Life => Err(DecodeError::NoType { place }),
        }
    }

    fn topic(&self) -> Topic {
        match self {
            Self::Raised => Topic::Alert,
            Self::Accepted => Topic::Accept,
            Self::Life { .. } => Topic::Life,
        }
    }

    fn event_type(&self) -> &'static str {
        match self {
            Self::Raised => ALERT_RAISED,
            Self::Accepted => ALERT_ACCEPTED,
            Self::Life { event_type, .. } => event_type,
        }
    }
}

impl RecordView<'_> {
    /// The first header of that name, as text.
    fn header(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(candidate, _)| *candidate == name)?;
        Some(String::from_utf8_lossy(value))
    }
}

/// The value and headers of one record on their way to becoming an event.
struct Body<'a> {
    record: &'a RecordView<'a>,
    object: Map<String, Value>,
    warnings: Vec<Warning>,
}

impl<'a> Body<'a> {
    fn read(record: &'a RecordView<'a>) -> Result<Self, DecodeError> {
        let place = record.place;
        let bytes = record.value.ok_or(DecodeError::NoValue { place })?;
        let parsed = json::parse(bytes).map_err(|source| DecodeError::Json { place, source })?;
        let Value::Object(object) = parsed.value else {
            return Err(DecodeError::NoObject { place });
        };
        let mut body = Self {
            record,
            warnings: written_warnings(&object),
            object,
        };
        if parsed.repaired {
            body.warn(Warning::CharacterReplaced);
        }
        Ok(body)
    }

    fn into_alert(mut self) -> Result<AlertRaised, DecodeError> {
        let line = self.name("line", Line::even_reserved)?;
        let house = self.name("house", House::even_reserved)?;
        let text = self.text();
        let position = self.position();
        let (id, at, status) = (self.id(), self.at(), self.status());
        Ok(AlertRaised {
            id,
            line,
            house,
            text,
            position,
            at,
            status,
            warnings: self.warnings,
        })
    }

    fn into_accept(mut self) -> Result<AlertAccepted, DecodeError> {
        let line = self.name("line", Line::even_reserved)?;
        let responder = self.name("accept", House::even_reserved)?;
        let target = self.name("target", House::even_reserved)?;
        let alert_id = self.alert_id();
        let seen = read_seen(&self.object);
        let (id, at, status) = (self.id(), self.at(), self.status());
        Ok(AlertAccepted {
            id,
            line,
            responder,
            target,
            alert_id,
            at,
            seen,
            status,
            warnings: self.warnings,
        })
    }

    fn into_life(mut self, name: &'static str) -> Result<LifeEvent, DecodeError> {
        let line = self.name("line", Line::even_reserved)?;
        let house = self.name("house", House::even_reserved)?;
        let place = self.record.place;
        let field = "alertId";
        let alert_id = self
            .string(field)
            .and_then(|id| id.parse().ok())
            .ok_or(DecodeError::Missing { place, field })?;
        let role = self.role();
        let seen = read_seen(&self.object);
        let note = read_note(&self.object, &mut self.warnings);
        let kind = LifeKind::read(name, &self.object, &mut self.warnings)
            .expect("the name is one of LifeKind's");
        let (id, at, status) = (self.id(), self.at(), self.status());
        Ok(LifeEvent {
            id,
            line,
            house,
            alert_id,
            at,
            role,
            seen,
            note,
            kind,
            status,
            warnings: self.warnings,
        })
    }

    /// A role that is not known, or not said, may what every house may.
    fn role(&mut self) -> Role {
        let role = self.string("role").and_then(Role::from_name);
        if role.is_none() {
            self.warn(Warning::WordUnknown);
        }
        role.unwrap_or(Role::UNKNOWN)
    }

    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn name<N>(
        &self,
        field: &'static str,
        read: impl Fn(&str) -> Result<N, NameError>,
    ) -> Result<N, DecodeError> {
        let place = self.record.place;
        let raw = self
            .object
            .get(field)
            .and_then(scalar_text)
            .ok_or(DecodeError::Missing { place, field })?;
        read(&raw).map_err(|source| DecodeError::Name {
            place,
            field,
            source,
        })
    }

    fn text(&mut self) -> Text {
        let raw = match self.object.get("text") {
            None | Some(Value::Null) => String::new(),
            Some(said) => match scalar_text(said) {
                Some(text) => text.into_owned(),
                None => {
                    self.warn(Warning::TextDropped);
                    String::new()
                }
            },
        };
        let (text, cut) = Text::new(&raw);
        if let Some(cut) = cut {
            self.warn(cut);
        }
        text
    }

    fn position(&mut self) -> Option<Position> {
        let mut warnings = Vec::new();
        let position = Position::read(&self.object, &mut warnings);
        for warning in warnings {
            self.warn(warning);
        }
        position
    }

    /// The header first, then the value's own. An id that is none is as good as no id: the place names the event.
    fn id(&self) -> EventId {
        let written = self
            .record
            .header(header::ID)
            .and_then(|id| id.parse().ok());
        let id = written.or_else(|| self.string("id")?.parse().ok());
        id.unwrap_or(EventId::Record(self.record.place))
    }

    /// The event's own time, unless it is more than a day after its record's.
    fn at(&self) -> EventTime {
        let written = self
            .record
            .header(header::TIME)
            .and_then(|time| time.parse().ok());
        let at = written.or_else(|| self.string("at")?.parse().ok());
        let recorded = self.record.time;
        // Nobody writes down today what happens in ten years: such an alert would be live for as long.
        let is_after_its_record =
            |at: &EventTime| EventTime::MIN < recorded && recorded.plus(LIVE_FOR) < *at;
        at.filter(|at| !is_after_its_record(at)).unwrap_or(recorded)
    }

    /// An unknown status counts as real: better an alarm too many.
    fn status(&mut self) -> Status {
        let written = self
            .record
            .header(header::STATUS)
            .map(|status| status.into_owned());
        let Some(said) = written.or_else(|| self.string("status").map(str::to_owned)) else {
            return Status::Actual;
        };
        let status = Status::from_name(&said);
        if status.is_none() {
            self.warn(Warning::StatusUnknown);
        }
        status.unwrap_or_default()
    }

    fn alert_id(&mut self) -> Option<EventId> {
        let said = self
            .object
            .get("alertId")
            .filter(|said| !said.is_null() && *said != "")?;
        let alert_id = said.as_str().and_then(|text| text.parse().ok());
        if alert_id.is_none() {
            self.warn(Warning::AlertIdDropped);
        }
        alert_id
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.object.get(name)?.as_str()
    }
}

fn written_warnings(object: &Map<String, Value>) -> Vec<Warning> {
    let codes = object
        .get("warnings")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut warnings = Vec::new();
    for warning in codes
        .split_ascii_whitespace()
        .filter_map(|code| code.parse().ok())
    {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
