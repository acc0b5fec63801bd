//! A request of every API, and what its answer says: by `match` without `_`, so that an API that comes has to be here.

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource as ReplacedResource;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_quorum_request::{
    PartitionData as QuorumPartition, TopicData as QuorumTopic,
};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest as DescribedTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::record::{BatchBuilder, NewRecord, ProducerStamp};
use crate::wire::{RequestBody, ResponseBody};

/// The group that is asked about.
pub(super) const GROUP: &str = "readers";
const TRANSACTION: &str = "writer";
/// The topic that a request wants to be made.
const TO_BE_MADE: &str = "new";
const TOPIC_RESOURCE: i8 = 2;

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A batch of one record.
fn record() -> NewRecord {
    NewRecord {
        timestamp: TimestampMs(1_000),
        key: None,
        value: Some(Bytes::from_static(b"alert")),
        headers: Vec::new(),
    }
}

pub(super) fn batch() -> Bytes {
    BatchBuilder::plain().push(record()).build()
}

/// The first batch of an idempotent producer.
pub(super) fn numbered_batch() -> Bytes {
    let stamp = ProducerStamp {
        id: ProducerId(7),
        epoch: ProducerEpoch(0),
        base_sequence: Some(Sequence(0)),
    };
    let numbered = BatchBuilder::plain().producer(stamp);
    { numbered }.push(record()).build()
}

pub(super) fn produce(topic: &str, acks: i16, timeout_ms: i32) -> RequestBody {
    produce_batch(topic, acks, timeout_ms, batch())
}

pub(super) fn produce_batch(topic: &str, acks: i16, timeout_ms: i32, batch: Bytes) -> RequestBody {
    let partition = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(text(topic).into())
        .with_partition_data(vec![partition]);
    RequestBody::Produce(
        ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(timeout_ms)
            .with_topic_data(vec![topic]),
    )
}

pub(super) fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> RequestBody {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(text(topic).into())
        .with_partitions(vec![partition]);
    RequestBody::Fetch(
        FetchRequest::default()
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]),
    )
}

/// The same, by ids.
fn produce_by_id(id: Uuid) -> RequestBody {
    let RequestBody::Produce(mut request) = produce("", -1, 1_000) else {
        unreachable!("made just above")
    };
    request.topic_data[0].topic_id = id;
    RequestBody::Produce(request)
}

fn fetch_by_id(id: Uuid) -> RequestBody {
    let RequestBody::Fetch(mut request) = fetch("", 0, 0) else {
        unreachable!("made just above")
    };
    request.topics[0].topic_id = id;
    RequestBody::Fetch(request)
}

pub(super) fn metadata(topic: &str) -> RequestBody {
    let named = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    RequestBody::Metadata(MetadataRequest::default().with_topics(Some(vec![named])))
}

/// A request in the API's last version, about a topic where it is about one.
pub(super) fn about(key: ApiKey, topic: &str, id: Uuid) -> RequestBody {
    match key {
        ApiKey::Produce => produce_by_id(id),
        ApiKey::Fetch => fetch_by_id(id),
        ApiKey::ListOffsets => list_offsets(topic),
        ApiKey::Metadata => metadata(topic),
        ApiKey::OffsetCommit => commit(topic),
        ApiKey::OffsetFetch => fetch_offsets(),
        ApiKey::FindCoordinator => RequestBody::FindCoordinator(
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]),
        ),
        ApiKey::JoinGroup => RequestBody::JoinGroup(
            JoinGroupRequest::default()
                .with_group_id(text(GROUP).into())
                .with_session_timeout_ms(10_000),
        ),
        ApiKey::Heartbeat => {
            RequestBody::Heartbeat(HeartbeatRequest::default().with_group_id(text(GROUP).into()))
        }
        ApiKey::LeaveGroup => {
            RequestBody::LeaveGroup(LeaveGroupRequest::default().with_group_id(text(GROUP).into()))
        }
        ApiKey::SyncGroup => {
            RequestBody::SyncGroup(SyncGroupRequest::default().with_group_id(text(GROUP).into()))
        }
        ApiKey::DescribeGroups => RequestBody::DescribeGroups(
            DescribeGroupsRequest::default().with_groups(vec![text(GROUP).into()]),
        ),
        ApiKey::ListGroups => RequestBody::ListGroups(ListGroupsRequest::default()),
        ApiKey::ApiVersions => RequestBody::ApiVersions(
            ApiVersionsRequest::default()
                .with_client_software_name(text("test"))
                .with_client_software_version(text("1")),
        ),
        ApiKey::CreateTopics => create_topics(),
        ApiKey::DeleteTopics => RequestBody::DeleteTopics(
            DeleteTopicsRequest::default()
                .with_timeout_ms(1_000)
                .with_topics(vec![
                    DeleteTopicState::default().with_name(Some(text(topic).into())),
                ]),
        ),
        ApiKey::InitProducerId => init_producer_id(None),
        ApiKey::DeleteRecords => delete_records(topic),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch(topic),
        ApiKey::AddPartitionsToTxn => RequestBody::AddPartitionsToTxn(
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(text(TRANSACTION).into())
                .with_v3_and_below_topics(vec![
                    AddPartitionsToTxnTopic::default()
                        .with_name(text(topic).into())
                        .with_partitions(vec![0]),
                ]),
        ),
        ApiKey::AddOffsetsToTxn => RequestBody::AddOffsetsToTxn(
            AddOffsetsToTxnRequest::default()
                .with_transactional_id(text(TRANSACTION).into())
                .with_group_id(text(GROUP).into()),
        ),
        ApiKey::EndTxn => RequestBody::EndTxn(
            EndTxnRequest::default().with_transactional_id(text(TRANSACTION).into()),
        ),
        ApiKey::TxnOffsetCommit => commit_in_transaction(topic),
        ApiKey::DescribeConfigs => {
            RequestBody::DescribeConfigs(DescribeConfigsRequest::default().with_resources(vec![
                DescribeConfigsResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(text(topic))
                    .with_configuration_keys(None),
            ]))
        }
        ApiKey::AlterConfigs => {
            RequestBody::AlterConfigs(AlterConfigsRequest::default().with_resources(vec![
                ReplacedResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(text(topic)),
            ]))
        }
        ApiKey::IncrementalAlterConfigs => RequestBody::IncrementalAlterConfigs(
            IncrementalAlterConfigsRequest::default().with_resources(vec![
                AlterConfigsResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(text(topic)),
            ]),
        ),
        ApiKey::DescribeLogDirs => {
            RequestBody::DescribeLogDirs(DescribeLogDirsRequest::default().with_topics(None))
        }
        ApiKey::CreatePartitions => RequestBody::CreatePartitions(
            CreatePartitionsRequest::default()
                .with_timeout_ms(1_000)
                .with_topics(vec![
                    CreatePartitionsTopic::default()
                        .with_name(text(topic).into())
                        .with_count(3)
                        .with_assignments(None),
                ]),
        ),
        ApiKey::DeleteGroups => RequestBody::DeleteGroups(
            DeleteGroupsRequest::default().with_groups_names(vec![text(GROUP).into()]),
        ),
        ApiKey::ListPartitionReassignments => {
            RequestBody::ListPartitionReassignments(ListPartitionReassignmentsRequest::default())
        }
        ApiKey::AlterPartitionReassignments => RequestBody::AlterPartitionReassignments(
            AlterPartitionReassignmentsRequest::default().with_topics(vec![
                ReassignableTopic::default()
                    .with_name(text(topic).into())
                    .with_partitions(vec![ReassignablePartition::default().with_replicas(None)]),
            ]),
        ),
        ApiKey::ElectLeaders => RequestBody::ElectLeaders(
            ElectLeadersRequest::default().with_topic_partitions(Some(vec![
                TopicPartitions::default()
                    .with_topic(text(topic).into())
                    .with_partitions(vec![0]),
            ])),
        ),
        ApiKey::ListConfigResources => {
            RequestBody::ListConfigResources(ListConfigResourcesRequest::default())
        }
        ApiKey::DescribeTopicPartitions => RequestBody::DescribeTopicPartitions(
            DescribeTopicPartitionsRequest::default().with_topics(vec![
                DescribedTopic::default().with_name(text(topic).into()),
            ]),
        ),
        ApiKey::OffsetDelete => delete_offsets(topic),
        ApiKey::DescribeQuorum => {
            RequestBody::DescribeQuorum(DescribeQuorumRequest::default().with_topics(vec![
                QuorumTopic::default()
                    .with_topic_name(text("__cluster_metadata").into())
                    .with_partitions(vec![QuorumPartition::default()]),
            ]))
        }
        ApiKey::UpdateFeatures => RequestBody::UpdateFeatures(
            UpdateFeaturesRequest::default()
                .with_timeout_ms(1_000)
                .with_feature_updates(vec![
                    FeatureUpdateKey::default()
                        .with_feature(text("mayday.version"))
                        .with_max_version_level(1)
                        .with_upgrade_type(1),
                ]),
        ),
        ApiKey::DescribeCluster => {
            RequestBody::DescribeCluster(DescribeClusterRequest::default().with_endpoint_type(1))
        }
        ApiKey::UnregisterBroker => RequestBody::UnregisterBroker(
            UnregisterBrokerRequest::default().with_broker_id(3.into()),
        ),
        ApiKey::DescribeProducers => {
            RequestBody::DescribeProducers(DescribeProducersRequest::default().with_topics(vec![
                TopicRequest::default()
                    .with_name(text(topic).into())
                    .with_partition_indexes(vec![0]),
            ]))
        }
        ApiKey::DescribeTransactions => RequestBody::DescribeTransactions(
            DescribeTransactionsRequest::default()
                .with_transactional_ids(vec![text(TRANSACTION).into()]),
        ),
        ApiKey::ListTransactions => {
            RequestBody::ListTransactions(ListTransactionsRequest::default())
        }
        ApiKey::AddRaftVoter => RequestBody::AddRaftVoter(
            AddRaftVoterRequest::default()
                .with_cluster_id(None)
                .with_timeout_ms(100)
                .with_voter_id(4)
                .with_voter_directory_id(Uuid::from_u64_pair(0, 4)),
        ),
        ApiKey::RemoveRaftVoter => RequestBody::RemoveRaftVoter(
            RemoveRaftVoterRequest::default()
                .with_cluster_id(None)
                .with_voter_id(3)
                .with_voter_directory_id(Uuid::from_u64_pair(0, 3)),
        ),
        other => panic!("{other:?} is served, and no test asks it"),
    }
}

pub(super) fn init_producer_id(transactional_id: Option<&str>) -> RequestBody {
    let id = transactional_id.map(|id| text(id).into());
    RequestBody::InitProducerId(
        InitProducerIdRequest::default()
            .with_transactional_id(id)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    )
}

fn list_offsets(topic: &str) -> RequestBody {
    let partition = ListOffsetsPartition::default()
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![partition]);
    RequestBody::ListOffsets(ListOffsetsRequest::default().with_topics(vec![topic]))
}

fn commit(topic: &str) -> RequestBody {
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![OffsetCommitRequestPartition::default()]);
    RequestBody::OffsetCommit(
        OffsetCommitRequest::default()
            .with_group_id(text(GROUP).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]),
    )
}

fn fetch_offsets() -> RequestBody {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(text(GROUP).into())
        .with_topics(None);
    RequestBody::OffsetFetch(OffsetFetchRequest::default().with_groups(vec![group]))
}

fn create_topics() -> RequestBody {
    let topic = CreatableTopic::default()
        .with_name(text(TO_BE_MADE).into())
        .with_num_partitions(-1)
        .with_replication_factor(-1);
    RequestBody::CreateTopics(
        CreateTopicsRequest::default()
            .with_timeout_ms(1_000)
            .with_topics(vec![topic]),
    )
}

fn delete_records(topic: &str) -> RequestBody {
    let topic = DeleteRecordsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![DeleteRecordsPartition::default()]);
    RequestBody::DeleteRecords(
        DeleteRecordsRequest::default()
            .with_timeout_ms(1_000)
            .with_topics(vec![topic]),
    )
}

fn offset_for_leader_epoch(topic: &str) -> RequestBody {
    let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(text(topic).into())
        .with_partitions(vec![partition]);
    RequestBody::OffsetForLeaderEpoch(
        OffsetForLeaderEpochRequest::default().with_topics(vec![topic]),
    )
}

fn commit_in_transaction(topic: &str) -> RequestBody {
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![TxnOffsetCommitRequestPartition::default()]);
    RequestBody::TxnOffsetCommit(
        TxnOffsetCommitRequest::default()
            .with_transactional_id(text(TRANSACTION).into())
            .with_group_id(text(GROUP).into())
            .with_generation_id(-1)
            .with_topics(vec![topic]),
    )
}

fn delete_offsets(topic: &str) -> RequestBody {
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
    RequestBody::OffsetDelete(
        OffsetDeleteRequest::default()
            .with_group_id(text(GROUP).into())
            .with_topics(vec![topic]),
    )
}

/// The one error code of an answer to [`about`].
pub(super) fn code_of(answer: &ResponseBody) -> i16 {
    match answer {
        ResponseBody::Produce(body) => body.responses[0].partition_responses[0].error_code,
        ResponseBody::Fetch(body) => body.responses[0].partitions[0].error_code,
        ResponseBody::ListOffsets(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::Metadata(body) => body.topics[0].error_code,
        ResponseBody::OffsetCommit(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::OffsetFetch(body) => body.groups[0].error_code,
        ResponseBody::FindCoordinator(body) => body.coordinators[0].error_code,
        ResponseBody::JoinGroup(body) => body.error_code,
        ResponseBody::Heartbeat(body) => body.error_code,
        ResponseBody::LeaveGroup(body) => body.error_code,
        ResponseBody::SyncGroup(body) => body.error_code,
        ResponseBody::DescribeGroups(body) => body.groups[0].error_code,
        ResponseBody::ListGroups(body) => body.error_code,
        ResponseBody::ApiVersions(body) => body.error_code,
        ResponseBody::CreateTopics(body) => body.topics[0].error_code,
        ResponseBody::DeleteTopics(body) => body.responses[0].error_code,
        ResponseBody::InitProducerId(body) => body.error_code,
        ResponseBody::DeleteRecords(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::OffsetForLeaderEpoch(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::AddPartitionsToTxn(body) => {
            let topic = &body.results_by_topic_v3_and_below[0];
            topic.results_by_partition[0].partition_error_code
        }
        ResponseBody::AddOffsetsToTxn(body) => body.error_code,
        ResponseBody::EndTxn(body) => body.error_code,
        ResponseBody::TxnOffsetCommit(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::DescribeConfigs(body) => body.results[0].error_code,
        ResponseBody::AlterConfigs(body) => body.responses[0].error_code,
        ResponseBody::DescribeLogDirs(body) => body.error_code,
        ResponseBody::CreatePartitions(body) => body.results[0].error_code,
        ResponseBody::DeleteGroups(body) => body.results[0].error_code,
        ResponseBody::IncrementalAlterConfigs(body) => body.responses[0].error_code,
        ResponseBody::ListPartitionReassignments(body) => body.error_code,
        ResponseBody::AlterPartitionReassignments(body) => match body.responses.first() {
            Some(topic) => topic.partitions[0].error_code,
            None => body.error_code,
        },
        ResponseBody::ElectLeaders(body) => match body.replica_election_results.first() {
            Some(topic) => topic.partition_result[0].error_code,
            None => body.error_code,
        },
        ResponseBody::ListConfigResources(body) => body.error_code,
        ResponseBody::DescribeTopicPartitions(body) => body.topics[0].error_code,
        ResponseBody::OffsetDelete(body) => match body.topics.first() {
            Some(topic) => topic.partitions[0].error_code,
            None => body.error_code,
        },
        ResponseBody::DescribeQuorum(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::UpdateFeatures(body) => body.error_code,
        ResponseBody::DescribeCluster(body) => body.error_code,
        ResponseBody::UnregisterBroker(body) => body.error_code,
        ResponseBody::DescribeProducers(body) => body.topics[0].partitions[0].error_code,
        ResponseBody::DescribeTransactions(body) => body.transaction_states[0].error_code,
        ResponseBody::ListTransactions(body) => body.error_code,
        ResponseBody::AddRaftVoter(body) => body.error_code,
        ResponseBody::RemoveRaftVoter(body) => body.error_code,
    }
}
