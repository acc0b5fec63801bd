//! AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn: a producer's transaction (KIP-98, KIP-360, KIP-447).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::committed_offsets::{
    RequestedOffset, SortedCommit, admit, committer, committing, unknown_of,
};
use super::named_partition::{find, named};
use super::proposal::propose_and_wait;
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::ids::{GroupId, TopicPartition, TransactionalId};
use crate::state::{
    AcksMin, AddOffsetsToTransaction, AddPartitionsToTransaction, Command,
    CommitTransactionOffsets, EndTransaction, TransactionOutcome, TransactionalProducer,
};
use crate::wire::values;

/// The requests have no deadline of their own; clients wait `request.timeout.ms`, 30 s by default.
const WAIT: Duration = Duration::from_secs(20);

/// PRODUCER_FENCED came late: a client of an older version would not know it.
pub(super) fn fenced_as_known(code: ResponseError, version: i16, since: i16) -> ResponseError {
    match code {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        code => code,
    }
}

/// A commit is judged where the group's offsets are, as a batch is: of a fenced producer all versions say
/// INVALID_PRODUCER_EPOCH, and what is outside its transaction may be aborted from version 4 on (KIP-890; as seen with
/// Apache Kafka 4.1.1).
fn commit_as_known(code: ResponseError, version: i16) -> ResponseError {
    match code {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::InvalidTxnState if 4 <= version => ResponseError::TransactionAbortable,
        code => code,
    }
}

fn producer(id: &str, producer: i64, epoch: i16) -> Result<TransactionalProducer, ResponseError> {
    let producer = values::producer_id(producer).ok_or(ResponseError::InvalidProducerIdMapping)?;
    let epoch = values::producer_epoch(epoch).ok_or(ResponseError::InvalidProducerEpoch)?;
    Ok(TransactionalProducer {
        id: TransactionalId::new(id),
        producer,
        epoch,
    })
}

async fn proposed(
    service: &Service,
    command: Command,
) -> Result<crate::state::Response, ResponseError> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    propose_and_wait(service, command, ErrorScope::Coordinator, WAIT)
        .await
        .map_err(|failed| failed.code)
}

pub(in crate::broker) async fn add_partitions(
    service: &Service,
    version: i16,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let topics = &request.v3_and_below_topics;
    // A node that does not lead has not the last word on which partitions there are.
    let elsewhere = not_leading(service.replica().leadership(), ErrorScope::Coordinator);
    let refused = match elsewhere {
        Some(_) => BTreeMap::new(),
        None => refused_partitions(service, topics),
    };
    let added = match elsewhere {
        Some(code) => Err(code),
        None if refused.is_empty() => add_known(service, version, &request).await,
        // All or none.
        None => Err(ResponseError::OperationNotAttempted),
    };
    let code = |topic: &str, partition: i32| match (refused.get(&(topic, partition)), added) {
        (Some(code), _) => code.code(),
        (None, Err(code)) => code.code(),
        (None, Ok(())) => 0,
    };
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(&topic.name, *partition))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

fn each_partition(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = (&str, i32)> {
    topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| (topic.name.as_str(), *partition))
    })
}

/// The partitions that no transaction may write to, and why. One of a topic with `mayday.acks.min=all` would hold every
/// later call back from readers of committed records, for as long as it is open.
fn refused_partitions<'a>(
    service: &Service,
    topics: &'a [AddPartitionsToTxnTopic],
) -> BTreeMap<(&'a str, i32), ResponseError> {
    let state = service.replica().state();
    let refusal = |topic: &str, partition: i32| match find(&state, topic, partition) {
        Err(code) => Some(code),
        Ok((_, topic, _)) => (topic.config().settings().acks_min == AcksMin::All)
            .then_some(ResponseError::PolicyViolation),
    };
    each_partition(topics)
        .filter_map(|(topic, partition)| Some(((topic, partition), refusal(topic, partition)?)))
        .collect()
}

async fn add_known(
    service: &Service,
    version: i16,
    request: &AddPartitionsToTxnRequest,
) -> Result<(), ResponseError> {
    let by = producer(
        &request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id.0,
        request.v3_and_below_producer_epoch,
    )?;
    let places = each_partition(&request.v3_and_below_topics);
    let partitions = places
        .filter_map(|(topic, partition)| named(topic, partition))
        .collect();
    let command =
        Command::AddPartitionsToTransaction(AddPartitionsToTransaction { by, partitions });
    let added = proposed(service, command).await;
    added
        .map(|_| ())
        .map_err(|code| fenced_as_known(code, version, 2))
}

pub(in crate::broker) async fn add_offsets(
    service: &Service,
    version: i16,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let added = match producer(
        &request.transactional_id,
        request.producer_id.0,
        request.producer_epoch,
    ) {
        Ok(by) => {
            let group = GroupId::new(request.group_id.as_str());
            proposed(
                service,
                Command::AddOffsetsToTransaction(AddOffsetsToTransaction { by, group }),
            )
            .await
        }
        Err(code) => Err(code),
    };
    let code = added
        .err()
        .map_or(0, |code| fenced_as_known(code, version, 2).code());
    AddOffsetsToTxnResponse::default().with_error_code(code)
}

pub(in crate::broker) async fn commit_offsets(
    service: &Service,
    version: i16,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let asked = request.topics.iter().flat_map(|topic| {
        let one = |partition: &TxnOffsetCommitRequestPartition| RequestedOffset {
            topic: topic.name.to_string(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.clone(),
        };
        topic.partitions.iter().map(one)
    });
    let sorted = SortedCommit::sort(service, asked);
    let outcome = commit_sound(service, &request, &sorted).await;
    let outcome = outcome.map_err(|code| commit_as_known(code, version));
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(sorted.code(&topic.name, partition.partition_index, &outcome))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

async fn commit_sound(
    service: &Service,
    request: &TxnOffsetCommitRequest,
    sorted: &SortedCommit,
) -> Result<BTreeSet<TopicPartition>, ResponseError> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    let by = producer(
        &request.transactional_id,
        request.producer_id.0,
        request.producer_epoch,
    )?;
    let group = GroupId::new(request.group_id.as_str());
    let member = committing(
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id,
    );
    // Before KIP-447 a transaction names no member; then the producer's own fencing must do.
    if member.is_some() {
        admit(service, &group, member.clone()).await?;
    }
    if sorted.sound.is_empty() {
        return Ok(BTreeSet::new());
    }
    let offsets = sorted.sound.clone();
    let command = CommitTransactionOffsets {
        by,
        group,
        committer: committer(member),
        offsets,
    };
    let command = Command::CommitTransactionOffsets(command);
    unknown_of(propose_and_wait(service, command, ErrorScope::Coordinator, WAIT).await)
}

pub(in crate::broker) async fn end(
    service: &Service,
    version: i16,
    request: EndTxnRequest,
) -> EndTxnResponse {
    let outcome = if request.committed {
        TransactionOutcome::Commit
    } else {
        TransactionOutcome::Abort
    };
    let ended = match producer(
        &request.transactional_id,
        request.producer_id.0,
        request.producer_epoch,
    ) {
        Ok(by) => {
            proposed(
                service,
                Command::EndTransaction(EndTransaction { by, outcome }),
            )
            .await
        }
        Err(code) => Err(code),
    };
    let code = ended
        .err()
        .map_or(0, |code| fenced_as_known(code, version, 2).code());
    EndTxnResponse::default().with_error_code(code)
}
