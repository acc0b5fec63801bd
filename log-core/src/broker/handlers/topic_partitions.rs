//! DescribeTopicPartitions: topics by name, page by page (KIP-966). Here all replicas that may lead are in sync ones, so
//! the lists of others that may are empty.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_request::Cursor as AskedCursor;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{TOPIC_OPERATIONS, View};
use crate::broker::service::Service;
use crate::ids::{PartitionIndex, TopicName};
use crate::state::State;
use crate::wire::values;

/// Partitions in one answer (`max.request.partition.size.limit`).
const PARTITIONS_MAX: usize = 2_000;

pub(in crate::broker) fn describe(
    service: &Service,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let cursor = request.cursor.as_ref();
    if cursor.is_some_and(|cursor| cursor.partition_index < 0) {
        let invalid = |name: WireTopicName| {
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name))
                .with_error_code(ResponseError::InvalidRequest.code())
        };
        let topics = request.topics.into_iter().map(|topic| invalid(topic.name));
        return DescribeTopicPartitionsResponse::default()
            .with_topics(topics.collect())
            .with_next_cursor(None);
    }
    let state = service.replica().state();
    let mut page = Page {
        view: View::new(service, &state),
        state: &state,
        left: usize::try_from(request.response_partition_limit)
            .unwrap_or(0)
            .clamp(1, PARTITIONS_MAX),
        topics: Vec::new(),
    };
    let next = names(&state, &request)
        .iter()
        .find_map(|name| page.add(name, first_partition(cursor, name)));
    DescribeTopicPartitionsResponse::default()
        .with_topics(page.topics)
        .with_next_cursor(next)
}

/// The topics from the cursor on, in the order of their names; all where none is named.
fn names(state: &State, request: &DescribeTopicPartitionsRequest) -> BTreeSet<String> {
    let from = request
        .cursor
        .as_ref()
        .map(|cursor| cursor.topic_name.as_str());
    let is_left = |name: &str| from.is_none_or(|from| from <= name);
    let asked = request.topics.iter().map(|topic| topic.name.as_str());
    let all = state.topics().map(|(name, _)| name.as_str());
    if request.topics.is_empty() {
        return all
            .filter(|name| is_left(name))
            .map(str::to_owned)
            .collect();
    }
    asked
        .filter(|name| is_left(name))
        .map(str::to_owned)
        .collect()
}

fn first_partition(cursor: Option<&AskedCursor>, topic: &str) -> u32 {
    let here = cursor.filter(|cursor| cursor.topic_name.as_str() == topic);
    here.map_or(0, |cursor| {
        u32::try_from(cursor.partition_index).unwrap_or(0)
    })
}

/// An answer that fills.
struct Page<'a> {
    view: View<'a>,
    state: &'a State,
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
}

impl Page<'_> {
    /// Adds a topic from one of its partitions on; where the next page begins, once this one is full.
    fn add(&mut self, name: &str, first: u32) -> Option<Cursor> {
        let cursor = |partition: i32| {
            Cursor::default()
                .with_topic_name(StrBytes::from_string(name.to_owned()).into())
                .with_partition_index(partition)
        };
        if self.left == 0 {
            return Some(cursor(0));
        }
        let wire_name: WireTopicName = StrBytes::from_string(name.to_owned()).into();
        let described = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(wire_name))
            .with_topic_authorized_operations(TOPIC_OPERATIONS);
        let Ok(parsed) = TopicName::parse(name) else {
            let code = ResponseError::InvalidTopicException.code();
            self.topics.push(described.with_error_code(code));
            return None;
        };
        let Some(topic) = self.state.topic(&parsed) else {
            let code = ResponseError::UnknownTopicOrPartition.code();
            self.topics.push(described.with_error_code(code));
            return None;
        };
        let mut indexes = (first..topic.partition_count()).map(PartitionIndex);
        let partitions: Vec<_> = indexes
            .by_ref()
            .take(self.left)
            .map(|index| partition(&self.view, index))
            .collect();
        self.left -= partitions.len();
        self.topics.push(
            described
                .with_topic_id(topic.id().0)
                .with_partitions(partitions),
        );
        indexes
            .next()
            .map(|next| cursor(values::wire_partition(next)))
    }
}

fn partition(view: &View<'_>, index: PartitionIndex) -> DescribeTopicPartitionsResponsePartition {
    let known = view.partition(index);
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(known.error_code)
        .with_partition_index(known.partition_index)
        .with_leader_id(known.leader_id)
        .with_leader_epoch(known.leader_epoch)
        .with_replica_nodes(known.replica_nodes)
        .with_isr_nodes(known.isr_nodes)
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(known.offline_replicas)
}
