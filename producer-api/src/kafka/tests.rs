use std::sync::Arc;

use event_model::{EventId, EventTime, RecordPosition, Topic, header};
use log_client::RecordToSend;
use rdkafka::{
    error::KafkaError,
    mocking::MockCluster,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::{
    AppendError, LogProducer, LogSettings, PendingDelivery,
    error_class::{ErrorClass, append_error_of, class_of},
    health::{LogHealth, PROBES_PER_FAILURE},
    tail::follow_tail,
    topic_producer::producer_config,
};
use crate::{clock, config::Delivery, earlier_try::LookUp, recent_calls::RecentCalls};

fn outcome(code: RDKafkaErrorCode) -> AppendError {
    append_error_of(KafkaError::MessageProduction(code))
}

#[test]
fn a_call_is_given_up_only_for_what_cannot_change() {
    use RDKafkaErrorCode as Code;
    for code in [
        Code::InvalidTimestamp,
        Code::MessageSizeTooLarge,
        Code::PolicyViolation,
        Code::TopicAuthorizationFailed,
        Code::NotEnoughReplicas,
        Code::UnknownTopicOrPartition,
    ] {
        let passes = matches!(outcome(code), AppendError::NotStored(_));
        assert!(passes, "{code}: time or an operator can mend it");
    }
    for code in [
        Code::MessageTimedOut,
        Code::RequestTimedOut,
        Code::NotEnoughReplicasAfterAppend,
        Code::PurgeInflight,
        Code::BrokerTransportFailure,
        Code::Unknown,
    ] {
        let unknown = matches!(outcome(code), AppendError::OutcomeUnknown(_));
        assert!(unknown, "{code}");
    }
    let given_up: Vec<_> = every_code()
        .filter(|code| class_of(*code) == ErrorClass::Permanent)
        .collect();
    assert_eq!(given_up, [Code::InvalidRecord]);
    let never_sent = outcome(Code::PurgeQueue);
    assert!(matches!(never_sent, AppendError::Unavailable));
}

/// Every code that this librdkafka has a name for.
fn every_code() -> impl Iterator<Item = RDKafkaErrorCode> {
    let codes = (-300..300).filter_map(|number: i32| RDKafkaRespErr::try_from(number).ok());
    codes.map(RDKafkaErrorCode::from)
}

#[test]
fn every_error_is_decided_on() {
    let decided = include_str!("error_class.rs");
    let mut names = decided.split(|character: char| !character.is_alphanumeric());
    let names: std::collections::BTreeSet<&str> = names.by_ref().collect();

    assert!(100 < every_code().count());
    for code in every_code() {
        assert!(names.contains(format!("{code:?}").as_str()), "{code:?}");
    }
}

#[tokio::test]
async fn a_report_without_an_offset_says_that_the_record_is_stored() {
    // librdkafka's -1001, for what it calls implicitly acknowledged.
    let mut delivery = PendingDelivery::reported(Topic::Alert, 1, -1001);
    assert!(matches!(delivery.delivered().await, Ok(None)));

    let mut delivery = PendingDelivery::reported(Topic::Alert, 1, 7);
    let place = RecordPosition {
        topic: Topic::Alert,
        partition: 1,
        offset: 7,
    };
    assert!(matches!(delivery.delivered().await, Ok(Some(found)) if found == place));
}

#[test]
fn what_was_reported_last_is_the_trouble_until_a_record_is_stored_or_time_has_passed() {
    let health = LogHealth::default();
    health.record_topics_found();
    assert_eq!(health.unready_reason(), None);

    health.record_report(Err(&outcome(RDKafkaErrorCode::InvalidTimestamp)));
    let trouble = health.unready_reason().unwrap();
    assert!(trouble.contains("InvalidTimestamp"), "{trouble}");
    assert!(health.is_available(), "the log is there, and is tried");
    health.record_report(Ok(()));
    assert_eq!(health.unready_reason(), None);

    health.record_report(Err(&outcome(RDKafkaErrorCode::MessageTimedOut)));
    for _ in 0..PROBES_PER_FAILURE {
        assert!(health.unready_reason().is_some());
        health.age_failure();
    }
    assert_eq!(
        health.unready_reason(),
        None,
        "without another try nothing is known"
    );
}

#[test]
fn the_log_is_unavailable_after_three_unanswered_probes_and_available_with_the_first_answer() {
    let health = LogHealth::default();
    for _ in 0..2 {
        health.record_unanswered();
        assert!(!health.is_unavailable(), "an election may take that long");
    }

    health.record_unanswered();
    assert!(health.is_unavailable());
    assert!(!health.is_available());

    health.record_answer();
    assert!(!health.is_unavailable());
}

#[tokio::test]
async fn nothing_is_sent_before_the_topics_are_there() {
    let health = LogHealth::default();
    let soon = Instant::from_std(clock::steady()) + Duration::from_millis(20);

    assert!(matches!(
        health.wait_for_topics(soon).await,
        Err(AppendError::Unavailable)
    ));

    let later = Instant::from_std(clock::steady()) + Duration::from_secs(20);
    let (waited, ()) = tokio::join!(health.wait_for_topics(later), async {
        health.record_topics_found()
    });
    assert!(waited.is_ok());
}

#[test]
fn each_kind_of_delivery_waits_for_a_majority_and_only_exactly_once_is_idempotent() {
    let config = |delivery| {
        producer_config(&LogSettings {
            bootstrap_servers: "127.0.0.1:9".to_owned(),
            nodes: log_client::LogNodes::default(),
            properties: Default::default(),
            delivery,
            message_timeout: Duration::from_secs(1),
            alerts_in_flight_max: 1,
            accepts_in_flight_max: 1,
        })
    };
    for (delivery, idempotent, retries, in_flight) in [
        (Delivery::AtMostOnce, "false", Some("0"), None),
        (Delivery::AtLeastOnce, "false", None, Some("1")),
        (Delivery::ExactlyOnce, "true", None, None),
    ] {
        let config = config(delivery);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("enable.idempotence"), Some(idempotent));
        assert_eq!(config.get("retries"), retries);
        assert_eq!(config.get("max.in.flight"), in_flight);
        assert!(
            config.create_native_config().is_ok(),
            "librdkafka knows every name of {delivery:?}"
        );
    }
}

fn settings(bootstrap_servers: String) -> LogSettings {
    LogSettings {
        bootstrap_servers,
        nodes: log_client::LogNodes::default(),
        properties: Default::default(),
        delivery: Delivery::default(),
        message_timeout: Duration::from_secs(10),
        alerts_in_flight_max: 1,
        accepts_in_flight_max: 1,
    }
}

/// librdkafka 2.12 ends the process where one assignment follows another before the first has begun.
#[tokio::test]
async fn the_tail_is_read_to_its_end_as_often_as_a_call_is_looked_for() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in Topic::ALL {
        cluster.create_topic(topic.name(), 2, 1).unwrap();
    }
    let settings = settings(cluster.bootstrap_servers());
    let log = Arc::new(LogProducer::connect(&settings).unwrap());
    log.health().record_topics_found();
    let calls = Arc::new(RecentCalls::new(10));
    let stop = CancellationToken::new();
    let follower = tokio::task::spawn_blocking({
        let (log, calls, stop) = (Arc::clone(&log), Arc::clone(&calls), stop.clone());
        move || follow_tail(&log, &settings, &calls, &stop)
    });

    for _ in 0..10 {
        calls.read_to_end().await;
    }
    let id = EventId::new(EventTime::MIN, [7; 10]);
    let written = id.to_string();
    let record = RecordToSend {
        topic: Topic::Alert,
        key: b"dong-101",
        value: br#"{"line":"dong-101","house":"1502"}"#,
        timestamp: EventTime::MIN,
        headers: vec![
            (header::ID, written.as_bytes()),
            (header::TYPE, event_model::ALERT_RAISED.as_bytes()),
        ],
    };
    let mut delivery = log.send_when_possible(&record).await.unwrap();
    let place = delivery.delivered().await.unwrap();
    calls.read_to_end().await;

    let found = calls.known_place(id);
    assert_eq!(found, place, "what was stored before is known then");
    stop.cancel();
    follower.await.unwrap();
}

/// Thousands of calls of an earlier run wait for their line after a restart.
#[tokio::test]
async fn one_reading_of_the_tail_answers_for_all_tries_that_had_ended_before() {
    let log = LogProducer::connect(&settings("127.0.0.1:9".to_owned())).unwrap();
    log.health().record_topics_found();
    let calls = RecentCalls::new(10);
    let id = |number| EventId::new(EventTime::MIN, [number; 10]);
    let mut look_up = LookUp::new(&log, &calls);
    let tail_is_read = async || {
        let wanted = loop {
            match calls.unread_end() {
                Some(wanted) => break wanted,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        calls.end_was_read(wanted);
    };
    tail_is_read().await;

    let ended = calls.started_at();
    let (found, ()) = tokio::join!(look_up.place_of(id(1), ended), tail_is_read());
    assert_eq!(found, None);
    for number in 2..100 {
        assert_eq!(look_up.place_of(id(number), ended).await, None);
    }
    assert_eq!(calls.unread_end(), None, "no other reading was asked for");

    let (found, ()) = tokio::join!(look_up.place_of(id(1), clock::steady()), tail_is_read());
    assert_eq!(found, None, "a later try is looked for anew");
}
