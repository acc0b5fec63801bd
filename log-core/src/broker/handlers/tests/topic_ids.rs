//! Topics that are named by their ids (KIP-516), and clients that are told who leads instead (KIP-951).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, FetchResponse, ProduceResponse};
use uuid::Uuid;

use super::puppet::{OTHER, OURS, Puppet, TOPIC};
use super::requests::{about, fetch};
use crate::wire::{RequestBody, ResponseBody};

async fn fetched(puppet: &Puppet, version: i16, body: RequestBody) -> FetchResponse {
    match puppet.ask(ApiKey::Fetch, version, body).await {
        ResponseBody::Fetch(answer) => answer,
        other => panic!("{other:?}"),
    }
}

async fn produced(puppet: &Puppet, id: Uuid) -> ProduceResponse {
    let body = about(ApiKey::Produce, TOPIC, id);
    match puppet.ask(ApiKey::Produce, 13, body).await {
        ResponseBody::Produce(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_knows_topics_by_their_ids_produces_and_consumes() {
    let puppet = Puppet::leader().await;
    let id = puppet.id_of(TOPIC);

    let stored = produced(&puppet, id).await;
    assert_eq!(stored.responses[0].topic_id, id);
    assert_eq!(stored.responses[0].partition_responses[0].error_code, 0);

    for version in 13..=18 {
        let read = fetched(&puppet, version, about(ApiKey::Fetch, TOPIC, id)).await;
        let topic = &read.responses[0];
        assert_eq!((topic.topic.as_str(), topic.topic_id), ("", id));
        let records = topic.partitions[0].records.as_ref();
        assert!(
            records.is_some_and(|records| !records.is_empty()),
            "version {version}"
        );
    }
}

#[tokio::test]
async fn an_id_that_no_topic_has_is_unknown_and_a_topic_made_again_has_another() {
    let puppet = Puppet::leader().await;
    let unknown = ResponseError::UnknownTopicId.code();
    for id in [Uuid::from_u128(7), Uuid::nil()] {
        let read = fetched(&puppet, 13, about(ApiKey::Fetch, TOPIC, id)).await;
        assert_eq!(read.responses[0].partitions[0].error_code, unknown);
        let refused = produced(&puppet, id).await;
        assert_eq!(
            refused.responses[0].partition_responses[0].error_code,
            unknown
        );
    }
}

#[tokio::test]
async fn a_consumer_that_asks_the_wrong_node_or_under_an_old_epoch_is_told_who_leads() {
    let puppet = Puppet::leader().await;
    let old_epoch = |body: RequestBody| {
        let RequestBody::Fetch(mut request) = body else {
            panic!("Fetch")
        };
        request.topics[0].partitions[0].current_leader_epoch = 3;
        RequestBody::Fetch(request)
    };
    let id = puppet.id_of(TOPIC);
    let fenced = fetched(&puppet, 16, old_epoch(about(ApiKey::Fetch, TOPIC, id))).await;
    let partition = &fenced.responses[0].partitions[0];
    assert_eq!(
        partition.error_code,
        ResponseError::FencedLeaderEpoch.code()
    );
    let ours = i32::try_from(OURS.0).expect("small");
    assert_eq!(
        (
            partition.current_leader.leader_id.0,
            partition.current_leader.leader_epoch
        ),
        (ours, 5)
    );

    puppet.follows();
    let astray = fetched(&puppet, 16, about(ApiKey::Fetch, TOPIC, id)).await;
    let partition = &astray.responses[0].partitions[0];
    assert_eq!(
        partition.error_code,
        ResponseError::NotLeaderOrFollower.code()
    );
    let other = i32::try_from(OTHER.0).expect("small");
    assert_eq!(
        (
            partition.current_leader.leader_id.0,
            partition.current_leader.leader_epoch
        ),
        (other, 6)
    );
    let endpoint = &astray.node_endpoints[0];
    assert_eq!(
        (endpoint.node_id.0, endpoint.host.as_str()),
        (other, "10.0.0.2")
    );

    let older = fetched(&puppet, 12, fetch(TOPIC, 0, 0)).await;
    assert!(
        older.node_endpoints.is_empty(),
        "a version that does not know of it"
    );
    let partition = &older.responses[0].partitions[0];
    assert_eq!(partition.current_leader.leader_id.0, -1);
}
