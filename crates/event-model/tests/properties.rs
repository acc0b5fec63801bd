//! What holds for every name, text, event and sequence of bytes.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::sync::Arc;

use event_model::{
    AlertAccepted, AlertRaised, CloseReason, Correction, Decoded, Escalation, Event, EventId,
    EventTime, House, LifeEvent, LifeKind, Line, PARTITIONS, Point, Position, RecordPosition,
    RecordView, Recorded, Resolution, Role, Seen, SpringTypes, Status, Text, Topic, Track, Warning,
    WithdrawReason, decode, encode, header, json, partition_for,
};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

/// Names as people give them, and a good part of what they should not.
fn any_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,4}",
        4 => "[가-힣]{1,4}",
        2 => "[A-Za-z]{1,4}",
        1 => "[ \u{3000}\u{a0}\t]{1,2}",
        1 => "[\u{ff01}-\u{ff5e}]{1,3}",
        1 => "[\u{ff65}-\u{ff9f}\u{ffa1}-\u{ffdc}]{1,3}",
        1 => "[\u{1100}-\u{11ff}]{1,3}",
        1 => "[א-תا-ي٠-٩]{1,3}",
        1 => "[\u{300}-\u{36f}]{1,2}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = Line> {
    any_name().prop_filter_map("a name", |raw| Line::new(&raw).ok())
}

fn house() -> impl Strategy<Value = House> {
    any_name().prop_filter_map("a name", |raw| House::new(&raw).ok())
}

fn full_width(name: &str) -> String {
    let widen = |character: char| match character {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xfee0).unwrap(),
        other => other,
    };
    name.chars().map(widen).collect()
}

/// Controls, zero-width characters, and those that only turn the direction of writing.
fn cannot_be_seen(character: char) -> bool {
    let invisible = [
        '\u{200b}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
    ];
    character.is_control() || invisible.iter().any(|range| range.contains(&character))
}

fn time() -> impl Strategy<Value = EventTime> {
    (0..=EventTime::MAX.as_millis()).prop_map(EventTime::from_millis)
}

fn place(topic: Topic) -> impl Strategy<Value = RecordPosition> {
    (any::<u32>(), any::<u64>()).prop_map(move |(partition, offset)| RecordPosition {
        topic,
        partition,
        offset,
    })
}

fn id() -> impl Strategy<Value = EventId> {
    prop_oneof![
        3 => (time(), any::<[u8; 10]>()).prop_map(|(at, random)| EventId::new(at, random)),
        1 => place(Topic::Alert).prop_map(EventId::Record),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Actual),
        Just(Status::Exercise),
        Just(Status::Test)
    ]
}

fn warnings() -> impl Strategy<Value = Vec<Warning>> {
    prop::sample::subsequence(Warning::ALL.to_vec(), 0..4)
}

fn position() -> impl Strategy<Value = Option<Position>> {
    let coordinates = (-90.0..=90.0f64, -180.0..=180.0f64);
    let more = (
        prop::option::of(0.0..1e6f64),
        prop::option::of("[A-Z가-힣0-9]{1,16}"),
        prop::option::of(time()),
    );
    let position = (coordinates, more).prop_map(|((lat, lng), (accuracy, floor, located_at))| {
        let object = serde_json::json!({
            "lat": lat, "lng": lng, "accuracy": accuracy, "floor": floor,
            "locatedAt": located_at.map(|time| time.to_string()),
        });
        let mut warnings = Vec::new();
        let position = Position::read(object.as_object().unwrap(), &mut warnings);
        assert_eq!(warnings, []);
        position.unwrap()
    });
    prop::option::of(position)
}

fn alert() -> impl Strategy<Value = Event> {
    let said = (
        any::<String>().prop_map(|raw| Text::new(&raw).0),
        position(),
        warnings(),
    );
    (id(), line(), house(), said, time(), status()).prop_map(
        |(id, line, house, (text, position, warnings), at, status)| {
            Event::Raised(AlertRaised {
                id,
                line,
                house,
                text,
                position,
                at,
                status,
                warnings,
            })
        },
    )
}

fn accept() -> impl Strategy<Value = Event> {
    let houses = (house(), house(), prop::option::of(id()));
    (id(), line(), houses, time(), seen(), status(), warnings()).prop_map(
        |(id, line, (responder, target, alert_id), at, seen, status, warnings)| {
            Event::Accepted(AlertAccepted {
                id,
                line,
                responder,
                target,
                alert_id,
                at,
                seen,
                status,
                warnings,
            })
        },
    )
}

fn seen() -> impl Strategy<Value = Option<Seen>> {
    let offset = 0..i64::MAX as u64;
    prop::option::of(prop_oneof![
        Just(Seen::NOTHING),
        offset.prop_map(Seen::up_to)
    ])
}

/// What is not said is no text.
fn words() -> impl Strategy<Value = Option<Text>> {
    let text = any::<String>().prop_map(|raw| Text::new(&raw).0);
    prop::option::of(text).prop_map(|text| text.filter(|text| !text.as_str().is_empty()))
}

fn correction() -> impl Strategy<Value = LifeKind> {
    (words(), position(), any::<[bool; 3]>()).prop_map(|(text, position, kept)| {
        let position = position.as_ref();
        let [has_point, has_accuracy, has_floor] = kept;
        LifeKind::Corrected(Correction {
            text,
            point: position.filter(|_| has_point).map(|position| Point {
                lat: position.lat.clone(),
                lng: position.lng.clone(),
            }),
            accuracy: position
                .filter(|_| has_accuracy)
                .and_then(|position| position.accuracy.clone()),
            floor: position
                .filter(|_| has_floor)
                .and_then(|position| position.floor.clone()),
        })
    })
}

fn escalation() -> impl Strategy<Value = LifeKind> {
    let step = (any::<u64>(), any::<u32>(), any::<bool>());
    let track = prop::sample::select(Track::ALL);
    let texts = (words(), words());
    (
        prop::option::of(id()),
        track,
        step,
        prop::option::of(time()),
        texts,
    )
        .prop_map(
            |(cycle, track, (step_ms, turn, late), due, (does, policy))| {
                LifeKind::Escalated(Escalation {
                    cycle,
                    track,
                    step_ms,
                    turn,
                    due,
                    does,
                    late,
                    policy,
                })
            },
        )
}

fn life_kind() -> impl Strategy<Value = LifeKind> {
    let ids = prop::collection::btree_set(id(), 0..4);
    let withdrawn = (prop::sample::select(WithdrawReason::ALL), ids);
    prop_oneof![
        Just(LifeKind::Cancelled),
        prop::sample::select(Resolution::ALL).prop_map(|how| LifeKind::Resolved { how }),
        prop::sample::select(CloseReason::ALL).prop_map(|reason| LifeKind::Closed { reason }),
        Just(LifeKind::Reopened),
        correction(),
        withdrawn.prop_map(|(why, ids)| LifeKind::Withdrawn {
            why,
            accept_ids: ids.into_iter().collect()
        }),
        prop::option::of(id()).prop_map(|accept_id| LifeKind::Departed { accept_id }),
        prop::option::of(id()).prop_map(|accept_id| LifeKind::Arrived { accept_id }),
        escalation(),
    ]
}

fn life() -> impl Strategy<Value = Event> {
    let who = (house(), prop::sample::select(Role::ALL), seen());
    let said = (words(), life_kind(), warnings());
    (id(), line(), who, id(), said, time(), status()).prop_map(
        |(id, line, (house, role, seen), alert_id, (note, kind, warnings), at, status)| {
            Event::Life(Arc::new(LifeEvent {
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
                warnings,
            }))
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![alert(), accept(), life()]
}

fn spring_types() -> impl Strategy<Value = SpringTypes> {
    prop_oneof![Just(SpringTypes::Written), Just(SpringTypes::Omitted)]
}

fn read_back(event: &Event, spring_types: SpringTypes) -> Recorded {
    let record = encode(
        event,
        spring_types,
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    );
    let headers: Vec<(&str, &[u8])> = record
        .headers
        .iter()
        .map(|(name, value)| (*name, &value[..]))
        .collect();
    let place = RecordPosition {
        topic: record.topic,
        partition: 0,
        offset: 0,
    };
    let view = RecordView {
        place,
        time: record.timestamp,
        headers: &headers,
        value: Some(&record.value),
    };
    match decode(&view).unwrap() {
        Decoded::Event(recorded) => recorded,
        Decoded::UnknownType { event_type } => panic!("{event_type}"),
    }
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(raw in any_name()) {
        if let Ok(line) = Line::even_reserved(&raw) {
            prop_assert_eq!(Line::even_reserved(line.as_str()), Ok(line));
        }
        if let Ok(house) = House::even_reserved(&raw) {
            prop_assert_eq!(House::even_reserved(house.as_str()), Ok(house));
        }
        let (text, _) = Text::new(&raw);
        prop_assert_eq!(Text::new(text.as_str()), (text, None));
    }

    #[test]
    fn every_spelling_of_a_name_reaches_one_partition(line in line()) {
        let plain = line.as_str();
        let decomposed: String = plain.nfd().collect();
        let spellings = [decomposed.clone(), full_width(plain), full_width(&decomposed), format!("\u{3000}{plain} \n")];
        for spelling in spellings {
            let same = Line::new(&spelling);
            prop_assert_eq!(same.as_ref(), Ok(&line), "{:?}", spelling);
            prop_assert_eq!(partition_for(&same.unwrap(), PARTITIONS), partition_for(&line, PARTITIONS));
        }
    }

    #[test]
    fn a_name_holds_nothing_that_cannot_be_seen(line in line()) {
        let refused = line.as_str().chars().find(|character| cannot_be_seen(*character) || *character == '/');
        prop_assert_eq!(refused, None);
        prop_assert!(line.as_str().chars().count() <= Line::CHARACTERS_MAX);
        prop_assert!(line.as_str().len() <= Line::BYTES_MAX);
    }

    #[test]
    fn a_text_keeps_its_limits_and_no_controls(raw in any::<String>()) {
        let (text, _) = Text::new(&raw.repeat(20));
        prop_assert!(text.as_str().chars().count() <= Text::CHARACTERS_MAX);
        let control = text.as_str().chars().find(|character| character.is_control() && !matches!(character, '\n' | '\t'));
        prop_assert_eq!(control, None);
    }

    #[test]
    fn what_is_written_is_read_back(event in event(), spring_types in spring_types()) {
        let recorded = read_back(&event, spring_types);
        prop_assert_eq!(recorded.event, event);
    }

    #[test]
    fn the_value_alone_says_what_the_headers_say(event in event()) {
        let record = encode(&event, SpringTypes::Omitted, None);
        let place = RecordPosition { topic: record.topic, partition: 0, offset: 0 };
        // Of the life events the header alone says which it is.
        let mut headers = record.headers.iter().map(|(name, value)| (*name, &value[..])).collect::<Vec<_>>();
        headers.retain(|(name, _)| *name == header::TYPE && record.topic == Topic::Life);
        let bare = RecordView { place, time: EventTime::MIN, headers: &headers, value: Some(&record.value) };
        let decoded = decode(&bare).unwrap();
        prop_assert_eq!(decoded, Decoded::Event(Recorded { event, place, time: EventTime::MIN }));
    }

    #[test]
    fn the_original_keys_come_first_and_every_value_is_a_text(event in event()) {
        let value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&encode(&event, SpringTypes::Written, None).value).unwrap();
        let original: &[&str] = match event {
            Event::Raised(_) => &["line", "house", "text", "lat", "lng"],
            Event::Accepted(_) => &["line", "accept", "target"],
            Event::Life(_) => &["line", "house", "alertId", "role"],
        };
        let keys: Vec<&str> = value.keys().map(String::as_str).take(original.len()).collect();
        prop_assert_eq!(keys, original);
        prop_assert!(value.values().all(serde_json::Value::is_string));
    }

    #[test]
    fn no_record_panics(
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        name in prop_oneof![Just(header::ID), Just(header::TIME), Just(header::TYPE), Just(header::STATUS)],
        header in prop::collection::vec(any::<u8>(), 0..40),
        topic in prop_oneof![Just(Topic::Alert), Just(Topic::Accept), Just(Topic::Life)],
        time in any::<i64>(),
    ) {
        let headers = [(name, &header[..]), (header::TYPE, b"alert.withdrawn.v1")];
        let place = RecordPosition { topic, partition: u32::MAX, offset: u64::MAX };
        let view = RecordView { place, time: EventTime::from_millis(time), headers: &headers, value: value.as_deref() };
        drop(decode(&view));
    }

    #[test]
    fn no_damaged_record_panics(event in event(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut value = encode(&event, SpringTypes::Omitted, None).value;
        let position = flip.index(value.len());
        value[position] ^= 1 << bit;
        value.truncate(cut.index(value.len()) + 1);
        let place = RecordPosition { topic: event.topic(), partition: 0, offset: 0 };
        let headers = match &event {
            Event::Life(event) => vec![(header::TYPE, event.kind.event_type().as_bytes())],
            _ => vec![],
        };
        drop(decode(&RecordView { place, time: EventTime::MIN, headers: &headers, value: Some(&value) }));
        drop(json::parse(&value));
    }

    #[test]
    fn an_id_and_a_time_are_read_back(id in id(), time in time()) {
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}

#[test]
fn an_unknown_type_is_a_value_and_no_error() {
    let headers: [(&str, &[u8]); 1] = [(header::TYPE, b"alert.unheard-of.v1")];
    let place = RecordPosition {
        topic: Topic::Alert,
        partition: 0,
        offset: 0,
    };
    let view = RecordView {
        place,
        time: EventTime::MIN,
        headers: &headers,
        value: Some(b"\x00"),
    };
    let event_type = "alert.unheard-of.v1".to_owned();
    assert_eq!(decode(&view).unwrap(), Decoded::UnknownType { event_type });
}
