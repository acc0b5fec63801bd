use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};
use tokio::time::{Duration, Instant};

use super::{AppendError, Reach, outcome_of};
use crate::clock;

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
