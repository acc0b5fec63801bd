//! Kafka's contract at the wire, answer by answer: the traps that break clients when they are missed.

mod support;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    MetadataResponse, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest,
};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence};
use log_core::record::{Attributes, BatchBuilder, ProducerStamp};
use support::TestBroker;
use support::records::{AT, batch_of, batch_with};
use support::wire_client::{
    WireClient, create_topic, create_topic_with, fetch_request, latest_offset, produce,
    produce_request, text,
};
use uuid::Uuid;

const SHORT: Duration = Duration::from_millis(200);

async fn broker_with(topics: &[&str]) -> (TestBroker, WireClient) {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    for topic in topics {
        create_topic(&mut client, topic, 1).await;
    }
    (broker, client)
}

fn code(error: ResponseError) -> i16 {
    error.code()
}

// --- Metadata

fn names(response: &MetadataResponse) -> Vec<&str> {
    response
        .topics
        .iter()
        .filter_map(|topic| topic.name.as_ref().map(|name| name.as_str()))
        .collect()
}

fn about(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(text(name).into()))
}

#[tokio::test]
async fn metadata_of_no_topics_is_of_all_in_version_0_and_of_none_later_where_null_is_all() {
    let (broker, mut client) = broker_with(&["a", "b"]).await;
    let none_named = || MetadataRequest::default().with_topics(Some(Vec::new()));

    assert_eq!(names(&client.ask(0, none_named()).await), ["a", "b"]);
    for version in 1..=12 {
        assert!(
            client.ask(version, none_named()).await.topics.is_empty(),
            "version {version}"
        );
        let all = client
            .ask(version, MetadataRequest::default().with_topics(None))
            .await;
        assert_eq!(names(&all), ["a", "b"], "version {version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn metadata_says_of_each_topic_why_it_is_not_there() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let request = MetadataRequest::default().with_topics(Some(vec![
        about("a"),
        about("missing"),
        about("no/name"),
    ]));
    let response = client.ask(9, request).await;
    let codes: Vec<i16> = response
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    let (unknown, invalid) = (
        ResponseError::UnknownTopicOrPartition,
        ResponseError::InvalidTopicException,
    );
    assert_eq!(codes, [0, code(unknown), code(invalid)]);

    let all = client
        .ask(9, MetadataRequest::default().with_topics(None))
        .await;
    assert_eq!(names(&all), ["a"], "asking made nothing");
    broker.stop().await;
}

#[tokio::test]
async fn metadata_finds_a_topic_by_its_id() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let id = client
        .ask(12, MetadataRequest::default().with_topics(None))
        .await
        .topics[0]
        .topic_id;
    let by_id = |id| {
        MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(id)
    };
    let asked = vec![by_id(id), by_id(Uuid::from_u128(7))];

    let response = client
        .ask(12, MetadataRequest::default().with_topics(Some(asked)))
        .await;

    assert_eq!(
        (response.topics[0].error_code, names(&response)),
        (0, vec!["a"])
    );
    assert_eq!(
        response.topics[1].error_code,
        code(ResponseError::UnknownTopicId)
    );
    broker.stop().await;
}

#[tokio::test]
async fn metadata_says_what_a_client_may_do_only_when_it_asks() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let request = |asks| {
        MetadataRequest::default()
            .with_topics(None)
            .with_include_topic_authorized_operations(asks)
            .with_include_cluster_authorized_operations(asks)
    };
    let silent = client.ask(8, request(false)).await;
    assert_eq!(silent.topics[0].topic_authorized_operations, i32::MIN);
    assert_eq!(silent.cluster_authorized_operations, i32::MIN);
    let told = client.ask(8, request(true)).await;
    assert_eq!(
        told.topics[0].topic_authorized_operations & 1 << 4,
        1 << 4,
        "write"
    );
    assert_eq!(
        told.cluster_authorized_operations & 1 << 5,
        1 << 5,
        "create"
    );
    broker.stop().await;
}

// --- Produce

#[tokio::test]
async fn a_batch_that_is_not_whole_and_honest_is_refused_with_kafkas_code() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let changed = |at: usize, value: u8| {
        let mut batch = BytesMut::from(batch_of(&["x", "y"]).as_ref());
        batch[at] = value;
        batch.freeze()
    };
    let with_checksum = |batch: Bytes| {
        let mut batch = BytesMut::from(batch.as_ref());
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        batch.freeze()
    };
    let last = batch_of(&["x", "y"]).len() - 2;
    for (what, batch, expected) in [
        (
            "a changed byte",
            changed(last, 0xee),
            ResponseError::CorruptMessage,
        ),
        (
            "another magic",
            changed(16, 1),
            ResponseError::InvalidRecord,
        ),
        (
            "a wrong count",
            with_checksum(changed(60, 9)),
            ResponseError::InvalidRecord,
        ),
        (
            "an unknown codec",
            with_checksum(changed(22, 7)),
            ResponseError::UnsupportedCompressionType,
        ),
        ("no batch", Bytes::new(), ResponseError::InvalidRecord),
    ] {
        assert_eq!(
            produce(&mut client, "a", batch).await,
            Err(code(expected)),
            "{what}"
        );
    }
    assert_eq!(latest_offset(&mut client, "a").await, 0);
    broker.stop().await;
}

#[tokio::test]
async fn a_batch_above_max_message_bytes_is_message_too_large() {
    let (broker, mut client) = broker_with(&[]).await;
    create_topic_with(&mut client, "small", 1, &[("max.message.bytes", "200")]).await;
    assert_eq!(
        produce(&mut client, "small", batch_of(&["fits"])).await,
        Ok(0)
    );
    let large = batch_of(&["x".repeat(300).as_str()]);
    assert_eq!(
        produce(&mut client, "small", large).await,
        Err(code(ResponseError::MessageTooLarge))
    );
    broker.stop().await;
}

#[tokio::test]
async fn each_partition_of_a_produce_has_its_own_answer() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let mut request = produce_request("a", 0, -1, batch_of(&["x"]));
    let missing = produce_request("missing", 0, -1, batch_of(&["x"]));
    let no_partition = produce_request("a", 9, -1, batch_of(&["x"]));
    request.topic_data.extend(
        missing
            .topic_data
            .into_iter()
            .chain(no_partition.topic_data),
    );

    let response = client.ask(8, request).await;

    let codes: Vec<i16> = response
        .responses
        .iter()
        .map(|topic| topic.partition_responses[0].error_code)
        .collect();
    let unknown = code(ResponseError::UnknownTopicOrPartition);
    assert_eq!(codes, [0, unknown, unknown]);
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_can_refuse_acknowledgements_that_are_too_weak() {
    let (broker, mut client) = broker_with(&[]).await;
    create_topic_with(&mut client, "safe", 1, &[("mayday.acks.min", "all")]).await;
    let weak = client
        .ask(9, produce_request("safe", 0, 1, batch_of(&["x"])))
        .await;
    let strong = client
        .ask(9, produce_request("safe", 0, -1, batch_of(&["x"])))
        .await;
    let nonsense = client
        .ask(9, produce_request("safe", 0, 2, batch_of(&["x"])))
        .await;
    let codes = [weak, strong, nonsense]
        .map(|response| response.responses[0].partition_responses[0].error_code);
    let refused = code(ResponseError::InvalidRequiredAcks);
    assert_eq!(codes, [refused, 0, refused]);
    broker.stop().await;
}

#[tokio::test]
async fn acks_0_is_not_answered_and_when_refused_costs_the_connection() {
    let (broker, mut client) = broker_with(&["a"]).await;
    client
        .send(9, &produce_request("a", 0, 0, batch_of(&["x"])))
        .await;
    assert_eq!(
        produce(&mut client, "a", batch_of(&["y"])).await,
        Ok(1),
        "the next answer is the next request's"
    );

    client
        .send(9, &produce_request("missing", 0, 0, batch_of(&["x"])))
        .await;
    assert!(client.frame().await.is_none(), "closed");
    broker.stop().await;
}

#[tokio::test]
async fn produces_sent_without_waiting_are_stored_and_answered_in_order() {
    const BATCHES: i64 = 100;
    let (broker, mut client) = broker_with(&["a"]).await;
    for number in 0..BATCHES {
        client
            .send(
                9,
                &produce_request("a", 0, -1, batch_of(&[&number.to_string()])),
            )
            .await;
    }
    for number in 0..BATCHES {
        let response = client.answer::<ProduceRequest>(9).await;
        let stored = &response.responses[0].partition_responses[0];
        assert_eq!((stored.error_code, stored.base_offset), (0, number));
    }
    broker.stop().await;
}

#[tokio::test]
async fn log_append_time_is_told_to_the_producer_and_stands_in_the_records() {
    let (broker, mut client) = broker_with(&[]).await;
    create_topic_with(
        &mut client,
        "stamped",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    )
    .await;
    let response = client
        .ask(9, produce_request("stamped", 0, -1, batch_of(&["x"])))
        .await;
    let told = response.responses[0].partition_responses[0].log_append_time_ms;
    assert_ne!(told, AT.0);

    let batch = client.fetch_from("stamped", 0).await;
    assert_eq!(
        i64::from_be_bytes(batch[35..43].try_into().expect("eight bytes")),
        told,
        "max timestamp"
    );
    broker.stop().await;
}

// --- Fetch

async fn fetched(client: &mut WireClient, request: FetchRequest) -> PartitionData {
    let response = client.ask(12, request).await;
    assert_eq!(response.error_code, 0);
    response.responses[0].partitions[0].clone()
}

/// Base offset and length of a batch.
fn placed(batch: &Bytes) -> (i64, usize) {
    let base = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
    (base, batch.len())
}

#[tokio::test]
async fn a_fetch_from_the_middle_of_a_batch_gives_the_whole_batch() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let batch = batch_of(&["0", "1", "2"]);
    assert_eq!(produce(&mut client, "a", batch.clone()).await, Ok(0));
    let read = fetched(&mut client, fetch_request("a", 2)).await;
    assert_eq!(placed(&read.records.expect("records")), (0, batch.len()));
    broker.stop().await;
}

#[tokio::test]
async fn a_batch_larger_than_every_limit_is_given_all_the_same() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let batch = batch_of(&["x".repeat(50_000).as_str()]);
    for offset in 0..2 {
        assert_eq!(produce(&mut client, "a", batch.clone()).await, Ok(offset));
    }
    let mut request = fetch_request("a", 0).with_max_bytes(10);
    request.topics[0].partitions[0].partition_max_bytes = 10;
    let read = fetched(&mut client, request).await;
    assert_eq!(
        placed(&read.records.expect("records")),
        (0, batch.len()),
        "one batch and no more"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_for_the_next_record() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let mut waiting = WireClient::connect(&broker.address()).await;
    waiting.send(12, &fetch_request("a", 0)).await;
    assert!(
        tokio::time::timeout(SHORT, waiting.frame()).await.is_err(),
        "nothing to say yet"
    );

    let mut waiting = WireClient::connect(&broker.address()).await;
    waiting.send(12, &fetch_request("a", 0)).await;
    assert_eq!(produce(&mut client, "a", batch_of(&["x"])).await, Ok(0));
    let response = waiting.answer::<FetchRequest>(12).await;
    assert!(
        response.responses[0].partitions[0]
            .records
            .as_ref()
            .is_some_and(|records| !records.is_empty())
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_waits_for_as_many_bytes_as_it_asks_but_no_longer_than_it_says() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let batch = batch_of(&["x"]);
    assert_eq!(produce(&mut client, "a", batch.clone()).await, Ok(0));
    let want_two = i32::try_from(batch.len() + 1).expect("small");

    let mut waiting = WireClient::connect(&broker.address()).await;
    waiting
        .send(12, &fetch_request("a", 0).with_min_bytes(want_two))
        .await;
    assert_eq!(produce(&mut client, "a", batch.clone()).await, Ok(1));
    let response = waiting.answer::<FetchRequest>(12).await;
    let records = response.responses[0].partitions[0]
        .records
        .clone()
        .expect("records");
    assert_eq!(records.len(), 2 * batch.len());

    let impatient = fetch_request("a", 0)
        .with_min_bytes(1 << 20)
        .with_max_wait_ms(50);
    let read = fetched(&mut client, impatient).await;
    assert_eq!(read.records.expect("records").len(), 2 * batch.len());
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_outside_the_log_is_offset_out_of_range() {
    let (broker, mut client) = broker_with(&["a"]).await;
    for offset in [1, -1, i64::MAX] {
        let read = fetched(&mut client, fetch_request("a", offset)).await;
        assert_eq!(
            read.error_code,
            code(ResponseError::OffsetOutOfRange),
            "{offset}"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_that_knows_another_leader_epoch_is_told_so() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let metadata = client
        .ask(12, MetadataRequest::default().with_topics(None))
        .await;
    let ours = metadata.topics[0].partitions[0].leader_epoch;
    assert!(0 < ours, "a leader has an epoch");
    for (known, expected) in [
        (ours, 0),
        (ours - 1, code(ResponseError::FencedLeaderEpoch)),
        (ours + 1, code(ResponseError::UnknownLeaderEpoch)),
    ] {
        let mut request = fetch_request("a", 0).with_max_wait_ms(0);
        request.topics[0].partitions[0].current_leader_epoch = known;
        assert_eq!(
            fetched(&mut client, request).await.error_code,
            expected,
            "epoch {known} of {ours}"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn fetch_sessions_are_declined() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let new_session = fetch_request("a", 0)
        .with_max_wait_ms(0)
        .with_session_id(0)
        .with_session_epoch(0);
    let response = client.ask(12, new_session).await;
    assert_eq!((response.error_code, response.session_id), (0, 0));
    let unknown = client
        .ask(
            12,
            fetch_request("a", 0)
                .with_session_id(5)
                .with_session_epoch(1),
        )
        .await;
    assert_eq!(
        unknown.error_code,
        code(ResponseError::FetchSessionIdNotFound)
    );
    broker.stop().await;
}

#[tokio::test]
async fn one_answer_holds_no_more_than_was_asked_for_over_all_its_partitions() {
    let (broker, mut client) = broker_with(&["a", "b"]).await;
    let batch = batch_of(&["x".repeat(1_000).as_str()]);
    for topic in ["a", "b"] {
        assert_eq!(produce(&mut client, topic, batch.clone()).await, Ok(0));
    }
    let limit = i32::try_from(batch.len() + 10).expect("small");
    let mut request = fetch_request("a", 0).with_max_bytes(limit);
    request.topics.extend(fetch_request("b", 0).topics);
    let response = client.ask(12, request).await;
    let read = |topic: usize| {
        response.responses[topic].partitions[0]
            .records
            .as_ref()
            .map(Bytes::len)
    };
    assert_eq!((read(0), read(1)), (Some(batch.len()), Some(0)));
    broker.stop().await;
}

// --- ListOffsets

#[tokio::test]
async fn offsets_are_found_by_end_and_by_time() {
    let (broker, mut client) = broker_with(&["a"]).await;
    for offset in 0..3 {
        assert_eq!(
            produce(&mut client, "a", batch_of(&["x"])).await,
            Ok(offset)
        );
    }
    for (what, timestamp, expected) in [
        ("latest", -1, (0, 3, -1)),
        ("earliest", -2, (0, 0, -1)),
        ("largest timestamp", -3, (0, 0, AT.0)),
        ("at the records' time", AT.0, (0, 0, AT.0)),
        ("before it", AT.0 - 1, (0, 0, AT.0)),
        ("after it", AT.0 + 1, (0, -1, -1)),
        (
            "a tier that is not there",
            -5,
            (code(ResponseError::UnsupportedVersion), -1, -1),
        ),
    ] {
        let partition = ListOffsetsPartition::default()
            .with_timestamp(timestamp)
            .with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(text("a").into())
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]);
        let response = client.ask(7, request).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!(
            (found.error_code, found.offset, found.timestamp),
            expected,
            "{what}"
        );
    }
    broker.stop().await;
}

// --- Topics

async fn created(client: &mut WireClient, topic: CreatableTopic, validate_only: bool) -> i16 {
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000)
        .with_validate_only(validate_only);
    client.ask(7, request).await.topics[0].error_code
}

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

#[tokio::test]
async fn a_topic_that_cannot_be_made_is_refused_with_kafkas_code() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let compacted = CreatableTopicConfig::default()
        .with_name(text("cleanup.policy"))
        .with_value(Some(text("compact")));
    for (what, asked, expected) in [
        (
            "one that is there",
            topic("a"),
            ResponseError::TopicAlreadyExists,
        ),
        (
            "no name",
            topic("no/name"),
            ResponseError::InvalidTopicException,
        ),
        (
            "no partitions",
            topic("b").with_num_partitions(0),
            ResponseError::InvalidPartitions,
        ),
        (
            "more replicas than brokers",
            topic("b").with_replication_factor(2),
            ResponseError::InvalidReplicationFactor,
        ),
        (
            "what we do not do",
            topic("b").with_configs(vec![compacted]),
            ResponseError::InvalidConfig,
        ),
    ] {
        assert_eq!(
            created(&mut client, asked, false).await,
            code(expected),
            "{what}"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_named_twice_in_one_request_is_made_neither_time() {
    let (broker, mut client) = broker_with(&[]).await;
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic("a"), topic("a")])
        .with_timeout_ms(10_000);
    let response = client.ask(7, request).await;
    let refused = code(ResponseError::InvalidRequest);
    assert!(
        response
            .topics
            .iter()
            .all(|topic| topic.error_code == refused)
    );
    assert!(
        client
            .ask(1, MetadataRequest::default().with_topics(None))
            .await
            .topics
            .is_empty()
    );
    broker.stop().await;
}

#[tokio::test]
async fn validating_a_topic_makes_none() {
    let (broker, mut client) = broker_with(&[]).await;
    assert_eq!(created(&mut client, topic("a"), true).await, 0);
    assert!(
        client
            .ask(1, MetadataRequest::default().with_topics(None))
            .await
            .topics
            .is_empty()
    );
    assert_eq!(created(&mut client, topic("a"), false).await, 0);
    assert_eq!(
        created(&mut client, topic("a"), true).await,
        code(ResponseError::TopicAlreadyExists)
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_made_again_is_empty_and_another_one() {
    let (broker, mut client) = broker_with(&["a"]).await;
    assert_eq!(produce(&mut client, "a", batch_of(&["x"])).await, Ok(0));
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![text("a").into()])
        .with_timeout_ms(10_000);
    assert_eq!(
        client.ask(5, delete.clone()).await.responses[0].error_code,
        0
    );
    let again = client.ask(5, delete).await;
    assert_eq!(
        again.responses[0].error_code,
        code(ResponseError::UnknownTopicOrPartition)
    );

    create_topic(&mut client, "a", 1).await;
    assert_eq!(latest_offset(&mut client, "a").await, 0);
    assert_eq!(produce(&mut client, "a", batch_of(&["y"])).await, Ok(0));
    broker.stop().await;
}

// --- Transactions

#[tokio::test]
async fn nothing_is_appended_to_a_partition_that_is_not_in_the_producers_open_transaction() {
    let (broker, mut client) = broker_with(&["a"]).await;
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(text("t").into()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let producer = client.ask(4, init).await;
    assert_eq!(producer.error_code, 0);
    let id = u64::try_from(producer.producer_id.0).expect("an id");
    let stamp = ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        base_sequence: Some(Sequence(0)),
    };
    let attributes = Attributes {
        transactional: true,
        ..Attributes::PLAIN
    };
    let batch = batch_with(BatchBuilder::new(attributes).producer(stamp), &["x"]);

    let refused = produce(&mut client, "a", batch).await;

    assert_eq!(refused, Err(code(ResponseError::InvalidTxnState)));
    assert_eq!(latest_offset(&mut client, "a").await, 0);
    broker.stop().await;
}

// --- What Apache Kafka 4.1.1 was seen to answer

/// -1 and -2 mean "none" and "the beginning" to some clients; Kafka keeps what it is given.
#[tokio::test]
async fn a_group_may_commit_minus_1_and_minus_2_and_gets_them_back() {
    let (broker, mut client) = broker_with(&["a"]).await;
    for offset in [7, -1, -2, i64::MIN] {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("m")));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(text("a").into())
            .with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default()
            .with_group_id(text("group").into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let committed = client.ask(8, commit).await;
        assert_eq!(committed.topics[0].partitions[0].error_code, 0, "{offset}");

        let fetch = OffsetFetchRequest::default()
            .with_group_id(text("group").into())
            .with_topics(None);
        let fetched = client.ask(7, fetch).await;
        let partition = &fetched.topics[0].partitions[0];
        let metadata = partition.metadata.as_ref().map(|text| text.as_str());
        assert_eq!((partition.committed_offset, metadata), (offset, Some("m")));
    }
    broker.stop().await;
}

/// The time is for followers; what the leader has to do itself is waited for.
#[tokio::test]
async fn records_are_deleted_and_it_is_said_so_also_to_a_client_that_gives_no_time() {
    let (broker, mut client) = broker_with(&["a"]).await;
    produce(&mut client, "a", batch_of(&["x", "y", "z"]))
        .await
        .expect("stored");
    for (offset, timeout_ms, low) in [(1, 0, 1), (2, -1, 2), (-1, 0, 3)] {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(text("a").into())
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(timeout_ms)
            .with_topics(vec![topic]);
        let deleted = client.ask(2, request).await;
        let partition = &deleted.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.low_watermark), (0, low));
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_setting_that_is_not_set_can_be_deleted_and_delete_can_be_taken_from_the_cleanup_policy()
{
    const DELETE: i8 = 1;
    const SUBTRACT: i8 = 3;
    let (broker, mut client) = broker_with(&["a"]).await;
    for (key, operation, value) in [
        ("retention.ms", DELETE, None),
        ("no.such.key", DELETE, None),
        ("cleanup.policy", SUBTRACT, Some("delete")),
        ("cleanup.policy", SUBTRACT, Some("compact")),
    ] {
        let config = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("a"))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let altered = client.ask(1, request).await;
        assert_eq!(altered.responses[0].error_code, 0, "{key}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn metadata_by_id_in_a_version_that_has_no_place_for_it_is_an_invalid_request() {
    let (broker, mut client) = broker_with(&["a"]).await;
    for version in [10, 11] {
        let unnamed = MetadataRequestTopic::default().with_name(None);
        let request = MetadataRequest::default().with_topics(Some(vec![unnamed]));
        let answer = client.ask(version, request).await;
        assert_eq!(
            answer.topics[0].error_code,
            code(ResponseError::InvalidRequest)
        );
    }
    broker.stop().await;
}
