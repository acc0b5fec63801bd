//! From a real log to real sockets.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::time::Duration;

use event_model::SpringTypes;
use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer as _},
    groups::GroupMemberInfo,
    message::Headers,
    producer::Producer as _,
};

use support::{
    neighbour::Neighbour,
    test_gateway::{Log, TestGateway, config, event_now, operators_token, wait_until},
};

#[test]
fn an_alert_and_its_accepts_reach_every_neighbour_with_their_ranks() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbours = [
        gateway.neighbour("101", "1501"),
        gateway.neighbour("101", "1602"),
    ];
    let alert = log.alert("101", "1502", "불이야");
    let (first, second) = (
        log.accept("101", "1501", "1502"),
        log.accept("101", "1602", "1502"),
    );

    let place = log.happens(&alert);
    for neighbour in &mut neighbours {
        let (frame, body) = neighbour.message();
        assert_eq!(frame.headers.get("message-id"), Some(&*place.to_string()));
        assert_eq!(
            (&body["type"], &body["text"]),
            (&"alert".into(), &"불이야".into())
        );
    }
    log.happens(&first);
    log.happens(&second);

    for neighbour in &mut neighbours {
        for (rank, responder) in [(1, "1501"), (2, "1602")] {
            let (_, body) = neighbour.message();
            assert_eq!(
                (&body["rank"], &body["accept"]),
                (&rank.into(), &responder.into())
            );
            assert_eq!(body["alertId"], alert.id().to_string());
        }
    }
}

/// On a log that takes transactions on the calls' topics, as Apache Kafka does.
#[test]
fn an_open_transaction_of_another_client_keeps_no_call_from_being_heard() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");
    let another = log.writer_in_a_transaction();
    let first = event_model::encode(
        &log.alert("101", "1301", "not ended"),
        SpringTypes::Written,
        None,
    );
    log.write(&another, &first);

    log.happens(&log.alert("101", "1502", "help"));

    assert_eq!(neighbour.message().1["text"], "not ended");
    assert_eq!(neighbour.message().1["text"], "help");
}

/// What ends a transaction stands behind its last record, and no client is handed it.
#[test]
fn a_log_that_ends_in_a_transaction_of_another_client_has_been_read_to_its_end() {
    let log = Log::start();
    let another = log.writer_in_a_transaction();
    let transaction = |text| {
        let event = log.alert("101", "1301", text);
        let record = event_model::encode(&event, SpringTypes::Written, None);
        let place = log.write(&another, &record);
        another.commit_transaction(support::PATIENCE).unwrap();
        another.begin_transaction().unwrap();
        place
    };
    let view_age = |gateway: &TestGateway| {
        let (_, _, body) = gateway.get_admin("/readyz");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["viewAgeMs"].as_u64().unwrap()
    };
    transaction("before");

    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");
    let place = transaction("after");

    assert_eq!(neighbour.message().1["text"], "after");
    // The record and what ends its transaction.
    let end = i64::try_from(place.offset + 2).unwrap();
    wait_until("nothing of it is shown as unread", || {
        log.committed("ws-gateway.1", place) == Some(end)
    });
    // The log is asked every two seconds.
    let mut oldest = 0;
    wait_until("its view is young again", || {
        oldest = oldest.max(view_age(&gateway));
        view_age(&gateway) < oldest
    });
}

#[test]
fn a_gateway_that_starts_before_its_topics_waits_for_them() {
    let log = Log::without_topics();
    let gateway = TestGateway::start(&log.runtime, config(&log.address()));
    assert_eq!(gateway.get_admin("/readyz").0, 503);
    assert_eq!(gateway.get_admin("/healthz").0, 200);
    let (status, body) = Neighbour::upgrade(gateway.address, "/an-ws", "")
        .err()
        .unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("not_ready"), "{body}");

    log.create_topics();

    wait_until("it is ready", || gateway.get_admin("/readyz").0 == 200);
    let mut neighbour = gateway.neighbour("101", "1501");
    log.happens(&log.alert("101", "1502", "help"));
    assert_eq!(neighbour.message().1["text"], "help");
}

#[test]
fn a_gateway_that_starts_later_knows_what_is_live_and_whose_accept_was_first() {
    let log = Log::start();
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(90_000));
    let old = log.alert_at("101", "1301", "an hour ago", event_now().minus(hour));
    let ancient = log.alert_at("101", "1401", "yesterday", event_now().minus(day));
    let alert = log.alert("101", "1502", "just now");
    // The accept is written first: the two topics have no order between them.
    for event in [&ancient, &old, &log.accept("101", "1501", "1502"), &alert] {
        log.happens(event);
    }

    let gateway = TestGateway::open(&log);

    let mut neighbour = Neighbour::connected(
        gateway.address,
        "1.2",
        &support::test_gateway::token("101", "1602"),
    );
    let first = neighbour.subscribe("0", "/sub/line/101", "");
    let bodies: Vec<serde_json::Value> = first
        .iter()
        .map(|frame| serde_json::from_slice(&frame.body).unwrap())
        .collect();
    let texts: Vec<&str> = bodies
        .iter()
        .map(|body| body["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        bodies.len(),
        2,
        "the live alerts of the last minutes and their accepts: {bodies:?}"
    );
    assert!(
        texts.contains(&"just now") && texts.contains(&"1502"),
        "{texts:?}"
    );
    let accept = bodies.iter().find(|body| body["type"] == "accept").unwrap();
    assert_eq!(accept["rank"], 1);

    log.happens(&log.accept("101", "1602", "1502"));
    assert_eq!(
        neighbour.message().1["rank"],
        2,
        "it goes on counting where the log is"
    );

    log.happens(&log.accept("101", "1602", "1301"));
    assert_eq!(
        neighbour.message().1["alertId"],
        old.id().to_string(),
        "the alert of an hour ago is known"
    );
}

#[test]
fn a_position_from_one_gateway_is_understood_by_another() {
    let log = Log::start();
    let (one, other) = (TestGateway::open(&log), TestGateway::open(&log));
    let mut neighbour = one.neighbour("101", "1501");
    log.happens(&log.alert("101", "1502", "heard"));
    let position = neighbour
        .message()
        .0
        .headers
        .get("position")
        .unwrap()
        .to_owned();
    drop(neighbour);
    log.happens(&log.alert("101", "1502", "missed"));
    log.happens(&log.alert("102", "1", "elsewhere"));
    log.happens(&log.accept("101", "1601", "1502"));
    let mut watcher = Neighbour::connected(other.address, "1.2", &operators_token());
    let seen = watcher.subscribe("0", "/sub/line/101", "");
    for _ in seen.len()..3 {
        watcher.message();
    }

    let mut neighbour = Neighbour::connected(
        other.address,
        "1.2",
        &support::test_gateway::token("101", "1501"),
    );
    let first = neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));

    let bodies: Vec<serde_json::Value> = first
        .iter()
        .map(|frame| serde_json::from_slice(&frame.body).unwrap())
        .collect();
    assert_eq!(
        (&bodies[0]["type"], &bodies[0]["recovered"]),
        (&"resume".into(), &true.into())
    );
    assert_eq!(bodies[0]["count"], 2);
    assert_eq!(
        (&bodies[1]["text"], &bodies[2]["type"]),
        (&"missed".into(), &"accept".into())
    );
}

#[test]
fn what_cannot_be_read_is_passed_over_and_duplicates_are_sent_once() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");
    let alert = log.alert("101", "1502", "twice in the log");
    let partition = i32::try_from(log.happens(&alert).partition).unwrap();
    log.write_bytes("an-alert", partition, b"no json");
    log.write_bytes("an-alert", partition, b"{\"house\":\"1\"}");
    log.happens(&alert);
    log.happens(&log.alert("101", "1502", "after"));

    assert_eq!(neighbour.message().1["text"], "twice in the log");
    assert_eq!(neighbour.message().1["text"], "after");
}

#[test]
fn what_cannot_be_read_is_kept_whole_among_the_dead_letters() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");

    log.write_bytes("an-accept", 1, b"no json \xff");
    log.happens(&log.alert("101", "1502", "goes on"));

    assert_eq!(neighbour.message().1["text"], "goes on");
    let letter = log.first_record("an-accept.DLT", 1);
    assert_eq!(letter.payload(), Some(&b"no json \xff"[..]));
    let headers = letter.headers().unwrap();
    let header = |name| {
        let found = headers
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value);
        String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
    };
    assert_eq!(header("dlt-topic"), "an-accept");
    assert_eq!(
        (header("dlt-partition"), header("dlt-offset")),
        ("1".to_owned(), "0".to_owned())
    );
    assert_eq!(header("dlt-attempts"), "1");
    assert!(header("dlt-error").contains("no JSON") && header("dlt-time").starts_with("20"));
}

#[test]
fn how_far_a_gateway_has_read_is_committed_under_its_own_group() {
    let log = Log::start();
    let _gateway = TestGateway::open(&log);
    let place = log.happens(&log.alert("101", "1502", "help"));
    let read = i64::try_from(place.offset + 1).unwrap();
    wait_until("it is committed", || {
        log.committed("ws-gateway.1", place) == Some(read)
    });
}

/// What a group's members are called, and where they run.
fn members(log: &Log) -> Vec<(String, String)> {
    let client: BaseConsumer = log.client().create().unwrap();
    let groups = client.fetch_group_list(Some("ws-gateway.1"), support::PATIENCE);
    let groups = groups.unwrap();
    let group = groups
        .groups()
        .iter()
        .find(|group| group.state() == "Stable");
    let members = group.map_or(&[][..], |group| group.members());
    let named = |member: &GroupMemberInfo| {
        (
            member.client_id().to_owned(),
            member.client_host().to_owned(),
        )
    };
    members.iter().map(named).collect()
}

#[test]
fn an_operator_sees_a_gateway_as_the_member_of_its_group() {
    let log = Log::start();
    let mut gateway = TestGateway::open(&log);
    let is_member = || matches!(&members(&log)[..], [(name, _)] if name == "ws-gateway.1");
    wait_until("it is the one member", is_member);
    assert!(members(&log)[0].1.contains("127.0.0.1"));

    gateway.shut_down();
    gateway.stop().unwrap();
    let _next = TestGateway::open(&log);
    let place = log.happens(&log.alert("101", "1502", "help"));

    let read = i64::try_from(place.offset + 1).unwrap();
    wait_until("the next one commits in its place", || {
        log.committed("ws-gateway.1", place) == Some(read)
    });
    assert!(is_member());
}

#[test]
fn records_of_the_original_system_are_sent_in_its_words() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");

    // Without key and headers, in any partition.
    log.write_bytes(
        "an-alert",
        0,
        br#"{"line":"101","house":"1502","text":"help","lat":"37.5","lng":"127.0"}"#,
    );

    let (frame, body) = neighbour.message();
    assert_eq!(frame.headers.get("type"), Some("alert"));
    assert_eq!(body["id"], "an-alert-0-0");
    assert_eq!(
        (&body["lat"], &body["lng"]),
        (&"37.5".into(), &"127.0".into())
    );

    log.write_bytes(
        "an-accept",
        1,
        br#"{"line":"101","accept":"1601","target":"1502"}"#,
    );
    let (frame, body) = neighbour.message();
    assert_eq!(frame.headers.get("type"), Some("accept"));
    assert_eq!(
        (&body["accept"], &body["text"]),
        (&"1601".into(), &"1502".into())
    );
}

#[test]
fn a_gateway_that_is_stopped_closes_its_sockets_and_ends() {
    let log = Log::start();
    let mut gateway = TestGateway::open(&log);
    let mut neighbours: Vec<_> = (0..5)
        .map(|house| gateway.neighbour("101", &house.to_string()))
        .collect();

    gateway.shut_down();

    for neighbour in &mut neighbours {
        assert_eq!(neighbour.closed(), 1012);
    }
    assert!(gateway.stop().is_ok());
}

#[test]
fn a_log_that_goes_away_is_told_and_when_it_is_back_alerts_go_on() {
    let mut log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut neighbour = gateway.neighbour("101", "1501");
    neighbour.subscribe("n", "/user/queue/notice", "");

    log.stop();
    assert_eq!(neighbour.message().1["type"], "degraded");
    wait_until("it is not ready, and says why", || {
        let (status, _, body) = gateway.get_admin("/readyz");
        status == 503 && body.contains("log_unavailable")
    });
    log.start_again();
    assert_eq!(neighbour.message().1["type"], "healthy");

    log.happens(&log.alert("101", "1502", "after"));
    assert_eq!(neighbour.message().1["text"], "after");
    wait_until("it is ready again", || {
        gateway.get_admin("/readyz").0 == 200
    });
}

#[test]
fn a_quiet_log_is_not_a_log_that_is_gone() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let age = || {
        let (_, _, body) = gateway.get_admin("/readyz");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["viewAgeMs"].as_u64().unwrap()
    };

    // The log is asked every two seconds: the age falls again although nothing happens.
    let first = age();
    wait_until("it grows", || first < age());
    let mut oldest = 0;
    wait_until("it falls", || {
        oldest = oldest.max(age());
        age() < oldest
    });
    assert_eq!(gateway.get_admin("/readyz").0, 200);
}

#[test]
fn one_call_stamped_ten_years_ahead_neither_blinds_a_gateway_nor_lives_for_ten_years() {
    let log = Log::start();
    let decade = Duration::from_secs(3_650 * 86_400);
    let lies = |text| {
        let lie = log.alert_at("101", "1301", text, event_now().plus(decade));
        let mut record = event_model::encode(&lie, SpringTypes::Omitted, None);
        record.timestamp = event_now();
        log.write(&log.writer(), &record);
    };
    lies("from 2036");
    for event in [
        log.alert("101", "1502", "now"),
        log.accept("101", "1501", "1502"),
    ] {
        log.happens(&event);
    }

    let gateway = TestGateway::open(&log);
    let mut neighbour = Neighbour::connected(
        gateway.address,
        "1.2",
        &support::test_gateway::token("101", "1602"),
    );
    let first = neighbour.subscribe("0", "/sub/line/101", "");
    assert_eq!(first.len(), 3, "{first:?}");
    lies("again");
    log.happens(&log.accept("101", "1602", "1502"));

    assert_eq!(neighbour.message().1["text"], "again");
    assert_eq!(neighbour.message().1["rank"], 2, "ranks go on");
}

#[test]
fn a_gateway_reads_a_day_back_however_many_records_that_are() {
    let log = Log::start();
    let writer = log.writer();
    let mut partition = 0;
    for _ in 0..1_100 {
        let alert = log.alert("101", "1502", "again");
        let record = event_model::encode(&alert, SpringTypes::Omitted, None);
        partition = log.write(&writer, &record).partition;
    }

    let gateway = TestGateway::open(&log);

    let mut neighbour = Neighbour::connected(
        gateway.address,
        "1.2",
        &support::test_gateway::token("101", "1602"),
    );
    let from_the_beginning = format!("resume-from:1.{partition}.n.n\n");
    let first = neighbour.subscribe("0", "/sub/line/101", &from_the_beginning);
    let answer: serde_json::Value = serde_json::from_slice(&first[0].body).unwrap();
    assert_eq!(answer["reason"], "too-many", "all of it was read");
    assert_eq!(answer["count"], 1_100);
}
