//! The service in front of the log as it is shipped: its topics, a burst of calls, and a log that goes away.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use event_model::{RETENTION_DEFAULT, expected_topics};
use producer_api::Delivery;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};
use serde_json::json;
use support::{TestApi, TestLog, accept_body, config, read, records, token};

#[tokio::test]
async fn the_missing_topics_are_made_with_settings_that_keep_calls() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", log.address())
        .create()
        .unwrap();

    for topic in expected_topics(1, RETENTION_DEFAULT) {
        let metadata = admin
            .inner()
            .fetch_metadata(Some(topic.name), Duration::from_secs(10))
            .unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 2, "{}", topic.name);
        let described = admin
            .describe_configs(
                &[ResourceSpecifier::Topic(topic.name)],
                &AdminOptions::new(),
            )
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        for (setting, value) in topic.settings {
            assert_eq!(
                described.get(setting).unwrap().value.as_deref(),
                Some(value.as_str()),
                "{setting}"
            );
        }
    }
    api.close().await;
}

#[tokio::test]
async fn every_call_of_a_burst_has_a_place_and_a_record_of_its_own() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let tokens: Vec<_> = (0..10)
        .map(|house| token("dong-101", &format!("15{house:02}")))
        .collect();

    let mut places = BTreeSet::new();
    for _ in 0..5 {
        let calls = tokens
            .iter()
            .map(|token| api.alert(token, r#"{"text":"fire"}"#));
        for answer in futures_util::future::join_all(calls).await {
            assert!(places.insert(answer.place()), "one place for two calls");
            assert_eq!(
                read(&log.address(), answer.place()).id().to_string(),
                answer.id()
            );
        }
    }

    assert_eq!(records(&log.address()), 50);
    api.close().await;
}

#[tokio::test]
async fn what_was_answered_201_is_still_there_after_the_log_comes_back() {
    let mut log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    let alert = api.alert(&kim, r#"{"text":"fire"}"#).await;
    let accept = api
        .accept(&lee, accept_body("dong-101", "1503", "1502"))
        .await;
    assert_eq!((alert.status, accept.status), (201, 201));

    log.stop().await;
    api.wait_for_readiness(503).await;
    let refused = api.alert(&kim, "{}").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "log_unavailable")
    );

    log.start_again().await;
    api.wait_until_ready().await;
    let later = api
        .alert(&kim, json!({"text": "still burning"}).to_string())
        .await;

    for answer in [&alert, &accept, &later] {
        assert_eq!(
            read(&log.address(), answer.place()).id().to_string(),
            answer.id()
        );
    }
    api.close().await;
}

#[tokio::test]
async fn a_call_made_while_the_log_starts_again_waits_for_it() {
    let mut log = TestLog::start().await;
    let mut config = config(&log.address());
    config.deadline = Duration::from_secs(15);
    config.shutdown_grace = Duration::from_secs(15);
    let api = TestApi::open(config).await;
    let kim = token("dong-101", "1502");
    log.stop().await;

    let (answer, ()) = tokio::join!(api.alert(&kim, r#"{"text":"fire"}"#), log.start_again());

    assert_eq!(
        read(&log.address(), answer.place()).id().to_string(),
        answer.id()
    );
    assert_eq!(records(&log.address()), 1);
    api.close().await;
}

#[tokio::test]
async fn every_kind_of_delivery_stores_calls() {
    let log = TestLog::start().await;
    let kim = token("dong-101", "1502");

    for delivery in [
        Delivery::AtMostOnce,
        Delivery::AtLeastOnce,
        Delivery::ExactlyOnce,
    ] {
        let mut config = config(&log.address());
        config.delivery = delivery;
        let api = TestApi::open(config).await;
        assert_eq!(api.alert(&kim, "{}").await.status, 201, "{delivery:?}");
        api.close().await;
    }
    assert_eq!(records(&log.address()), 3);
}

#[tokio::test]
async fn a_topic_deleted_while_running_is_made_again_without_a_restart() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let kim = token("dong-101", "1502");
    assert_eq!(api.alert(&kim, "{}").await.status, 201);
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", log.address())
        .create()
        .unwrap();

    let deleted = admin
        .delete_topics(&["an-alert"], &AdminOptions::new())
        .await
        .unwrap();
    assert!(deleted[0].is_ok());

    let started = support::now();
    let stored = loop {
        let answer = api.alert(&kim, "{}").await;
        if answer.status == 201 {
            break answer;
        }
        assert_eq!(answer.code(), "log_unavailable");
        assert!(
            started.elapsed() < 2 * support::PATIENCE,
            "the topic is not made again"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(
        read(&log.address(), stored.place()).id().to_string(),
        stored.id()
    );
    let described = admin
        .describe_configs(
            &[ResourceSpecifier::Topic("an-alert")],
            &AdminOptions::new(),
        )
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let retention = RETENTION_DEFAULT.as_millis().to_string();
    assert_eq!(
        described.get("retention.ms").unwrap().value,
        Some(retention)
    );
    api.close().await;
}
