//! The outbox over sockets: what is answered 202 gets to the log, once and in order, whatever ends in between.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{path::Path, time::Duration};

use event_model::{Event, RecordPosition};
use producer_api::Config;
use serde_json::Value;
use support::{
    HttpResponse, MockLog, TestApi, TestLog, accept_body, config, read, records, request, token,
};
use tempfile::TempDir;

fn with_outbox(log: &TestLog, folder: &TempDir) -> Config {
    let mut config = config(&log.address());
    config.outbox = Some(folder.path().join("outbox"));
    config.outbox_reserve_bytes = 8 << 20;
    config.deadline = Duration::from_millis(500);
    config
}

async fn ask(api: &TestApi, token: &str, id: &str) -> HttpResponse {
    let authorization = format!("Bearer {token}");
    request(
        api.address,
        "GET",
        &format!("/calls/{id}"),
        &[("authorization", &authorization)],
        b"",
    )
    .await
}

async fn wait_until_stored(api: &TestApi, token: &str, id: &str) -> RecordPosition {
    let authorization = format!("Bearer {token}");
    support::wait_until_stored(api.address, ("authorization", &authorization), id).await
}

fn texts(log: &TestLog, places: &[RecordPosition]) -> Vec<String> {
    let text = |place: &RecordPosition| match read(&log.address(), *place) {
        Event::Raised(alert) => alert.text.as_str().to_owned(),
        Event::Accepted(accept) => format!("accept of {}", accept.target.as_str()),
        Event::Life(event) => event.kind.name().to_owned(),
    };
    places.iter().map(text).collect()
}

fn queued(answer: &HttpResponse) -> String {
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &Value::from("queued")),
        "{answer:?}"
    );
    answer.id()
}

#[tokio::test]
async fn calls_made_without_a_log_are_stored_in_order_when_it_comes_back() {
    let mut log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let api = TestApi::open(with_outbox(&log, &folder)).await;
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    log.stop().await;

    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(queued(
            &api.alert(&kim, format!(r#"{{"text":"{text}"}}"#)).await,
        ));
    }
    let accept = queued(
        &api.accept(&lee, accept_body("dong-101", "1503", "1502"))
            .await,
    );
    assert_eq!(ask(&api, &kim, &ids[0]).await.json()["status"], "queued");
    assert_eq!(
        ask(&api, &lee, &ids[0]).await.status,
        404,
        "only who called is told"
    );

    log.start_again().await;
    let mut places = Vec::new();
    for id in &ids {
        places.push(wait_until_stored(&api, &kim, id).await);
    }
    let accepted = wait_until_stored(&api, &lee, &accept).await;

    assert_eq!(texts(&log, &places), ["one", "two", "three"]);
    assert!(
        places.is_sorted(),
        "in the order they were made: {places:?}"
    );
    assert_eq!(texts(&log, &[accepted]), ["accept of 1502"]);
    for (id, place) in ids.iter().zip(&places) {
        assert_eq!(read(&log.address(), *place).id().to_string(), *id);
    }
    assert_eq!(
        api.alert(&kim, "{}").await.status,
        201,
        "the line is free again"
    );
    api.close().await;
}

#[tokio::test]
async fn calls_in_the_outbox_survive_the_end_of_the_process() {
    let mut log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let api = TestApi::open(with_outbox(&log, &folder)).await;
    let kim = token("dong-101", "1502");
    log.stop().await;
    let one = queued(&api.alert(&kim, r#"{"text":"one"}"#).await);
    let two = queued(&api.alert(&kim, r#"{"text":"two"}"#).await);
    api.close().await;

    log.start_again().await;
    let api = TestApi::open(with_outbox(&log, &folder)).await;
    let places = [
        wait_until_stored(&api, &kim, &one).await,
        wait_until_stored(&api, &kim, &two).await,
    ];

    assert_eq!(texts(&log, &places), ["one", "two"]);
    assert!(places.is_sorted());
    assert_eq!(records(&log.address()), 2);
    api.close().await;
}

#[tokio::test]
async fn a_retry_of_a_queued_call_is_told_so_and_makes_no_second_one() {
    let mut log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let api = TestApi::open(with_outbox(&log, &folder)).await;
    let kim = token("dong-101", "1502");
    let key = [("idempotency-key", "0123456789abcdef")];
    log.stop().await;

    let first = queued(
        &api.post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
            .await,
    );
    let retry = api
        .post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
        .await;
    assert_eq!(queued(&retry), first);
    assert_eq!(retry.headers["idempotent-replay"], "true");

    // Also through a process that never saw the first try.
    api.close().await;
    let api = TestApi::start(with_outbox(&log, &folder)).await;
    let after_restart = api
        .post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
        .await;
    assert_eq!(queued(&after_restart), first);

    log.start_again().await;
    let place = wait_until_stored(&api, &kim, &first).await;
    let stored = api
        .post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
        .await;
    assert_eq!((stored.place(), stored.id()), (place, first));
    assert_eq!(stored.headers["idempotent-replay"], "true");
    assert_eq!(records(&log.address()), 1);
    api.close().await;
}

#[tokio::test]
async fn a_full_outbox_refuses_and_says_that_nothing_was_stored() {
    let mut log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = with_outbox(&log, &folder);
    config.outbox_bytes_max = 2048;
    let api = TestApi::open(config).await;
    let kim = token("dong-101", "1502");
    log.stop().await;
    api.wait_until_log_is(false).await;

    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(api.alert(&kim, r#"{"text":"fire"}"#).await);
    }

    assert_eq!(answers[0].status, 202);
    let refused = answers.last().unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "log_unavailable")
    );
    assert_eq!(refused.json()["retryable"], true);
    api.close().await;
}

#[tokio::test]
async fn one_folder_serves_one_process() {
    let log = TestLog::start().await;
    let folder = tempfile::tempdir().unwrap();
    let api = TestApi::open(with_outbox(&log, &folder)).await;

    let Err(refused) = producer_api::Service::bind(with_outbox(&log, &folder)).await else {
        panic!("two services on one outbox");
    };

    let folder: &Path = folder.path();
    assert!(
        refused.to_string().contains(folder.to_str().unwrap()),
        "{refused}"
    );
    api.close().await;
}

#[tokio::test]
async fn a_slow_log_stores_a_call_once_however_late_its_report() {
    let log = MockLog::start();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&log.address());
    config.outbox = Some(folder.path().join("outbox"));
    config.deadline = Duration::from_millis(500);
    let api = TestApi::open(config).await;
    let kim = token("dong-101", "1502");
    log.0
        .broker_round_trip_time(-1, Duration::from_millis(900))
        .unwrap();

    let one = queued(&api.alert(&kim, r#"{"text":"one"}"#).await);
    let two = queued(&api.alert(&kim, r#"{"text":"two"}"#).await);
    let places = [
        wait_until_stored(&api, &kim, &one).await,
        wait_until_stored(&api, &kim, &two).await,
    ];

    assert!(places.is_sorted());
    log.0.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    assert_eq!(records(&log.address()), 2);
    api.close().await;
}
