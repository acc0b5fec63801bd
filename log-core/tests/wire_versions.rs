//! Every (API, version) that we advertise, asked by the codec's client side, its answer decoded to the last byte.

mod support;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_topic_partitions_request::{
    Cursor, TopicRequest as DescribedTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use log_core::testing::wire::SERVED;
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, text};
use uuid::Uuid;

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
        ApiKey::JoinGroup => join(client, version).await,
        ApiKey::SyncGroup => sync(client, version).await,
        ApiKey::Heartbeat => heartbeat(client, version).await,
        ApiKey::LeaveGroup => leave(client, version).await,
        ApiKey::OffsetCommit => commit(client, version).await,
        ApiKey::OffsetFetch => fetch_offsets(client, version).await,
        ApiKey::OffsetDelete => delete_offsets(client, version).await,
        ApiKey::ListGroups => list_groups(client, version).await,
        ApiKey::DescribeGroups => describe_groups(client, version).await,
        ApiKey::DeleteGroups => delete_groups(client, version).await,
        ApiKey::CreatePartitions => create_partitions(client, version).await,
        ApiKey::DeleteRecords => delete_records(client, version).await,
        ApiKey::AlterConfigs => alter_configs(client, version).await,
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs(client, version).await,
        ApiKey::DescribeCluster => describe_cluster(client, version).await,
        ApiKey::DescribeLogDirs => describe_log_dirs(client, version).await,
        ApiKey::AlterPartitionReassignments => alter_reassignments(client, version).await,
        ApiKey::ElectLeaders => elect_leaders(client, version).await,
        ApiKey::ListConfigResources => list_config_resources(client, version).await,
        ApiKey::DescribeTopicPartitions => describe_topic_partitions(client, version).await,
        ApiKey::ListPartitionReassignments => list_reassignments(client, version).await,
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch(client, version).await,
        ApiKey::AddPartitionsToTxn => add_partitions(client, version).await,
        ApiKey::AddOffsetsToTxn => add_offsets(client, version).await,
        ApiKey::TxnOffsetCommit => commit_in_transaction(client, version).await,
        ApiKey::EndTxn => end_transaction(client, version).await,
        ApiKey::DescribeTransactions => describe_transactions(client, version).await,
        ApiKey::ListTransactions => list_transactions(client, version).await,
        ApiKey::DescribeProducers => describe_producers(client, version).await,
        ApiKey::CreateTopics => create(client, version, &format!("made-by-{version}")).await,
        ApiKey::DeleteTopics => delete(client, version).await,
        ApiKey::InitProducerId => init_producer_id(client, version).await,
        ApiKey::DescribeConfigs => describe_configs(client, version).await,
        ApiKey::DescribeQuorum => describe_quorum(client, version).await,
        ApiKey::UpdateFeatures => update_features(client, version).await,
        ApiKey::UnregisterBroker => unregister(client, version).await,
        ApiKey::AddRaftVoter => add_voter(client, version).await,
        ApiKey::RemoveRaftVoter => remove_voter(client, version).await,
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

async fn id_of(client: &mut WireClient, topic: &str) -> Uuid {
    let named = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default().with_topics(Some(vec![named]));
    client.ask(12, request).await.topics[0].topic_id
}

async fn produce(client: &mut WireClient, version: i16) {
    let partition =
        PartitionProduceData::default().with_records(Some(batch_of(&[&format!("{version}")])));
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let topic = match version {
        13.. => topic.with_topic_id(id_of(client, TOPIC).await),
        _ => topic.with_name(text(TOPIC).into()),
    };
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
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic = match version {
        13.. => topic.with_topic_id(id_of(client, TOPIC).await),
        _ => topic.with_topic(text(TOPIC).into()),
    };
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
        (11, 11),
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
        (0, 11, -1),
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

// --- Groups

fn join_request(group: &str, member: &str, version: i16) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"));
    let request = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    if 1 <= version {
        request.with_rebalance_timeout_ms(10_000)
    } else {
        request.with_rebalance_timeout_ms(-1)
    }
}

/// Joins a group of its own; the member's id and generation.
async fn joined(client: &mut WireClient, group: &str, version: i16) -> (StrBytes, i32) {
    let first = client.ask(version, join_request(group, "", version)).await;
    let response = if 4 <= version {
        assert_eq!(
            first.error_code,
            ResponseError::MemberIdRequired.code(),
            "version {version}"
        );
        client
            .ask(version, join_request(group, &first.member_id, version))
            .await
    } else {
        first
    };
    assert_eq!(
        (response.error_code, response.members.len()),
        (0, 1),
        "version {version}"
    );
    assert_eq!(response.leader, response.member_id, "version {version}");
    assert_eq!(
        response.protocol_name.as_deref(),
        Some("range"),
        "version {version}"
    );
    (response.member_id, response.generation_id)
}

/// Joins and takes its assignment.
async fn synced(client: &mut WireClient, group: &str) -> (StrBytes, i32) {
    let (member, generation) = joined(client, group, 5).await;
    let response = client
        .ask(3, sync_request(group, &member, generation))
        .await;
    assert_eq!(response.error_code, 0);
    (member, generation)
}

fn sync_request(group: &str, member: &str, generation: i32) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(text(member))
        .with_assignment(Bytes::from_static(b"all of it"));
    SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_assignments(vec![assignment])
}

async fn join(client: &mut WireClient, version: i16) {
    joined(client, &format!("join-{version}"), version).await;
}

async fn sync(client: &mut WireClient, version: i16) {
    let group = format!("sync-{version}");
    let (member, generation) = joined(client, &group, 5).await;
    let mut request = sync_request(&group, &member, generation);
    if 5 <= version {
        request = request
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
    }
    let response = client.ask(version, request).await;
    assert_eq!(
        (response.error_code, response.assignment.as_ref()),
        (0, &b"all of it"[..]),
        "version {version}"
    );
    if 5 <= version {
        assert_eq!(
            response.protocol_name.as_deref(),
            Some("range"),
            "version {version}"
        );
    }
}

async fn heartbeat(client: &mut WireClient, version: i16) {
    let group = format!("heartbeat-{version}");
    let (member, generation) = synced(client, &group).await;
    let request = |generation| {
        HeartbeatRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(generation)
            .with_member_id(member.clone())
    };
    assert_eq!(
        client.ask(version, request(generation)).await.error_code,
        0,
        "version {version}"
    );
    let stale = client.ask(version, request(generation + 1)).await;
    assert_eq!(
        stale.error_code,
        ResponseError::IllegalGeneration.code(),
        "version {version}"
    );
}

async fn leave(client: &mut WireClient, version: i16) {
    let group = format!("leave-{version}");
    let (member, _) = synced(client, &group).await;
    let request = LeaveGroupRequest::default().with_group_id(text(&group).into());
    let request = if version < 3 {
        request.with_member_id(member)
    } else {
        request.with_members(vec![MemberIdentity::default().with_member_id(member)])
    };
    let response = client.ask(version, request.clone()).await;
    assert_eq!(response.error_code, 0, "version {version}");
    let again = client.ask(version, request).await;
    let refused = if version < 3 {
        again.error_code
    } else {
        again.members[0].error_code
    };
    assert_eq!(
        refused,
        ResponseError::UnknownMemberId.code(),
        "version {version}"
    );
}

async fn commit(client: &mut WireClient, version: i16) {
    let partition = |index: i32, metadata: String| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(i64::from(version))
            .with_committed_metadata(Some(StrBytes::from_string(metadata)));
        if 6 <= version {
            partition.with_committed_leader_epoch(1)
        } else {
            partition
        }
    };
    let partitions = vec![
        partition(0, "note".to_owned()),
        partition(9, String::new()),
        partition(1, "x".repeat(5000)),
    ];
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(partitions);
    let request = OffsetCommitRequest::default()
        .with_group_id(text("offsets").into())
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    let codes: Vec<i16> = response.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code)
        .collect();
    let (unknown, too_large) = (
        ResponseError::UnknownTopicOrPartition,
        ResponseError::OffsetMetadataTooLarge,
    );
    assert_eq!(
        codes,
        [0, unknown.code(), too_large.code()],
        "version {version}"
    );
}

async fn fetch_offsets(client: &mut WireClient, version: i16) {
    commit(client, 9).await;
    let request = OffsetFetchRequest::default();
    if version < 8 {
        let asked = OffsetFetchRequestTopic::default()
            .with_name(text(TOPIC).into())
            .with_partition_indexes(vec![0, 1]);
        let response = client
            .ask(
                version,
                request
                    .with_group_id(text("offsets").into())
                    .with_topics(Some(vec![asked])),
            )
            .await;
        let found = &response.topics[0].partitions;
        assert_eq!(
            (response.error_code, found[0].committed_offset),
            (0, 9),
            "version {version}"
        );
        assert_eq!(
            found[0].metadata.as_deref(),
            Some("note"),
            "version {version}"
        );
        assert_eq!(
            (found[1].error_code, found[1].committed_offset),
            (0, -1),
            "version {version}"
        );
    } else {
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(text("offsets").into())
            .with_topics(None);
        let response = client.ask(version, request.with_groups(vec![group])).await;
        let found = &response.groups[0].topics[0].partitions;
        assert_eq!(
            (found.len(), found[0].committed_offset),
            (1, 9),
            "version {version}"
        );
        assert_eq!(found[0].committed_leader_epoch, 1, "version {version}");
    }
}

async fn delete_offsets(client: &mut WireClient, version: i16) {
    commit(client, 9).await;
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(text("offsets").into())
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    assert_eq!(
        (
            response.error_code,
            response.topics[0].partitions[0].error_code
        ),
        (0, 0),
        "version {version}"
    );
}

async fn list_groups(client: &mut WireClient, version: i16) {
    let group = format!("listed-{version}");
    synced(client, &group).await;
    let request = ListGroupsRequest::default();
    let request = if 4 <= version {
        request.with_states_filter(vec![text("stable")])
    } else {
        request
    };
    let request = if 5 <= version {
        request.with_types_filter(vec![text("classic")])
    } else {
        request
    };
    let response = client.ask(version, request).await;
    let listed = response
        .groups
        .iter()
        .find(|listed| listed.group_id.as_str() == group)
        .expect("listed");
    assert_eq!(
        listed.protocol_type.as_str(),
        "consumer",
        "version {version}"
    );
    if 4 <= version {
        assert!(
            response
                .groups
                .iter()
                .all(|group| group.group_state.as_str() == "Stable"),
            "version {version}"
        );
    }
    if 5 <= version {
        assert_eq!(listed.group_type.as_str(), "classic", "version {version}");
    }
}

async fn describe_groups(client: &mut WireClient, version: i16) {
    let group = format!("described-{version}");
    synced(client, &group).await;
    let groups = vec![text(&group).into(), text("nobody").into()];
    let response = client
        .ask(
            version,
            DescribeGroupsRequest::default().with_groups(groups),
        )
        .await;
    let (known, unknown) = (&response.groups[0], &response.groups[1]);
    assert_eq!(
        (known.error_code, known.group_state.as_str()),
        (0, "Stable"),
        "version {version}"
    );
    assert_eq!(known.protocol_data.as_str(), "range", "version {version}");
    assert_eq!(
        known.members[0].member_assignment.as_ref(),
        b"all of it",
        "version {version}"
    );
    assert_eq!(
        known.members[0].client_host.as_str(),
        "/127.0.0.1",
        "version {version}"
    );
    let expected = if version < 6 {
        0
    } else {
        ResponseError::GroupIdNotFound.code()
    };
    assert_eq!(
        (unknown.error_code, unknown.group_state.as_str()),
        (expected, "Dead"),
        "version {version}"
    );
}

async fn delete_groups(client: &mut WireClient, version: i16) {
    let group = format!("deleted-{version}");
    let (member, _) = synced(client, &group).await;
    let groups = vec![text(&group).into(), text("nobody").into()];
    let request = DeleteGroupsRequest::default().with_groups_names(groups);
    let codes = |response: DeleteGroupsResponse| -> Vec<i16> {
        response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect()
    };
    let (not_empty, unknown) = (
        ResponseError::NonEmptyGroup.code(),
        ResponseError::GroupIdNotFound.code(),
    );
    assert_eq!(
        codes(client.ask(version, request.clone()).await),
        [not_empty, unknown],
        "version {version}"
    );

    let leaver = MemberIdentity::default().with_member_id(member);
    let leave = LeaveGroupRequest::default()
        .with_group_id(text(&group).into())
        .with_members(vec![leaver]);
    assert_eq!(client.ask(3, leave).await.error_code, 0);
    assert_eq!(
        codes(client.ask(version, request).await),
        [0, unknown],
        "version {version}"
    );
}

// --- Administration

async fn create_partitions(client: &mut WireClient, version: i16) {
    let name = format!("grown-{version}");
    create(client, 7, &name).await;
    let topic = |name: &str| {
        CreatePartitionsTopic::default()
            .with_name(text(name).into())
            .with_count(3)
            .with_assignments(None)
    };
    let topics = vec![topic(&name), topic("missing")];
    let request = CreatePartitionsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(10_000);
    let response = client.ask(version, request).await;
    let codes: Vec<i16> = response
        .results
        .iter()
        .map(|result| result.error_code)
        .collect();
    assert_eq!(
        codes,
        [0, ResponseError::UnknownTopicOrPartition.code()],
        "version {version}"
    );
}

async fn delete_records(client: &mut WireClient, version: i16) {
    let partition = |index| {
        DeleteRecordsPartition::default()
            .with_partition_index(index)
            .with_offset(0)
    };
    let topic = DeleteRecordsTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(vec![
            partition(0),
            partition(9),
            partition(1).with_offset(99),
        ]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.ask(version, request).await;
    let told = response.topics[0]
        .partitions
        .iter()
        .map(|told| (told.error_code, told.low_watermark));
    let (unknown, out_of_range) = (
        ResponseError::UnknownTopicOrPartition,
        ResponseError::OffsetOutOfRange,
    );
    assert!(
        told.eq([(0, 0), (unknown.code(), -1), (out_of_range.code(), -1)]),
        "version {version}"
    );
}

async fn alter_configs(client: &mut WireClient, version: i16) {
    use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = |value: &str| {
        vec![
            AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text(value))),
        ]
    };
    let resource = |kind: i8, name: &str, value: &str| {
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(config(value))
    };
    let name = format!("altered-{version}");
    create(client, 7, &name).await;
    let resources = vec![
        resource(2, &name, "5000"),
        resource(2, TOPIC, "never"),
        resource(4, "1", "5"),
    ];
    let response = client
        .ask(
            version,
            AlterConfigsRequest::default().with_resources(resources),
        )
        .await;
    let codes: Vec<i16> = response
        .responses
        .iter()
        .map(|told| told.error_code)
        .collect();
    let (invalid, not_here) = (
        ResponseError::InvalidConfig.code(),
        ResponseError::InvalidRequest.code(),
    );
    assert_eq!(codes, [0, invalid, not_here], "version {version}");
}

async fn incremental_alter_configs(client: &mut WireClient, version: i16) {
    use kafka_protocol::messages::incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig,
    };
    let op = |operation: i8, value: Option<&str>| {
        AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_config_operation(operation)
            .with_value(value.map(text))
    };
    let resource = |name: &str, op: AlterableConfig| {
        AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(name))
            .with_configs(vec![op])
    };
    let name = format!("changed-{version}");
    create(client, 7, &name).await;
    let resources = vec![
        resource(&name, op(0, Some("5000"))),
        resource(TOPIC, op(2, Some("1"))),
        resource("missing", op(1, None)),
    ];
    let response = client
        .ask(
            version,
            IncrementalAlterConfigsRequest::default().with_resources(resources),
        )
        .await;
    let codes: Vec<i16> = response
        .responses
        .iter()
        .map(|told| told.error_code)
        .collect();
    let (invalid, unknown) = (
        ResponseError::InvalidConfig,
        ResponseError::UnknownTopicOrPartition,
    );
    assert_eq!(
        codes,
        [0, invalid.code(), unknown.code()],
        "version {version}"
    );
}

async fn describe_cluster(client: &mut WireClient, version: i16) {
    let response = client
        .ask(
            version,
            DescribeClusterRequest::default().with_endpoint_type(1),
        )
        .await;
    assert_eq!(
        (response.error_code, response.error_message.as_deref()),
        (0, None),
        "version {version}"
    );
    assert_eq!(
        (response.controller_id.0, response.brokers.len()),
        (1, 1),
        "version {version}"
    );
    assert!(!response.cluster_id.is_empty(), "version {version}");
}

async fn describe_log_dirs(client: &mut WireClient, version: i16) {
    let response = client
        .ask(version, DescribeLogDirsRequest::default().with_topics(None))
        .await;
    let folder = &response.results[0];
    let topic = folder
        .topics
        .iter()
        .find(|topic| topic.name.as_str() == TOPIC)
        .expect("described");
    assert_eq!(
        (folder.error_code, topic.partitions.len()),
        (0, 2),
        "version {version}"
    );
    assert!(0 < topic.partitions[0].partition_size, "version {version}");
}

async fn list_reassignments(client: &mut WireClient, version: i16) {
    let request = ListPartitionReassignmentsRequest::default()
        .with_topics(None)
        .with_timeout_ms(1000);
    let response = client.ask(version, request).await;
    assert_eq!(
        (response.error_code, response.topics.len()),
        (0, 0),
        "version {version}"
    );
}

async fn alter_reassignments(client: &mut WireClient, version: i16) {
    let partition = |index, replicas: Option<&[i32]>| {
        let brokers = |ids: &[i32]| ids.iter().map(|id| (*id).into()).collect();
        ReassignablePartition::default()
            .with_partition_index(index)
            .with_replicas(replicas.map(brokers))
    };
    let asked = [
        (0, Some(&[1][..])),
        (1, Some(&[1, 2])),
        (0, None),
        (9, None),
    ];
    let topic = ReassignableTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(asked.map(|(index, them)| partition(index, them)).to_vec());
    let request = AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(1_000)
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    let answered = &response.responses[0].partitions;
    let codes: Vec<_> = answered.iter().map(|it| it.error_code).collect();
    let expected = [
        0,
        ResponseError::InvalidReplicaAssignment.code(),
        ResponseError::NoReassignmentInProgress.code(),
        ResponseError::UnknownTopicOrPartition.code(),
    ];
    assert_eq!(
        (response.error_code, codes),
        (0, expected.to_vec()),
        "version {version}"
    );
}

async fn elect_leaders(client: &mut WireClient, version: i16) {
    let topic = TopicPartitions::default()
        .with_topic(text(TOPIC).into())
        .with_partitions(vec![0, 9]);
    let request = ElectLeadersRequest::default()
        .with_timeout_ms(1_000)
        .with_topic_partitions(Some(vec![topic]));
    let response = client.ask(version, request.clone()).await;
    let answered = &response.replica_election_results[0].partition_result;
    let codes: Vec<_> = answered.iter().map(|it| it.error_code).collect();
    let expected = [
        ResponseError::ElectionNotNeeded.code(),
        ResponseError::UnknownTopicOrPartition.code(),
    ];
    assert_eq!(
        (response.error_code, codes),
        (0, expected.to_vec()),
        "version {version}"
    );

    let all = client
        .ask(version, request.with_topic_partitions(None))
        .await;
    let mut results = all.replica_election_results.iter();
    assert!(
        results.all(|topic| topic.partition_result.is_empty()),
        "version {version}"
    );
}

async fn list_config_resources(client: &mut WireClient, version: i16) {
    let response = client
        .ask(version, ListConfigResourcesRequest::default())
        .await;
    let named = |kind: i8, name: &str| {
        let mut resources = response.config_resources.iter();
        resources.any(|it| (it.resource_type, it.resource_name.as_str()) == (kind, name))
    };
    let is_listed = (1 <= version, 1 <= version);
    assert_eq!(
        (named(2, TOPIC), named(4, "1")),
        is_listed,
        "version {version}"
    );
    if 1 <= version {
        let unknown = ListConfigResourcesRequest::default().with_resource_types(vec![7]);
        let refused = client.ask(version, unknown).await;
        assert_eq!(refused.error_code, ResponseError::UnsupportedVersion.code());
    }
}

/// Page by page, as Apache Kafka 4.1.1 turns them.
async fn describe_topic_partitions(client: &mut WireClient, version: i16) {
    let topics = [TOPIC, "absent", "no/name", TOPIC]
        .map(|name| DescribedTopic::default().with_name(text(name).into()));
    let request = |limit, cursor| {
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.to_vec())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    };
    let said = |response: &DescribeTopicPartitionsResponse| {
        let topics = response.topics.iter().map(|topic| {
            let name = topic
                .name
                .as_ref()
                .map_or("", |name| name.as_str())
                .to_owned();
            let partitions = topic.partitions.iter();
            let indexes: Vec<_> = partitions.map(|it| it.partition_index).collect();
            (name, topic.error_code, indexes)
        });
        topics.collect::<Vec<_>>()
    };
    let of = |name: &str, error: Option<ResponseError>, partitions: &[i32]| {
        let code = error.map_or(0, |error| error.code());
        (name.to_owned(), code, partitions.to_vec())
    };
    let absent = of("absent", Some(ResponseError::UnknownTopicOrPartition), &[]);
    let invalid = of("no/name", Some(ResponseError::InvalidTopicException), &[]);

    let whole = client.ask(version, request(2_000, None)).await;
    assert_eq!(
        said(&whole),
        [absent.clone(), invalid.clone(), of(TOPIC, None, &[0, 1])]
    );
    assert_eq!(whole.next_cursor, None);

    let first = client.ask(version, request(1, None)).await;
    assert_eq!(said(&first), [absent, invalid, of(TOPIC, None, &[0])]);
    let next = first.next_cursor.expect("a partition is left");
    let cursor = Cursor::default()
        .with_topic_name(next.topic_name)
        .with_partition_index(next.partition_index);
    let second = client.ask(version, request(1, Some(cursor.clone()))).await;
    assert_eq!(said(&second), [of(TOPIC, None, &[1])]);
    assert_eq!(second.next_cursor, None);

    let nowhere = request(1, Some(cursor.with_partition_index(-1)));
    let refused = client.ask(version, nowhere).await;
    let mut topics = refused.topics.iter();
    assert!(topics.all(|it| it.error_code == ResponseError::InvalidRequest.code()));
}

async fn offset_for_leader_epoch(client: &mut WireClient, version: i16) {
    let partition = |epoch| {
        OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_leader_epoch(epoch)
    };
    let topic = OffsetForLeaderTopic::default()
        .with_topic(text(TOPIC).into())
        .with_partitions(vec![partition(1), partition(9)]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let request = if 3 <= version {
        request.with_replica_id((-1).into())
    } else {
        request
    };
    let response = client.ask(version, request).await;
    let told = response.topics[0]
        .partitions
        .iter()
        .map(|end| (end.error_code, end.leader_epoch, end.end_offset));
    assert!(told.eq([(0, 1, 11), (0, -1, -1)]), "version {version}");
}

// --- Transactions

/// A transactional producer: its id, producer id and epoch.
async fn transactional(client: &mut WireClient, id: &str) -> (ProducerId, i16) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(id).into()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let response = client.ask(4, request).await;
    assert_eq!(response.error_code, 0, "{id}");
    (response.producer_id, response.producer_epoch)
}

fn add_request(
    id: &str,
    producer: (ProducerId, i16),
    partitions: Vec<i32>,
) -> AddPartitionsToTxnRequest {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(partitions);
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(id).into())
        .with_v3_and_below_producer_id(producer.0)
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic])
}

/// A producer with an open transaction.
async fn begun(client: &mut WireClient, id: &str) -> (ProducerId, i16) {
    let producer = transactional(client, id).await;
    let response = client.ask(0, add_request(id, producer, vec![0])).await;
    assert_eq!(
        response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
        0
    );
    producer
}

async fn add_partitions(client: &mut WireClient, version: i16) {
    let id = format!("add-{version}");
    let producer = transactional(client, &id).await;
    let codes = |response: AddPartitionsToTxnResponse| -> Vec<i16> {
        let partitions = &response.results_by_topic_v3_and_below[0].results_by_partition;
        partitions
            .iter()
            .map(|told| told.partition_error_code)
            .collect()
    };
    let added = client
        .ask(version, add_request(&id, producer, vec![0, 1]))
        .await;
    assert_eq!(codes(added), [0, 0], "version {version}");
    let partly = client
        .ask(version, add_request(&id, producer, vec![0, 9]))
        .await;
    let (not_tried, unknown) = (
        ResponseError::OperationNotAttempted,
        ResponseError::UnknownTopicOrPartition,
    );
    assert_eq!(
        codes(partly),
        [not_tried.code(), unknown.code()],
        "version {version}"
    );

    transactional(client, &id).await;
    let zombie = client
        .ask(version, add_request(&id, producer, vec![0]))
        .await;
    let fenced = if version < 2 {
        ResponseError::InvalidProducerEpoch
    } else {
        ResponseError::ProducerFenced
    };
    assert_eq!(codes(zombie), [fenced.code()], "version {version}");
}

async fn add_offsets(client: &mut WireClient, version: i16) {
    let id = format!("add-offsets-{version}");
    let producer = transactional(client, &id).await;
    let request = |producer: (ProducerId, i16)| {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(&id).into())
            .with_producer_id(producer.0)
            .with_producer_epoch(producer.1)
            .with_group_id(text("in-a-transaction").into())
    };
    assert_eq!(
        client.ask(version, request(producer)).await.error_code,
        0,
        "version {version}"
    );
    let other = client
        .ask(version, request(((producer.0.0 + 1_000_000).into(), 0)))
        .await;
    assert_eq!(
        other.error_code,
        ResponseError::InvalidProducerIdMapping.code(),
        "version {version}"
    );
    end(client, 4, &id, producer, false).await;
}

async fn commit_in_transaction(client: &mut WireClient, version: i16) {
    let id = format!("commit-{version}");
    let producer = transactional(client, &id).await;
    let group = format!("group-{version}");
    let add = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(&id).into())
        .with_producer_id(producer.0)
        .with_producer_epoch(producer.1)
        .with_group_id(text(&group).into());
    assert_eq!(client.ask(4, add).await.error_code, 0, "version {version}");
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_committed_offset(5)
        .with_committed_metadata(Some(text("note")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(text(TOPIC).into())
        .with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(text(&id).into())
        .with_group_id(text(&group).into())
        .with_producer_id(producer.0)
        .with_producer_epoch(producer.1)
        .with_topics(vec![topic]);
    let response = client.ask(version, request).await;
    assert_eq!(
        response.topics[0].partitions[0].error_code, 0,
        "version {version}"
    );

    let committed = |stable| {
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(text(&group).into())
            .with_topics(Some(vec![
                OffsetFetchRequestTopics::default()
                    .with_name(text(TOPIC).into())
                    .with_partition_indexes(vec![0]),
            ]));
        OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(stable)
    };
    let before = client.ask(8, committed(true)).await.groups[0].topics[0].partitions[0].clone();
    assert_eq!(
        before.error_code,
        ResponseError::UnstableOffsetCommit.code(),
        "version {version}"
    );
    end(client, 4, &id, producer, true).await;
    let after = client.ask(8, committed(true)).await.groups[0].topics[0].partitions[0].clone();
    assert_eq!(
        (after.error_code, after.committed_offset),
        (0, 5),
        "version {version}"
    );
}

async fn end(
    client: &mut WireClient,
    version: i16,
    id: &str,
    producer: (ProducerId, i16),
    commit: bool,
) {
    let request = EndTxnRequest::default()
        .with_transactional_id(text(id).into())
        .with_producer_id(producer.0)
        .with_producer_epoch(producer.1)
        .with_committed(commit);
    assert_eq!(
        client.ask(version, request).await.error_code,
        0,
        "version {version}"
    );
}

async fn end_transaction(client: &mut WireClient, version: i16) {
    let id = format!("end-{version}");
    let producer = begun(client, &id).await;
    end(client, version, &id, producer, true).await;
    end(client, version, &id, producer, true).await;
    let wrong = EndTxnRequest::default()
        .with_transactional_id(text(&id).into())
        .with_producer_id(producer.0)
        .with_producer_epoch(producer.1)
        .with_committed(false);
    let refused = client.ask(version, wrong).await;
    assert_eq!(
        refused.error_code,
        ResponseError::InvalidTxnState.code(),
        "version {version}"
    );
}

async fn describe_transactions(client: &mut WireClient, version: i16) {
    let producer = begun(client, "described").await;
    let ids = vec![text("described").into(), text("nobody").into()];
    let response = client
        .ask(
            version,
            DescribeTransactionsRequest::default().with_transactional_ids(ids),
        )
        .await;
    let (known, unknown) = (
        &response.transaction_states[0],
        &response.transaction_states[1],
    );
    assert_eq!(
        (known.error_code, known.transaction_state.as_str()),
        (0, "Ongoing"),
        "version {version}"
    );
    assert_eq!(
        (known.producer_id, known.topics.len()),
        (producer.0, 1),
        "version {version}"
    );
    assert_eq!(
        unknown.error_code,
        ResponseError::TransactionalIdNotFound.code(),
        "version {version}"
    );
    end(client, 4, "described", producer, false).await;
}

async fn list_transactions(client: &mut WireClient, version: i16) {
    let id = format!("listed-{version}");
    let producer = begun(client, &id).await;
    let filters = vec![text("Ongoing"), text("Nonsense")];
    let request = ListTransactionsRequest::default().with_state_filters(filters);
    let response = client.ask(version, request).await;
    let listed: Vec<_> = response
        .transaction_states
        .iter()
        .map(|one| one.transactional_id.as_str())
        .collect();
    assert!(
        listed.contains(&id.as_str()),
        "version {version}: {listed:?}"
    );
    assert!(
        response
            .transaction_states
            .iter()
            .all(|one| one.transaction_state.as_str() == "Ongoing")
    );
    assert_eq!(
        response.unknown_state_filters,
        [text("Nonsense")],
        "version {version}"
    );
    end(client, 4, &id, producer, false).await;
}

async fn describe_producers(client: &mut WireClient, version: i16) {
    create(client, 7, "with-a-producer").await;
    let id = u64::try_from(init_plain(client).await).expect("an id");
    let stamp = log_core::record::ProducerStamp {
        id: log_core::ids::ProducerId(id),
        epoch: log_core::ids::ProducerEpoch(0),
        base_sequence: Some(log_core::ids::Sequence(0)),
    };
    let batch = support::records::batch_by(stamp, &["x", "y"]);
    assert_eq!(
        support::wire_client::produce(client, "with-a-producer", batch).await,
        Ok(0)
    );
    let topic = TopicRequest::default()
        .with_name(text("with-a-producer").into())
        .with_partition_indexes(vec![0, 9]);
    let response = client
        .ask(
            version,
            DescribeProducersRequest::default().with_topics(vec![topic]),
        )
        .await;
    let (known, unknown) = (
        &response.topics[0].partitions[0],
        &response.topics[0].partitions[1],
    );
    let producer = &known.active_producers[0];
    assert_eq!(
        (producer.producer_id.0, producer.last_sequence),
        (i64::try_from(id).expect("small"), 1)
    );
    assert_eq!(producer.current_txn_start_offset, -1, "version {version}");
    assert_eq!(
        unknown.error_code,
        ResponseError::UnknownTopicOrPartition.code(),
        "version {version}"
    );
}

async fn init_plain(client: &mut WireClient) -> i64 {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000);
    client.ask(0, request).await.producer_id.0
}

async fn describe_quorum(client: &mut WireClient, version: i16) {
    use describe_quorum_request::{PartitionData, TopicData};
    let topic = |name: &str| {
        TopicData::default()
            .with_topic_name(text(name).into())
            .with_partitions(vec![PartitionData::default()])
    };
    let topics = vec![topic("__cluster_metadata"), topic(TOPIC)];
    let request = DescribeQuorumRequest::default().with_topics(topics);

    let response = client.ask(version, request).await;

    let journal = &response.topics[0].partitions[0];
    assert_eq!(journal.error_code, 0, "version {version}");
    let voters = &journal.current_voters;
    assert_eq!(voters.len(), 1, "version {version}");
    assert_eq!(journal.leader_id, voters[0].replica_id, "version {version}");
    assert!(1 < journal.high_watermark, "version {version}");
    assert!(
        journal.high_watermark <= voters[0].log_end_offset,
        "version {version}"
    );
    let other = &response.topics[1].partitions[0];
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(other.error_code, unknown, "version {version}");
    if 2 <= version {
        assert_eq!(response.nodes.len(), 1);
        assert_eq!(response.nodes[0].node_id, journal.leader_id);
        assert_eq!(response.nodes[0].listeners[0].name.as_str(), "PLAINTEXT");
        assert!(!voters[0].replica_directory_id.is_nil());
    }
}

async fn update_features(client: &mut WireClient, version: i16) {
    let raise = |level: i16| {
        let update = update_features_request::FeatureUpdateKey::default()
            .with_feature(text("mayday.version"))
            .with_max_version_level(level)
            .with_upgrade_type(1);
        UpdateFeaturesRequest::default()
            .with_timeout_ms(10_000)
            .with_feature_updates(vec![update])
    };
    let code = |response: UpdateFeaturesResponse| match version {
        0 | 1 => response.results[0].error_code,
        _ => response.error_code,
    };
    assert_eq!(code(client.ask(version, raise(2)).await), 0);
    let beyond = ResponseError::InvalidUpdateVersion.code();
    assert_eq!(code(client.ask(version, raise(1_000)).await), beyond);
}

async fn unregister(client: &mut WireClient, version: i16) {
    let of = |node: i32| UnregisterBrokerRequest::default().with_broker_id(node.into());
    let member = client.ask(version, of(1)).await;
    assert_eq!(member.error_code, ResponseError::InvalidRequest.code());
    let stranger = client.ask(version, of(9)).await;
    let unknown = ResponseError::BrokerIdNotRegistered.code();
    assert_eq!(stranger.error_code, unknown);
}

async fn add_voter(client: &mut WireClient, version: i16) {
    let request = AddRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_timeout_ms(1_000)
        .with_voter_id(9)
        .with_voter_directory_id(uuid::Uuid::from_u64_pair(0, 9));
    let nobody = client.ask(version, request.clone()).await;
    assert_eq!(nobody.error_code, ResponseError::InvalidVoterKey.code());
    assert!(
        nobody
            .error_message
            .is_some_and(|why| why.contains("waits"))
    );

    let elsewhere = request.with_cluster_id(Some(text("another")));
    let refused = client.ask(version, elsewhere).await;
    let other = ResponseError::InconsistentClusterId.code();
    assert_eq!(refused.error_code, other);
}

async fn remove_voter(client: &mut WireClient, version: i16) {
    let request = RemoveRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(9)
        .with_voter_directory_id(uuid::Uuid::from_u64_pair(0, 9));
    let nobody = client.ask(version, request).await;
    assert_eq!(nobody.error_code, ResponseError::VoterNotFound.code());
}
