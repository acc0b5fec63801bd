use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};
use tokio::time::{Duration, Instant};

use super::{AppendError, LogSettings, Reach, lane::producer_config, outcome_of};
use crate::{clock, config::Delivery};

fn outcome(code: RDKafkaErrorCode) -> AppendError {
    outcome_of(KafkaError::MessageProduction(code))
}

#[test]
fn only_an_answer_that_rules_the_record_out_is_called_a_refusal() {
    use RDKafkaErrorCode as Code;
    for code in [Code::MessageSizeTooLarge, Code::InvalidRecord] {
        assert!(matches!(outcome(code), AppendError::Refused(_)), "{code}");
    }
    for code in [Code::PolicyViolation, Code::TopicAuthorizationFailed] {
        assert!(
            matches!(outcome(code), AppendError::NotNow(_)),
            "{code}: an operator can mend it"
        );
    }
    for code in [
        Code::MessageTimedOut,
        Code::RequestTimedOut,
        Code::NotEnoughReplicasAfterAppend,
        Code::PurgeInflight,
        Code::BrokerTransportFailure,
        Code::Unknown,
    ] {
        assert!(
            matches!(outcome(code), AppendError::OutcomeUnknown(_)),
            "{code}"
        );
    }
    assert!(matches!(
        outcome(Code::PurgeQueue),
        AppendError::Unavailable
    ));
}

#[test]
fn the_log_is_gone_after_three_silent_looks_and_back_with_the_first_word() {
    let reach = Reach::default();
    for _ in 0..2 {
        reach.silent();
        assert!(!reach.is_gone(), "an election may take that long");
    }

    reach.silent();
    assert!(reach.is_gone());
    assert!(!reach.is_good());

    reach.seen();
    assert!(!reach.is_gone());
}

#[tokio::test]
async fn nothing_is_sent_before_the_topics_are_there() {
    let reach = Reach::default();
    let soon = Instant::from_std(clock::steady()) + Duration::from_millis(20);

    assert!(matches!(
        reach.wait_for_topics(soon).await,
        Err(AppendError::Unavailable)
    ));

    let later = Instant::from_std(clock::steady()) + Duration::from_secs(20);
    let (waited, ()) = tokio::join!(reach.wait_for_topics(later), async {
        reach.topics_are_there()
    });
    assert!(waited.is_ok());
}

#[test]
fn each_kind_of_delivery_waits_for_a_majority_and_only_exactly_once_is_idempotent() {
    let config = |delivery| {
        producer_config(&LogSettings {
            bootstrap_servers: "127.0.0.1:9".to_owned(),
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
