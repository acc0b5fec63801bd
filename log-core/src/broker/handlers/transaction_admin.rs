//! DescribeTransactions, ListTransactions and DescribeProducers: how an operator finds a transaction that hangs (KIP-664).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
    TransactionalId as WireTransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::barrier::{Listed, list_barrier, read_barrier};
use super::named_partition::{find, wire_topic};
use crate::broker::error_code::ErrorScope;
use crate::broker::service::Service;
use crate::ids::{ProducerId, TimestampMs, TopicName, TopicPartition, TransactionalId};
use crate::state::{Partition, ProducerWindow, Transaction, TransactionStatus};
use crate::wire::values;

/// Kafka's words for a transaction's state. One command ends a transaction, so those in between never hold here.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

fn state_name(transaction: &Transaction) -> StrBytes {
    StrBytes::from_static_str(match transaction.status() {
        TransactionStatus::Empty => "Empty",
        TransactionStatus::Ongoing(_) => "Ongoing",
        TransactionStatus::Committed => "CompleteCommit",
        TransactionStatus::Aborted => "CompleteAbort",
    })
}

pub(in crate::broker) async fn describe(
    service: &Service,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let current = read_barrier(service, ErrorScope::Coordinator).await;
    let state = service.replica().state();
    let one = |id: WireTransactionalId| {
        let found = current.and_then(|_| {
            let known = state.transaction(&TransactionalId::new(id.as_str()));
            known.ok_or(ResponseError::TransactionalIdNotFound)
        });
        match found {
            Ok(transaction) => described(id, transaction),
            Err(code) => TransactionState::default()
                .with_transactional_id(id)
                .with_error_code(code.code()),
        }
    };
    DescribeTransactionsResponse::default()
        .with_transaction_states(request.transactional_ids.into_iter().map(one).collect())
}

fn described(id: WireTransactionalId, transaction: &Transaction) -> TransactionState {
    let open = transaction.open();
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for place in open.iter().flat_map(|open| &open.partitions) {
        topics
            .entry(&place.topic)
            .or_default()
            .push(values::wire_partition(place.partition));
    }
    let topic = |(name, partitions)| {
        TopicData::default()
            .with_topic(wire_topic(name))
            .with_partitions(partitions)
    };
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(state_name(transaction))
        .with_transaction_timeout_ms(i32::try_from(transaction.timeout_ms()).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(values::wire_timestamp(open.map(|open| open.started_at)))
        .with_producer_id(values::wire_producer_id(Some(transaction.producer())).into())
        .with_producer_epoch(values::wire_producer_epoch(Some(transaction.epoch())))
        .with_topics(topics.into_iter().map(topic).collect())
}

pub(in crate::broker) async fn list(
    service: &Service,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let response = ListTransactionsResponse::default();
    match list_barrier(service).await {
        Ok(Listed::Here) => {}
        Ok(Listed::Elsewhere) => {
            return response.with_unknown_state_filters(unknown_states(&request));
        }
        Err(code) => return response.with_error_code(code.code()),
    }
    let (now, jumps) = service.replica().command_time();
    let age_ms = |since| jumps.age_ms(since, now);
    let state = service.replica().state();
    let wanted = state
        .transactions()
        .filter(|(_, transaction)| is_wanted(&request, age_ms, transaction));
    let listed = wanted.map(|(id, transaction)| {
        ListedTransaction::default()
            .with_transactional_id(StrBytes::from_string(id.as_str().to_owned()).into())
            .with_producer_id(values::wire_producer_id(Some(transaction.producer())).into())
            .with_transaction_state(state_name(transaction))
    });
    response
        .with_unknown_state_filters(unknown_states(&request))
        .with_transaction_states(listed.collect())
}

fn unknown_states(request: &ListTransactionsRequest) -> Vec<StrBytes> {
    let filters = request.state_filters.iter();
    let unknown = filters.filter(|filter| !STATES.contains(&filter.as_str()));
    unknown.cloned().collect()
}

fn is_wanted(
    request: &ListTransactionsRequest,
    age_ms: impl Fn(TimestampMs) -> u64,
    transaction: &Transaction,
) -> bool {
    let in_state = request.state_filters.is_empty()
        || request.state_filters.contains(&state_name(transaction));
    let producer = values::wire_producer_id(Some(transaction.producer()));
    let by_producer = request.producer_id_filters.is_empty()
        || request
            .producer_id_filters
            .iter()
            .any(|wanted| wanted.0 == producer);
    // Negative: any.
    let long_enough = u64::try_from(request.duration_filter).map_or(true, |least_ms| {
        let open = transaction.open();
        open.is_some_and(|open| least_ms <= age_ms(open.started_at))
    });
    in_state && by_producer && long_enough
}

pub(in crate::broker) async fn producers(
    service: &Service,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let current = read_barrier(service, ErrorScope::Partition).await;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let found = current.and_then(|_| active_producers(service, &topic.name, *index));
            let response = PartitionResponse::default()
                .with_partition_index(*index)
                .with_error_message(None);
            match found {
                Ok(producers) => response.with_active_producers(producers),
                Err(code) => response.with_error_code(code.code()),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn active_producers(
    service: &Service,
    topic: &str,
    index: i32,
) -> Result<Vec<ProducerState>, ResponseError> {
    let state = service.replica().state();
    let (_, _, partition): (TopicPartition, _, &Partition) = find(&state, topic, index)?;
    Ok(partition
        .producers()
        .map(|(id, window)| producer_state(partition, id, window))
        .collect())
}

fn producer_state(partition: &Partition, id: ProducerId, window: &ProducerWindow) -> ProducerState {
    let last_sequence = window
        .last_sequence()
        .and_then(|sequence| i32::try_from(sequence.0).ok());
    ProducerState::default()
        .with_producer_id(values::wire_producer_id(Some(id)).into())
        .with_producer_epoch(i32::from(values::wire_producer_epoch(Some(window.epoch()))))
        .with_last_sequence(last_sequence.unwrap_or(-1))
        .with_last_timestamp(window.last_timestamp().0)
        .with_coordinator_epoch(values::wire_leader_epoch(window.coordinator_epoch()))
        .with_current_txn_start_offset(values::wire_offset(partition.transaction_start(id)))
}
