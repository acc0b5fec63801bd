//! The events of a call, from its alert and its accepts to its end, their encoding, and the fold that says what an alert's state is.
//!
//! Pure values: no I/O, no clock, no dice, and nothing here panics on what it is given.
//!
//! A call becomes a record, and a record becomes an event again:
//!
//! ```
//! use event_model::{AlertRaised, Decoded, Event, EventId, EventTime, House, Line, RecordPosition, RecordView, SpringTypes, Status, Text, Topic};
//!
//! let at: EventTime = "2026-11-20T06:00:00.000Z".parse()?;
//! let (text, cut) = Text::new("불이야! fire in the kitchen");
//! assert_eq!(cut, None);
//! let event = Event::Raised(AlertRaised {
//!     id: EventId::new(at, [7; 10]),
//!     line: Line::new("래미안 １단지")?,
//!     house: House::new("101동 1203호")?,
//!     text,
//!     position: None,
//!     at,
//!     status: Status::Actual,
//!     warnings: vec![],
//! });
//!
//! let record = event_model::encode(&event, SpringTypes::Written, None);
//! assert_eq!(record.key, "래미안 1단지".as_bytes());
//!
//! let headers: Vec<(&str, &[u8])> = record.headers.iter().map(|(name, value)| (*name, &value[..])).collect();
//! let place = RecordPosition { topic: Topic::Alert, partition: 1, offset: 42 };
//! let view = RecordView { place, time: record.timestamp, headers: &headers, value: Some(&record.value) };
//! let Decoded::Event(recorded) = event_model::decode(&view)? else { panic!() };
//! assert_eq!(recorded.event, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The events of a line add up to its state, in whatever order they are read:
//!
//! ```
//! # use event_model::{AlertAccepted, AlertRaised, Event, EventId, EventTime, House, Line, RecordPosition, Recorded, Status, Text, Topic};
//! use event_model::fold::{Fold, AcceptStatus};
//! # let at: EventTime = "2026-11-20T06:00:00.000Z".parse()?;
//! # let line = Line::new("demo")?;
//! # let (alert_id, accept_id) = (EventId::new(at, [1; 10]), EventId::new(at, [2; 10]));
//! # let alert = Recorded { event: Event::Raised(AlertRaised { id: alert_id, line: line.clone(), house: House::new("101")?, text: Text::new("help").0,
//! #     position: None, at, status: Status::Actual, warnings: vec![] }), place: RecordPosition { topic: Topic::Alert, partition: 0, offset: 0 }, time: at };
//! # let accept = Recorded { event: Event::Accepted(AlertAccepted { id: accept_id, line: line.clone(), responder: House::new("102")?,
//! #     target: House::new("101")?, alert_id: None, at, seen: None, status: Status::Actual, warnings: vec![] }), place: RecordPosition { topic: Topic::Accept, partition: 0, offset: 0 }, time: at };
//! let mut fold = Fold::new();
//! fold.add(&accept);
//! assert_eq!(fold.accept_status(&line, accept_id), AcceptStatus { alert_id: None, rank: None });
//! fold.add(&alert);
//! assert_eq!(fold.accept_status(&line, accept_id), AcceptStatus { alert_id: Some(alert_id), rank: Some(1) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! And so do those of a call's life, which end it, take an accept back, or open it again:
//!
//! ```
//! # use event_model::{AlertAccepted, AlertRaised, Event, EventId, EventTime, House, LifeEvent, LifeKind, Line, RecordPosition, Recorded, Role, Status, Text, Topic};
//! use event_model::fold::{Fold, Phase};
//! # let at: EventTime = "2026-11-20T06:00:00.000Z".parse()?;
//! # let line = Line::new("demo")?;
//! # let (alert_id, life_id) = (EventId::new(at, [1; 10]), EventId::new(at, [2; 10]));
//! # let alert = Recorded { event: Event::Raised(AlertRaised { id: alert_id, line: line.clone(), house: House::new("101")?, text: Text::new("help").0,
//! #     position: None, at, status: Status::Actual, warnings: vec![] }), place: RecordPosition { topic: Topic::Alert, partition: 0, offset: 0 }, time: at };
//! # let cancelled = Recorded { event: Event::Life(LifeEvent { id: life_id, line: line.clone(), house: House::new("101")?, alert_id, at, role: Role::Resident,
//! #     seen: None, note: None, kind: LifeKind::Cancelled, status: Status::Actual, warnings: vec![] }.into()),
//! #     place: RecordPosition { topic: Topic::Life, partition: 0, offset: 0 }, time: at };
//! let mut fold = Fold::new();
//! fold.add(&cancelled);
//! assert!(fold.call(&line, alert_id).is_none());
//! let applied = fold.apply(&alert);
//! assert_eq!(applied.now_counted, [life_id]);
//! let call = fold.call(&line, alert_id).expect("the alert is known");
//! assert_eq!((call.phase(at), call.coming()), (Phase::Cancelled, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod dead_letter;
mod event;
pub mod fold;
mod id;
pub mod json;
mod life;
mod name;
mod position;
pub mod push;
mod record;
mod text;
mod time;
mod topic;
mod warning;

pub use event::{AlertAccepted, AlertRaised, Event, Status};
pub use id::{EventId, EventIdError, IdempotencyScope, Tag, TagError};
pub use life::{
    ACCEPT_IDS_MAX, CloseReason, Correction, Escalation, LifeEvent, LifeKind, Point, Resolution,
    Role, Seen, SeenError, Track, WithdrawReason,
};
pub use name::{House, Line, NameError, RESERVED_PREFIX};
pub use position::{Decimal, Position};
pub use record::{
    ALERT_ACCEPTED, ALERT_RAISED, DecodeError, Decoded, EncodedRecord, RecordView, Recorded,
    SpringTypes, decode, encode, header,
};
pub use text::Text;
pub use time::{EventTime, TimeError};
pub use topic::{
    ACKS_MIN, ExpectedTopic, PARTITIONS, PlaceError, RETENTION_DEFAULT, RecordPosition, Topic,
    expected_topics, partition_for,
};
pub use warning::{Warning, WarningError};
