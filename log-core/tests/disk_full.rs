//! A disk with only its reserve left: records are refused in words that help, and everything else goes on.

mod support;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DeleteTopicsRequest, TopicName};
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, produce, produce_request, text};

#[tokio::test]
async fn a_full_disk_refuses_records_before_anything_is_written_and_still_deletes_topics() {
    let broker = TestBroker::start_with(|config| config.disk_reserve_bytes = u64::MAX).await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "calls", 1).await;

    let refused = wait_for_refusal(&mut client).await;
    let answer = client
        .ask(8, produce_request("calls", 0, -1, batch_of(&["help"])))
        .await;
    let deleted = client
        .ask(
            3,
            DeleteTopicsRequest::default()
                .with_topic_names(vec![TopicName(text("calls"))])
                .with_timeout_ms(5_000),
        )
        .await;

    assert_eq!(refused, ResponseError::PolicyViolation.code());
    let words = answer.responses[0].partition_responses[0]
        .error_message
        .as_ref()
        .expect("says why");
    assert!(
        words.contains("disk is full") && words.contains("retention"),
        "{words}"
    );
    assert_eq!(deleted.responses[0].error_code, 0);
    broker.stop().await;
}

/// The disk is looked at once a second: until the first look records are taken.
async fn wait_for_refusal(client: &mut WireClient) -> i16 {
    for _ in 0..600 {
        if let Err(code) = produce(client, "calls", batch_of(&["help"])).await {
            return code;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("records are still taken");
}
