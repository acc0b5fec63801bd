//! AddRaftVoter, RemoveRaftVoter and UnregisterBroker: who decides, changed by the operator (KIP-853, rule 15).
//!
//! A change is made in several steps, each judged anew (`voter_plan`); an answer says that it is done, or what was reached
//! by the deadline, and asking again goes on from there. Before a change is proposed, those who will decide afterwards
//! prove that they are there; before it is called done, that they know of it.

mod adding;
mod leaving;
mod steps;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use self::steps::WAIT;
use super::barrier::read_barrier;
use super::proposal::{ErrorResponse, propose_and_wait, to_wire};
use crate::broker::error_code::ErrorScope;
use crate::broker::service::Service;
use crate::state::{Command, UnregisterNode};
use crate::wire::values;

pub(in crate::broker) async fn add(
    service: &Service,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let (code, message) = to_wire(adding::add(service, &request).await);
    AddRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

pub(in crate::broker) async fn remove(
    service: &Service,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let (code, message) = to_wire(leaving::remove(service, &request).await);
    RemoveRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

pub(in crate::broker) async fn unregister(
    service: &Service,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let (code, message) = to_wire(unregister_node(service, request.broker_id.0).await);
    UnregisterBrokerResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

async fn unregister_node(service: &Service, node: i32) -> Result<(), ErrorResponse> {
    read_barrier(service, ErrorScope::Controller).await?;
    let unknown = || {
        ErrorResponse::of(
            ResponseError::BrokerIdNotRegistered,
            format!("no node {node}"),
        )
    };
    let id = values::node(node).ok_or_else(unknown)?;
    let replica = {
        let state = service.replica().state();
        let known = state.nodes().find(|(known, _)| *known == id);
        known.map(|(_, known)| known.replica).ok_or_else(unknown)?
    };
    if service.replica().membership().has(replica) {
        let message = format!("node {id} is a member: remove it first");
        return Err(ErrorResponse::of(ResponseError::InvalidRequest, message));
    }
    let command = Command::UnregisterNode(UnregisterNode { node: id });
    propose_and_wait(service, command, ErrorScope::Controller, WAIT)
        .await
        .map(|_| ())
}
