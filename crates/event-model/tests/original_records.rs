//! Records as the original system wrote them: no key, no headers, any partition. The files hold one record per line.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use event_model::fold::{AcceptStatus, Fold};
use event_model::{
    Decoded, Event, EventId, EventTime, Line, RecordPosition, RecordView, Recorded, Topic, Warning,
    decode,
};
use serde_json::Value;

fn records(topic: Topic, file: &str) -> Vec<Recorded> {
    file.lines()
        .map(|line| record(topic, &serde_json::from_str(line).unwrap()))
        .collect()
}

fn record(topic: Topic, written: &Value) -> Recorded {
    let place = RecordPosition {
        topic,
        partition: u32::try_from(written["partition"].as_u64().unwrap()).unwrap(),
        offset: written["offset"].as_u64().unwrap(),
    };
    let view = RecordView {
        place,
        time: EventTime::from_millis(written["timestamp"].as_i64().unwrap()),
        headers: &[],
        value: Some(written["value"].as_str().unwrap().as_bytes()),
    };
    match decode(&view).unwrap() {
        Decoded::Event(recorded) => recorded,
        Decoded::UnknownType { event_type } => panic!("{event_type}"),
    }
}

fn alerts() -> Vec<Recorded> {
    records(
        Topic::Alert,
        include_str!("fixtures/original-an-alert.jsonl"),
    )
}

fn accepts() -> Vec<Recorded> {
    records(
        Topic::Accept,
        include_str!("fixtures/original-an-accept.jsonl"),
    )
}

#[test]
fn an_alert_of_the_original_has_its_place_for_an_id_and_the_records_time() {
    let recorded = alerts().remove(0);
    let Event::Raised(alert) = recorded.event else {
        panic!("an alert")
    };
    assert_eq!(alert.id.to_string(), "an-alert-1-0");
    assert_eq!(alert.at.to_string(), "2024-05-01T00:00:00.000Z");
    assert_eq!(
        (alert.line.as_str(), alert.house.as_str()),
        ("래미안1단지", "101동 1203호")
    );
    assert_eq!(alert.text.as_str(), "불이 났어요");
    let position = alert.position.unwrap();
    assert_eq!(
        (position.lat.as_str(), position.lng.as_str()),
        ("37.5665", "126.9780")
    );
    assert_eq!(alert.warnings, []);
}

#[test]
fn full_width_names_and_numbers_for_texts_are_understood() {
    let houses: Vec<String> = alerts()
        .iter()
        .map(|recorded| recorded.event.house().to_string())
        .collect();
    assert_eq!(
        houses,
        [
            "101동 1203호",
            "101동 1203호",
            "101동 1203호",
            "102",
            "103동"
        ]
    );
    assert!(
        alerts()
            .iter()
            .all(|recorded| recorded.event.line().as_str() == "래미안1단지")
    );
}

#[test]
fn what_is_broken_in_an_alert_is_left_out_and_said() {
    let Event::Raised(alert) = alerts().remove(4).event else {
        panic!("an alert")
    };
    assert_eq!(alert.text.as_str(), "살려\u{fffd}주세요");
    assert_eq!(alert.position, None);
    assert_eq!(
        alert.warnings,
        [Warning::CharacterReplaced, Warning::PositionDropped]
    );
}

#[test]
fn an_accept_of_the_original_is_bound_to_the_newest_live_alert_of_its_target() {
    let line = Line::new("래미안1단지").unwrap();
    let mut fold = Fold::new();
    for recorded in accepts().iter().chain(&alerts()) {
        fold.add(recorded);
    }
    let accept_status = |id: &str| fold.accept_status(&line, id.parse().unwrap());
    let bound = |id: &str| AcceptStatus {
        alert_id: Some(id.parse::<EventId>().unwrap()),
        rank: Some(1),
    };
    assert_eq!(accept_status("an-accept-0-0"), bound("an-alert-0-0"));
    assert_eq!(accept_status("an-accept-1-0"), bound("an-alert-1-1"));
}

#[test]
fn what_cannot_be_attributed_is_a_typed_error_that_names_the_place() {
    for line in include_str!("fixtures/original-unreadable.jsonl").lines() {
        let written: Value = serde_json::from_str(line).unwrap();
        let topic = Topic::from_name(written["topic"].as_str().unwrap()).unwrap();
        let view = RecordView {
            place: RecordPosition {
                topic,
                partition: 0,
                offset: 7,
            },
            time: EventTime::MIN,
            headers: &[],
            value: written["value"].as_str().map(str::as_bytes),
        };
        assert_eq!(
            decode(&view).unwrap_err().to_string(),
            written["error"],
            "{line}"
        );
    }
}
