//! Every (API, version) that we advertise, asked by the codec's client side, its answer decoded to the last byte.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest,
};
use log_core::wire::SERVED;
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, text};

const TOPIC: &str = "wire-versions";

#[tokio::test]
async fn every_version_that_is_advertised_and_taken_is_answered_in_that_version() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create(&mut client, 7, TOPIC).await;
    for api in SERVED {
        for version in api.accepted.first..=api.accepted.last {
            ask(&mut client, api.key, version).await;
        }
    }
    broker.stop().await;
}

async fn ask(client: &mut WireClient, api: ApiKey, version: i16) {
    match api {
        ApiKey::ApiVersions => api_versions(client, version).await,
        ApiKey::Metadata => metadata(client, version).await,
        ApiKey::Produce => produce(client, version).await,
        ApiKey::Fetch => fetch(client, version).await,
        ApiKey::ListOffsets => list_offsets(client, version).await,
        ApiKey::FindCoordinator => find_coordinator(client, version).await,
        ApiKey::CreateTopics => create(client, version, &format!("made-by-{version}")).await,
        ApiKey::DeleteTopics => delete(client, version).await,
        ApiKey::InitProducerId => init_producer_id(client, version).await,
        ApiKey::DescribeConfigs => describe_configs(client, version).await,
        other => panic!("{other:?} is served, and no test asks it"),
    }
}

async fn api_versions(client: &mut WireClient, version: i16) {
    let mut request = ApiVersionsRequest::default();
    if 3 <= version {
        request = request
            .with_client_software_name(text("wire-test"))
            .with_client_software_version(text("1"));
    }
    let response = client.ask(version, request).await;
    assert_eq!(response.error_code, 0, "version {version}");
    let advertised = response
        .api_keys
        .iter()
        .map(|api| (api.api_key, api.min_version, api.max_version));
    let served = SERVED
        .iter()
        .map(|api| (api.key as i16, api.advertised.first, api.advertised.last));
    assert!(advertised.eq(served), "version {version}");
}

async fn metadata(client: &mut WireClient, version: i16) {
    let named = MetadataRequestTopic::default().with_name(Some(text(TOPIC).into()));
    let response = client
        .ask(
            version,
            MetadataRequest::default().with_topics(Some(vec![named])),
        )
        .await;
    assert_eq!(response.brokers.len(), 1, "version {version}");
    let topic = &response.topics[0];
    assert_eq!(
        (topic.error_code, topic.partitions.len()),
        (0, 2),
        "version {version}"
    );
    assert_eq!(
        topic.partitions[0].leader_id, response.brokers[0].node_id,
        "version {version}"
    );
    if 1 <= version {
        assert_eq!(
            response.controller_id, response.brokers[0].node_id,
            "version {version}"
        );
    }
}

async fn produce(client: &mut WireClient, version: i16) {
    let partition =
        PartitionProduceData::default().with_records(Some(batch_of(&[&format!("{version}")])));
    let topic = TopicProduceData::default()
        .with_name(text(TOPIC).into())
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let response = client.ask(version, request).await;
    let stored = &response.responses[0].partition_responses[0];
    assert_eq!(
        (stored.error_code, stored.base_offset),
        (0, i64::from(version - 3)),
        "version {version}"
    );
    assert_eq!(stored.error_message, None, "version {version}");
}

async fn fetch(client: &mut WireClient, version: i16) {
    let partition = FetchPartition::default()
        .with_fetch_offset(0)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(text(TOPIC).into())
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(1_000)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    assert_eq!(
        (response.error_code, response.session_id),
        (0, 0),
        "version {version}"
    );
    let read = &response.responses[0].partitions[0];
    assert_eq!(
        (read.error_code, read.preferred_read_replica.0),
        (0, -1),
        "version {version}"
    );
    assert!(
        read.records
            .as_ref()
            .is_some_and(|records: &Bytes| !records.is_empty()),
        "version {version}"
    );
    assert_eq!(
        (read.high_watermark, read.last_stable_offset),
        (9, 9),
        "version {version}"
    );
    assert_eq!(read.aborted_transactions, None, "version {version}");
    assert_eq!(
        (read.diverging_epoch.epoch, read.current_leader.leader_id.0),
        (-1, -1),
        "version {version}"
    );
}

async fn list_offsets(client: &mut WireClient, version: i16) {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(-1)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    let found = &response.topics[0].partitions[0];
    assert_eq!(
        (found.error_code, found.offset, found.timestamp),
        (0, 9, -1),
        "version {version}"
    );
}

async fn find_coordinator(client: &mut WireClient, version: i16) {
    let request = FindCoordinatorRequest::default();
    let request = if version < 4 {
        request.with_key(text("a-group"))
    } else {
        request.with_coordinator_keys(vec![text("a-group"), text("another")])
    };
    let response = client.ask(version, request).await;
    if version < 4 {
        assert_eq!(
            (response.error_code, response.node_id.0),
            (0, 1),
            "version {version}"
        );
        assert_eq!(response.host.as_str(), "127.0.0.1", "version {version}");
    } else {
        let found: Vec<_> = response
            .coordinators
            .iter()
            .map(|one| (one.key.as_str(), one.node_id.0))
            .collect();
        assert_eq!(found, [("a-group", 1), ("another", 1)], "version {version}");
    }
}

async fn create(client: &mut WireClient, version: i16, name: &str) {
    let config = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("60000")));
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(2)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.ask(version, request).await;
    let made = &response.topics[0];
    assert_eq!(
        (made.error_code, made.error_message.as_deref()),
        (0, None),
        "version {version}"
    );
    if 5 <= version {
        let configs = made.configs.as_ref().expect("configs");
        let retention = configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms")
            .expect("the key");
        assert_eq!(
            retention.value.as_deref(),
            Some("60000"),
            "version {version}"
        );
        assert_eq!(
            (made.num_partitions, made.replication_factor),
            (2, 1),
            "version {version}"
        );
    }
}

async fn delete(client: &mut WireClient, version: i16) {
    let name = format!("to-delete-{version}");
    create(client, 7, &name).await;
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    let request = if version < 6 {
        request.with_topic_names(vec![text(&name).into()])
    } else {
        request.with_topics(vec![
            DeleteTopicState::default().with_name(Some(text(&name).into())),
        ])
    };
    let response = client.ask(version, request).await;
    assert_eq!(response.responses[0].error_code, 0, "version {version}");
    assert_eq!(
        response.responses[0]
            .name
            .as_ref()
            .map(|name| name.as_str()),
        Some(name.as_str())
    );
}

async fn init_producer_id(client: &mut WireClient, version: i16) {
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000);
    if 3 <= version {
        request = request
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
    }
    let response = client.ask(version, request).await;
    assert_eq!(
        (response.error_code, response.producer_epoch),
        (0, 0),
        "version {version}"
    );
    assert!(0 <= response.producer_id.0, "version {version}");
}

async fn describe_configs(client: &mut WireClient, version: i16) {
    let topic = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC));
    let broker = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text("1"));
    let resources = vec![
        topic.with_configuration_keys(None),
        broker.with_configuration_keys(None),
    ];
    let response = client
        .ask(
            version,
            DescribeConfigsRequest::default().with_resources(resources),
        )
        .await;
    for (result, key) in response
        .results
        .iter()
        .zip(["retention.ms", "num.partitions"])
    {
        assert_eq!(
            (result.error_code, result.error_message.as_deref()),
            (0, None),
            "version {version}"
        );
        assert!(
            20 < result.configs.len(),
            "version {version}: every key is answered"
        );
        assert!(
            result
                .configs
                .iter()
                .any(|config| config.name.as_str() == key),
            "version {version}: {key}"
        );
    }
}
