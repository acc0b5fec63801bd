//! ElectLeaders (KIP-183, KIP-460): one node leads all partitions, and the voters elect it, so no partition ever needs it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};

use super::named_partition::{find, wire_topic};
use super::proposal::{ErrorResponse, to_wire};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;

/// Of the preferred replica, or of one that is not in sync; there are no others.
const ELECTION_TYPES: [i8; 2] = [0, 1];

pub(in crate::broker) fn answer(
    service: &Service,
    version: i16,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let response = ElectLeadersResponse::default();
    let elsewhere = not_leading(service.replica().leadership(), ErrorScope::Controller);
    let known_type = ELECTION_TYPES.contains(&request.election_type);
    let refused = elsewhere.or((!known_type).then_some(ResponseError::InvalidRequest));
    match (refused, request.topic_partitions) {
        (Some(code), asked) => {
            // Version 0 has no place for what concerns the whole request.
            let results = asked.into_iter().flatten();
            let results = results.map(|topic| each(topic, |_, _| Err(code.into())));
            let results = results.filter(|_| version < 1).collect();
            let whole = if version < 1 { 0 } else { code.code() };
            response
                .with_error_code(whole)
                .with_replica_election_results(results)
        }
        // Asked about all, Kafka leaves out the partitions that need no election.
        (None, None) => {
            let state = service.replica().state();
            let topics = state
                .topics()
                .map(|(name, _)| result(wire_topic(name), Vec::new()));
            response.with_replica_election_results(topics.collect())
        }
        (None, Some(asked)) => {
            let not_needed = |topic: &str, partition: i32| {
                find(&service.replica().state(), topic, partition)?;
                Err(ErrorResponse::of(
                    ResponseError::ElectionNotNeeded,
                    "one node leads all partitions; the voters elect it",
                ))
            };
            let results = asked.into_iter().map(|topic| each(topic, not_needed));
            response.with_replica_election_results(results.collect())
        }
    }
}

fn each(
    topic: TopicPartitions,
    outcome: impl Fn(&str, i32) -> Result<(), ErrorResponse>,
) -> ReplicaElectionResult {
    let one = |partition: &i32| {
        let (code, message) = to_wire(outcome(&topic.topic, *partition));
        PartitionResult::default()
            .with_partition_id(*partition)
            .with_error_code(code)
            .with_error_message(message)
    };
    let partitions = topic.partitions.iter().map(one).collect();
    result(topic.topic, partitions)
}

fn result(topic: TopicName, partitions: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default()
        .with_topic(topic)
        .with_partition_result(partitions)
}
