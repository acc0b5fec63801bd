//! Records of `an-life`: what they look like, and what is made of those that are not as they should be.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::sync::Arc;

use event_model::{
    ACCEPT_IDS_MAX, CloseReason, Decoded, Escalation, Event, EventId, EventTime, House, LifeEvent,
    LifeKind, Line, RecordPosition, RecordView, Resolution, Role, Seen, SpringTypes, Status, Text,
    Topic, Track, Warning, WithdrawReason, decode, encode, header,
};
use serde_json::{Value, json};

const ALERT: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
const ACCEPT: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c073990";

fn read_at(topic: Topic, event_type: Option<&str>, value: &Value) -> Result<Decoded, String> {
    let value = value.to_string();
    let headers: Vec<(&str, &[u8])> = event_type
        .map(|event_type| (header::TYPE, event_type.as_bytes()))
        .into_iter()
        .collect();
    let place = RecordPosition {
        topic,
        partition: 1,
        offset: 7,
    };
    let view = RecordView {
        place,
        time: EventTime::MIN,
        headers: &headers,
        value: Some(value.as_bytes()),
    };
    decode(&view).map_err(|error| error.to_string())
}

/// A life event of a type, whose value says this beside what all have.
fn read(event_type: &str, more: Value) -> Arc<LifeEvent> {
    let mut value = json!({"line": "demo", "house": "101", "alertId": ALERT, "role": "resident"});
    let object = value.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    let decoded = read_at(Topic::Life, Some(event_type), &value).unwrap();
    match decoded {
        Decoded::Event(recorded) => match recorded.event {
            Event::Life(event) => event,
            other => panic!("{other:?}"),
        },
        unknown => panic!("{unknown:?}"),
    }
}

fn escalated() -> Event {
    let at: EventTime = "2026-11-20T06:00:20Z".parse().unwrap();
    Event::Life(Arc::new(LifeEvent {
        id: ACCEPT.parse().unwrap(),
        line: Line::new("demo").unwrap(),
        house: House::even_reserved(LifeEvent::NOTIFIER).unwrap(),
        alert_id: ALERT.parse().unwrap(),
        at,
        role: Role::System,
        seen: Some(Seen::NOTHING),
        note: None,
        kind: LifeKind::Escalated(Escalation {
            cycle: Some(ALERT.parse().unwrap()),
            track: Track::Unanswered,
            step_ms: 20_000,
            turn: 0,
            due: Some(at),
            does: Some(Text::new("ring").0),
            late: false,
            policy: None,
        }),
        status: Status::Actual,
        warnings: vec![],
    }))
}

#[test]
fn a_life_event_is_a_record_like_those_of_the_calls() {
    let record = encode(&escalated(), SpringTypes::Written, None);

    assert_eq!(record.topic.name(), "an-life");
    assert_eq!(record.key, b"demo");
    let text = String::from_utf8(record.value).unwrap();
    let expected = concat!(
        r#"{"line":"demo","house":"__mayday","alertId":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","role":"system","seen":"-1","#,
        r#""cycle":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","track":"unanswered","step":"20000","turn":"0","#,
        r#""due":"2026-11-20T06:00:20.000Z","does":"ring","late":"false","#,
        r#""id":"017f22e2-79b0-7cc3-98c4-dc0c0c073990","at":"2026-11-20T06:00:20.000Z"}"#
    );
    assert_eq!(text, expected);
    let header = |wanted: &str| {
        let found = record.headers.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
    };
    assert_eq!(header(header::TYPE).unwrap(), "alert.escalated.v1");
    assert_eq!(header(header::SOURCE).unwrap(), "/notifier");
    assert_eq!(header(header::SUBJECT).unwrap(), "demo/__mayday");
    assert_eq!(header("__TypeId__").unwrap(), "java.util.HashMap");
}

#[test]
fn each_kind_has_a_verb_but_the_notifiers() {
    let verbs = [
        "cancel", "resolve", "close", "reopen", "correct", "withdraw", "depart", "arrive",
    ];
    let of_verbs: Vec<&str> = verbs
        .iter()
        .map(|verb| LifeKind::name_of_verb(verb).unwrap())
        .collect();
    let names = LifeKind::TYPES.map(|(name, _)| name);
    assert_eq!(of_verbs, names[..8]);
    assert_eq!(LifeKind::name_of_verb("escalate"), None);
    for (name, event_type) in LifeKind::TYPES {
        assert_eq!(read(event_type, json!({})).kind.name(), name);
        assert_eq!(read(event_type, json!({})).kind.event_type(), event_type);
    }
}

#[test]
fn a_word_that_is_not_known_says_least_and_a_word_that_is_missing_is_no_mistake() {
    let unknown = vec![Warning::WordUnknown];
    let resolved = read("alert.resolved.v1", json!({"how": "magic"}));
    assert_eq!(
        resolved.kind,
        LifeKind::Resolved {
            how: Resolution::Other
        }
    );
    assert_eq!(resolved.warnings, unknown);
    let closed = read("alert.closed.v1", json!({"reason": 7}));
    assert_eq!(
        closed.kind,
        LifeKind::Closed {
            reason: CloseReason::Other
        }
    );
    assert_eq!(closed.warnings, unknown);
    let withdrawn = read("alert.withdrawn.v1", json!({"why": "Undo"}));
    let cannot = LifeKind::Withdrawn {
        why: WithdrawReason::Cannot,
        accept_ids: vec![],
    };
    assert_eq!((&withdrawn.kind, &withdrawn.warnings), (&cannot, &unknown));
    let withdrawn = read("alert.withdrawn.v1", json!({}));
    assert_eq!((&withdrawn.kind, &withdrawn.warnings), (&cannot, &vec![]));
}

#[test]
fn a_role_that_is_not_known_may_what_every_house_may() {
    assert_eq!(
        read("alert.closed.v1", json!({"role": "guard"})).role,
        Role::Guard
    );
    for role in [json!("king"), json!(null), json!(["guard"])] {
        let event = read("alert.closed.v1", json!({"role": role}));
        assert_eq!(
            (event.role, &event.warnings[..]),
            (Role::Resident, &[Warning::WordUnknown][..])
        );
    }
}

#[test]
fn an_accept_that_is_named_by_no_id_is_left_out() {
    let ids = |said: Value| {
        let event = read("alert.withdrawn.v1", json!({"acceptIds": said}));
        let LifeKind::Withdrawn { accept_ids, .. } = &event.kind else {
            panic!("a withdrawal")
        };
        let ids: Vec<String> = accept_ids.iter().map(EventId::to_string).collect();
        (ids, event.warnings.clone())
    };
    let dropped = vec![Warning::AcceptIdDropped];
    let two = format!("{ACCEPT}  an-accept-1-7 {ACCEPT}");
    assert_eq!(
        ids(json!(two)),
        (vec![ACCEPT.to_owned(), "an-accept-1-7".to_owned()], vec![])
    );
    assert_eq!(
        ids(json!(format!("nine {ACCEPT}"))),
        (vec![ACCEPT.to_owned()], dropped.clone())
    );
    assert_eq!(ids(json!([ACCEPT])), (vec![], dropped.clone()));
    assert_eq!(ids(json!("")), (vec![], vec![]));
    let place = |offset: usize| format!("an-accept-1-{offset}");
    let most: Vec<String> = (0..ACCEPT_IDS_MAX).map(place).collect();
    assert_eq!(ids(json!(most.join(" "))), (most.clone(), vec![]));
    let too_many = format!("{} {ACCEPT}", most.join(" "));
    assert_eq!(ids(json!(too_many)), (vec![], dropped.clone()));

    let arrived = read("alert.arrived.v1", json!({"acceptId": "nine"}));
    assert_eq!(arrived.kind, LifeKind::Arrived { accept_id: None });
    assert_eq!(arrived.warnings, dropped);
}

#[test]
fn what_was_seen_is_missing_where_it_cannot_be_read() {
    let seen = |said: Value| read("alert.cancelled.v1", json!({"seen": said})).seen;
    assert_eq!(seen(json!("41")), Some(Seen::up_to(41)));
    assert_eq!(seen(json!(-1)), Some(Seen::NOTHING));
    for said in [
        json!("all"),
        json!(null),
        json!(1.5),
        json!("99999999999999999999"),
    ] {
        assert_eq!(seen(said.clone()), None, "{said}");
    }
}

#[test]
fn each_key_of_a_correction_is_read_by_itself() {
    let event = read(
        "alert.corrected.v1",
        json!({"text": "x".repeat(501), "lat": "91", "lng": "127", "accuracy": 12, "floor": "B1", "note": {}}),
    );
    let LifeKind::Corrected(correction) = &event.kind else {
        panic!("a correction")
    };
    assert_eq!(correction.text.as_ref().unwrap().as_str().len(), 500);
    assert_eq!(correction.point, None);
    assert_eq!(correction.accuracy.as_ref().unwrap().as_str(), "12");
    assert_eq!(correction.floor.as_deref(), Some("B1"));
    assert_eq!(event.note, None);
    let warnings = [
        Warning::TextDropped,
        Warning::TextCut,
        Warning::PositionDropped,
    ];
    assert_eq!(event.warnings, warnings);
}

#[test]
fn a_life_event_counts_in_no_other_topic_and_nothing_counts_in_theirs_that_says_not_what_it_is() {
    let value = json!({"line": "demo", "house": "101", "accept": "102", "target": "101", "alertId": ALERT, "role": "resident"});
    for (_, event_type) in LifeKind::TYPES {
        for topic in Topic::ALL {
            let error = read_at(topic, Some(event_type), &value).unwrap_err();
            assert_eq!(
                error,
                format!("{topic}-1-7: a {event_type} does not belong there")
            );
        }
    }
    for event_type in ["alert.raised.v1", "alert.accepted.v1"] {
        let error = read_at(Topic::Life, Some(event_type), &value).unwrap_err();
        assert_eq!(
            error,
            format!("an-life-1-7: a {event_type} does not belong there")
        );
    }
    let error = read_at(Topic::Life, None, &value).unwrap_err();
    assert_eq!(error, "an-life-1-7: ce_type is missing");
    let event_type = "alert.relayed.v1".to_owned();
    let unknown = read_at(Topic::Life, Some(&event_type), &value).unwrap();
    assert_eq!(unknown, Decoded::UnknownType { event_type });
}

#[test]
fn a_life_event_without_an_alert_is_a_dead_letter() {
    for alert_id in [json!(null), json!("nine"), json!(7)] {
        let value =
            json!({"line": "demo", "house": "101", "alertId": alert_id, "role": "resident"});
        let error = read_at(Topic::Life, Some("alert.cancelled.v1"), &value).unwrap_err();
        assert_eq!(error, "an-life-1-7: alertId is missing", "{value}");
    }
}

#[test]
fn a_retry_has_the_id_of_the_first_try_and_another_request_another() {
    let scope = event_model::IdempotencyScope {
        issuer: "iss",
        subject: "kim",
        path: "/alerts",
        key: "0123456789abcdef",
    };
    let id = |event_type: &str, more: Value| read(event_type, more).idempotent_id(&scope);
    let withdrawn = "alert.withdrawn.v1";
    let first = id(withdrawn, json!({"why": "left", "acceptIds": ACCEPT}));
    let retry =
        json!({"why": "left", "acceptIds": ACCEPT, "seen": "41", "at": "2026-11-20T06:00:20Z"});
    assert_eq!(id(withdrawn, retry), first);
    let others = [
        id(withdrawn, json!({"why": "cannot", "acceptIds": ACCEPT})),
        id(withdrawn, json!({"why": "left"})),
        id(
            withdrawn,
            json!({"why": "left", "acceptIds": ACCEPT, "note": "sorry"}),
        ),
        id("alert.cancelled.v1", json!({})),
        id("alert.reopened.v1", json!({})),
    ];
    assert!(others.iter().all(|other| *other != first));
    assert_ne!(others[3], others[4]);
    let corrected = "alert.corrected.v1";
    let moved = json!({"text": "fire", "lat": "37", "lng": "127"});
    assert_eq!(id(corrected, json!({"text": "fire"})), id(corrected, moved));
}

#[test]
fn the_contract_names_every_life_event_and_every_word() {
    let contracts = include_str!("../../../docs/contracts.md");
    let (_, section) = contracts.split_once("**The life of a call.**").unwrap();
    let (section, _) = section.split_once("**Dead letters.**").unwrap();
    let named = [
        LifeKind::TYPES.map(|(_, event_type)| event_type).to_vec(),
        Role::ALL
            .iter()
            .map(|word| word.as_str())
            .collect::<Vec<_>>(),
        Resolution::ALL.iter().map(|word| word.as_str()).collect(),
        CloseReason::ALL.iter().map(|word| word.as_str()).collect(),
        WithdrawReason::ALL
            .iter()
            .map(|word| word.as_str())
            .collect(),
    ];
    for word in named.concat() {
        assert!(section.contains(&format!("`{word}`")), "{word}");
    }
}
