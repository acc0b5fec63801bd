//! What the log's tail tells a api: keys that were used before it started, and where the calls of others are.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::time::Duration;

use event_model::{Event, RecordPosition, header};
use rdkafka::{
    ClientConfig,
    bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    types::RDKafkaApiKey,
};
use serde_json::Value;
use support::{
    HttpResponse, MockLog, TestApi, TestLog, accept_body, config, read, records, request, token,
    token_with, wait_until_stored,
};

const KEY: [(&str, &str); 1] = [("idempotency-key", "0123456789abcdef")];

async fn ask(api: &TestApi, token: &str, id: &str) -> HttpResponse {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    request(api.address, "GET", &format!("/calls/{id}"), &headers, b"").await
}

fn assert_told_again(answer: &HttpResponse, first: &HttpResponse) {
    assert_eq!((answer.place(), answer.id()), (first.place(), first.id()));
    assert_eq!(answer.headers["idempotent-replay"], "true");
}

#[tokio::test]
async fn a_restart_forgets_no_key() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    let accept = accept_body("dong-101", "1503", "1502");
    let raised = api.post_with("/alert", &kim, &KEY, "{}").await;
    let accepted = api.post_with("/accept", &lee, &KEY, &accept).await;
    assert_eq!((raised.status, accepted.status), (201, 201));
    api.close().await;

    let api = TestApi::open(config(&log.address())).await;
    api.wait_until_keys_are_known().await;

    assert_told_again(&api.post_with("/alert", &kim, &KEY, "{}").await, &raised);
    assert_told_again(
        &api.post_with("/accept", &lee, &KEY, &accept).await,
        &accepted,
    );
    let other = accept_body("dong-101", "1503", "1501");
    let reused = api.post_with("/accept", &lee, &KEY, &other).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    assert_eq!(records(&log.address()), 2);
    let second = api
        .post_with("/alert", &kim, &KEY, r#"{"text":"another"}"#)
        .await;
    assert_ne!(second.id(), raised.id(), "two alerts under one key are two");
    api.close().await;
}

#[tokio::test]
async fn a_key_of_another_instance_is_known_as_the_log_tells() {
    let log = TestLog::start().await;
    let (one, other) = (
        TestApi::open(config(&log.address())).await,
        TestApi::open(config(&log.address())).await,
    );
    other.wait_until_keys_are_known().await;
    let kim = token("dong-101", "1502");

    let first = one.post_with("/alert", &kim, &KEY, "{}").await;
    let authorization = format!("Bearer {kim}");
    support::wait_until_known(
        other.address,
        ("authorization", &authorization),
        &first.id(),
    )
    .await;

    assert_told_again(&other.post_with("/alert", &kim, &KEY, "{}").await, &first);
    assert_eq!(records(&log.address()), 1);
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_call_that_was_stored_at_once_can_be_asked_for_by_who_made_it() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let kim = token("dong-101", "1502");

    let stored = api.alert(&kim, "{}").await;
    let told = ask(&api, &kim, &stored.id()).await;

    assert_eq!(
        (told.status, &told.json()["status"]),
        (200, &Value::from("stored"))
    );
    assert_eq!(told.json()["offset"], stored.json()["offset"]);
    let other_subject = token_with("dong-101", "1502", "sub", Value::from("lee"));
    assert_eq!(ask(&api, &other_subject, &stored.id()).await.status, 404);
    api.close().await;

    let api = TestApi::open(config(&log.address())).await;
    api.wait_until_keys_are_known().await;
    assert_eq!(ask(&api, &kim, &stored.id()).await.json(), told.json());
    api.close().await;
}

#[tokio::test]
async fn before_the_tail_is_read_no_key_is_held_against_another_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("127.0.0.1:9");
    config.outbox = Some(folder.path().join("outbox"));
    config.outbox_reserve_bytes = 0;
    config.deadline = Duration::from_millis(500);
    let api = TestApi::start(config).await;
    let lee = token("dong-101", "1503");
    let accept = async |target: &str| {
        let body = accept_body("dong-101", "1503", target);
        api.post_with("/accept", &lee, &KEY, body).await
    };

    let (first, other, again) = (
        accept("1502").await,
        accept("1501").await,
        accept("1502").await,
    );

    assert_eq!([first.status, other.status, again.status], [202, 202, 202]);
    assert_ne!(first.id(), other.id());
    assert_eq!(first.id(), again.id(), "under its derived id");
    assert_eq!(again.headers["idempotent-replay"], "true");
    api.close().await;
}

#[tokio::test]
async fn an_accept_for_which_no_call_is_live_is_taken_with_a_warning() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    api.wait_until_keys_are_known().await;
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    let accept = async || {
        let body = accept_body("dong-101", "1503", "1502");
        api.accept(&lee, body).await
    };

    let early = accept().await;
    assert_eq!(
        (early.status, early.warnings()),
        (201, vec!["no_live_call".to_owned()])
    );

    api.alert(&kim, "{}").await;
    let answering = accept().await;
    assert_eq!((answering.status, answering.warnings()), (201, vec![]));
    api.close().await;
}

/// A log that has the record and does not say where, as Kafka does for a repetition that it no longer knows the place of.
#[tokio::test]
async fn a_stored_call_whose_report_names_no_place_is_looked_up_and_never_sent_again() {
    let log = MockLog::start();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&log.address());
    config.outbox = Some(folder.path().join("outbox"));
    config.outbox_reserve_bytes = 0;
    config.deadline = Duration::from_millis(500);
    let api = TestApi::open(config).await;
    api.wait_until_keys_are_known().await;
    let kim = token("dong-101", "1502");
    log.0.request_errors(
        RDKafkaApiKey::Produce,
        &[RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER],
    );

    let answer = api.alert(&kim, r#"{"text":"fire"}"#).await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &Value::from("queued"))
    );
    let id = answer.id();
    // The mock refused the record, so the record that the log is said to have is put there.
    let record = serde_json::json!({"line": "dong-101", "house": "1502", "text": "fire", "id": id});
    put(&log.address(), &id, &record.to_string()).await;
    let authorization = format!("Bearer {kim}");
    let place = wait_until_stored(api.address, ("authorization", &authorization), &id).await;

    assert_eq!(
        api.alert(&kim, "{}").await.status,
        201,
        "its line is not held"
    );
    assert_eq!(records(&log.address()), 2, "it was not sent again");
    assert_eq!(text_at(&log.address(), place), "fire");
    api.close().await;
}

#[tokio::test]
async fn a_queued_call_that_an_earlier_run_had_stored_is_not_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let outbox_of = |log: &str| {
        let mut config = config(log);
        config.outbox = Some(folder.path().join("outbox"));
        config.outbox_reserve_bytes = 0;
        config.deadline = Duration::from_millis(500);
        config
    };
    let kim = token("dong-101", "1502");
    let api = TestApi::start(outbox_of("127.0.0.1:9")).await;
    let answer = api.alert(&kim, r#"{"text":"fire"}"#).await;
    assert_eq!(answer.status, 202);
    let id = answer.id();
    api.close().await;
    // The run before was killed between its record's way into the log and the word of it.
    let log = MockLog::start();
    let record = serde_json::json!({"line": "dong-101", "house": "1502", "text": "fire", "id": id});
    put(&log.address(), &id, &record.to_string()).await;

    let api = TestApi::open(outbox_of(&log.address())).await;
    let authorization = format!("Bearer {kim}");
    let place = wait_until_stored(api.address, ("authorization", &authorization), &id).await;

    assert_eq!(text_at(&log.address(), place), "fire");
    assert_eq!(records(&log.address()), 1, "it was sent again");
    api.close().await;
}

/// A client repeats its call as soon as the api is back, before the api can know what it stored before it was killed.
#[tokio::test]
async fn a_key_that_comes_before_the_tail_is_read_waits_for_it_and_stores_nothing_twice() {
    let log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let with_outbox = || {
        let mut config = config(&log.address());
        config.outbox = Some(folder.path().join("outbox"));
        config.outbox_reserve_bytes = 0;
        config
    };
    let kim = token("dong-101", "1502");
    let api = TestApi::open(with_outbox()).await;
    let first = api.post_with("/alert", &kim, &KEY, "{}").await;
    assert_eq!(first.status, 201);
    api.close().await;

    let api = TestApi::start(with_outbox()).await;
    let again = api.post_with("/alert", &kim, &KEY, "{}").await;

    // Where the tail is not read within the client's patience, the call waits in the outbox.
    assert!(matches!(again.status, 201 | 202), "{again:?}");
    assert_eq!(again.id(), first.id());
    let authorization = format!("Bearer {kim}");
    let place =
        wait_until_stored(api.address, ("authorization", &authorization), &first.id()).await;
    assert_eq!(place, first.place());
    assert_eq!(records(&log.address()), 1);
    api.close().await;
}

/// The log is slower than a client's patience, and the call has no place in an outbox: its client may only be told that
/// nobody knows. What it then repeats waits for the first try.
#[tokio::test]
async fn a_call_whose_outcome_nobody_knew_is_stored_once_however_soon_it_is_repeated() {
    for has_outbox in [false, true] {
        let log = MockLog::start();
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&log.address());
        config.deadline = Duration::from_millis(500);
        config.outbox = has_outbox.then(|| folder.path().join("outbox"));
        config.outbox_reserve_bytes = 0;
        config.outbox_bytes_max = 1;
        let api = TestApi::open(config).await;
        api.wait_until_keys_are_known().await;
        let kim = token("dong-101", "1502");
        let slowly = Duration::from_millis(800);
        log.0.broker_round_trip_time(1, slowly).unwrap();

        let first = api.post_with("/alert", &kim, &KEY, "{}").await;
        assert_eq!(first.status, 503);
        let id = first.id();
        let second = api.post_with("/alert", &kim, &KEY, "{}").await;
        log.0.broker_round_trip_time(1, Duration::ZERO).unwrap();
        let mut told = second;
        while told.status != 201 {
            assert_eq!((told.status, told.id()), (503, id.clone()));
            told = api.post_with("/alert", &kim, &KEY, "{}").await;
        }

        assert_eq!(told.id(), id);
        assert_eq!(told.headers["idempotent-replay"], "true");
        assert_eq!(records(&log.address()), 1, "outbox: {has_outbox}");
        api.close().await;
    }
}

async fn put(log: &str, id: &str, value: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .create()
        .unwrap();
    let headers = OwnedHeaders::new();
    let headers = [(header::ID, id), (header::TYPE, event_model::ALERT_RAISED)]
        .into_iter()
        .fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        });
    let record = FutureRecord::to("an-alert")
        .key("dong-101")
        .payload(value)
        .headers(headers);
    producer.send(record, support::PATIENCE).await.unwrap();
}

fn text_at(log: &str, place: RecordPosition) -> String {
    match read(log, place) {
        Event::Raised(alert) => alert.text.as_str().to_owned(),
        other => panic!("{} among the alerts", other.topic()),
    }
}
