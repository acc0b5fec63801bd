//! Records beyond a topic's retention go, whoever wants them kept; nothing else does.

mod support;

use std::time::Duration;

use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use log_core::Config;
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic_with, produce, text};

const DEADLINE: Duration = Duration::from_secs(20);

fn looking_often(config: &mut Config) {
    config.log_retention_check_interval = Duration::from_millis(50);
}

async fn earliest_offset(client: &mut WireClient, topic: &str) -> i64 {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(-2)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    client.ask(7, request).await.topics[0].partitions[0].offset
}

#[tokio::test]
async fn records_older_than_retention_ms_are_deleted_and_their_offsets_are_not_given_again() {
    let broker = TestBroker::start_with(looking_often).await;
    let mut client = WireClient::connect(&broker.address()).await;
    // Even where nobody may delete by hand: retention is the means of erasure.
    let passing = [("retention.ms", "1"), ("mayday.acks.min", "all")];
    create_topic_with(&mut client, "passing", 1, &passing).await;
    create_topic_with(&mut client, "lasting", 1, &[("retention.ms", "-1")]).await;
    for offset in 0..3 {
        assert_eq!(
            produce(&mut client, "passing", batch_of(&["x"])).await,
            Ok(offset)
        );
        assert_eq!(
            produce(&mut client, "lasting", batch_of(&["x"])).await,
            Ok(offset)
        );
    }

    let deleted = async {
        while earliest_offset(&mut client, "passing").await < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, deleted)
        .await
        .expect("all three are older than a millisecond");

    assert_eq!(
        produce(&mut client, "passing", batch_of(&["y"])).await,
        Ok(3)
    );
    assert_eq!(earliest_offset(&mut client, "lasting").await, 0);
    broker.stop().await;
}
