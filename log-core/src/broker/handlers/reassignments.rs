//! AlterPartitionReassignments and ListPartitionReassignments (KIP-455): every voter holds every partition, so there is
//! nothing to move, and none is ever under way.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    ListPartitionReassignmentsResponse,
};

use super::metadata::View;
use super::named_partition::find;
use super::proposal::{ErrorResponse, to_wire};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::state::State;

pub(in crate::broker) fn alter(
    service: &Service,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None);
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Controller) {
        return response.with_error_code(code.code());
    }
    let state = service.replica().state();
    let view = View::new(service, &state);
    let topics = request.topics.into_iter().map(|topic| {
        let one = |asked: &ReassignablePartition| {
            let (code, message) = to_wire(alter_one(&state, view.replicas(), &topic.name, asked));
            ReassignablePartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code)
                .with_error_message(message)
        };
        let partitions = topic.partitions.iter().map(one).collect();
        ReassignableTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    response.with_responses(topics.collect())
}

/// Done where the partition is to be where it is; `None` for the replicas cancels what is under way.
fn alter_one(
    state: &State,
    voters: &[BrokerId],
    topic: &str,
    asked: &ReassignablePartition,
) -> Result<(), ErrorResponse> {
    find(state, topic, asked.partition_index)?;
    let Some(replicas) = &asked.replicas else {
        return Err(ResponseError::NoReassignmentInProgress.into());
    };
    let named: BTreeSet<i32> = replicas.iter().map(|broker| broker.0).collect();
    let all: BTreeSet<i32> = voters.iter().map(|broker| broker.0).collect();
    if named != all || named.len() != replicas.len() {
        let message = format!("every partition is on all voters, {all:?}, and nowhere else");
        return Err(ErrorResponse::of(
            ResponseError::InvalidReplicaAssignment,
            message,
        ));
    }
    Ok(())
}

/// None ever.
pub(in crate::broker) fn list() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}
