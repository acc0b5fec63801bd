//! AddRaftVoter, RemoveRaftVoter and UnregisterBroker: who decides, changed by the operator (KIP-853, rule 15). The node takes
//! the steps; here a request is read, and the answer worded: that it is done, or what was reached by the deadline.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::barrier::read_barrier;
use super::proposal::{ErrorResponse, deadline, propose_and_wait, to_wire};
use crate::broker::error_code::{ErrorScope, of_propose_error};
use crate::broker::service::{PendingNode, Service};
use crate::consensus::voter_plan::{Admission, RemovalRefused};
use crate::ids::ReplicaId;
use crate::node::{Reached, VoterChange, VoterChangeError};
use crate::state::{Command, Listener, RegisterNode, UnregisterNode, listener};
use crate::wire::extension::replaces;
use crate::wire::values;

/// Removing and unregistering have no deadline of their own.
const WAIT: Duration = Duration::from_secs(10);

pub(in crate::broker) async fn add(
    service: &Service,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let (code, message) = to_wire(add_voter(service, &request).await);
    AddRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

pub(in crate::broker) async fn remove(
    service: &Service,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let (code, message) = to_wire(remove_voter(service, &request).await);
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

async fn add_voter(service: &Service, request: &AddRaftVoterRequest) -> Result<(), ErrorResponse> {
    read_barrier(service, ErrorScope::Controller).await?;
    check_cluster(service, request.cluster_id.as_ref())?;
    let number = request.voter_id;
    let node = values::node(number).ok_or_else(|| {
        let message = format!("node {number}: no node has this number");
        ErrorResponse::of(ResponseError::InvalidRequest, message)
    })?;
    let replica = replica(request.voter_directory_id)?;
    let mut waiting = service.waiting().into_iter();
    let waiting = waiting.find(|it| it.replica == replica && it.node == node);
    let change = VoterChange::Add {
        node,
        replica,
        instead_of: replaces(&request.unknown_tagged_fields).and_then(values::replica),
        registration: waiting.map(registration),
    };
    let wait = deadline(request.timeout_ms);
    let changed = service.replica().change_voters(change, wait).await;
    changed.map_err(|error| not_changed(error, &format!("node {node}"), replica))
}

fn registration(waiting: PendingNode) -> RegisterNode {
    RegisterNode {
        node: waiting.node,
        replica: waiting.replica,
        // Where clients find it, it says itself once it serves them.
        listeners: vec![Listener {
            name: listener::PEER.to_owned(),
            host: waiting.host,
            port: waiting.port,
        }],
        rack: None,
        feature_level_max: waiting.feature_level_max,
    }
}

fn step_reached(step: Admission, name: &str) -> String {
    match step {
        Admission::Done => {
            format!("{name} votes, and most of the voters have not stored yet that it does")
        }
        Admission::Admit => format!("{name} is not a learner yet"),
        Admission::Dismiss(_) => format!("the learner that {name} was has not gone yet"),
        Admission::WaitForSilence => {
            format!("the replica that {name} is to replace still runs: stop it first")
        }
        Admission::CatchUp { behind: Some(lag) } => {
            format!("{name} is a learner, {lag} entries behind")
        }
        Admission::CatchUp { behind: None } => {
            format!("{name} is a learner and is not heard of: is it running?")
        }
        Admission::Promote { .. } => {
            format!("{name} is a learner, near, and has not stored the latest entry yet")
        }
        Admission::EndJoint => format!("{name} is about to vote"),
    }
}

async fn remove_voter(
    service: &Service,
    request: &RemoveRaftVoterRequest,
) -> Result<(), ErrorResponse> {
    read_barrier(service, ErrorScope::Controller).await?;
    check_cluster(service, request.cluster_id.as_ref())?;
    let replica = replica(request.voter_directory_id)?;
    let name = name_of(service, replica, request.voter_id)?;
    let change = VoterChange::Remove { replica };
    let changed = service.replica().change_voters(change, WAIT).await;
    changed.map_err(|error| not_changed(error, &name, replica))
}

/// A member as an operator calls it. Two nodes must not be confused by a mistyped number; a replica that another has taken
/// the number of has none (-1).
fn name_of(service: &Service, replica: ReplicaId, number: i32) -> Result<String, ErrorResponse> {
    let asked = values::node(number);
    let state = service.replica().state();
    let known = state.node_of(replica).map(|(node, _)| node);
    let name = match known.or(asked) {
        Some(node) => format!("node {node}"),
        None => format!("replica {replica}"),
    };
    if known.is_some() && known != asked {
        let message = format!("replica {replica} is {name}, not {number}");
        return Err(ErrorResponse::of(ResponseError::InvalidVoterKey, message));
    }
    Ok(name)
}

/// What the operator is told of a change of this replica, of the node that goes by `name`.
fn not_changed(error: VoterChangeError, name: &str, replica: ReplicaId) -> ErrorResponse {
    let (code, message) = match error {
        VoterChangeError::Proposal(error) => {
            return of_propose_error(error, ErrorScope::Controller).into();
        }
        VoterChangeError::Refused(refusal) => return ErrorResponse::from(&refusal),
        VoterChangeError::CannotLeave(refused) => {
            let code = match refused {
                RemovalRefused::NoMember => ResponseError::VoterNotFound,
                RemovalRefused::LastVoter | RemovalRefused::NoMajority { .. } => {
                    ResponseError::InvalidRequest
                }
                RemovalRefused::NobodyElse | RemovalRefused::Changing => {
                    ResponseError::RequestTimedOut
                }
            };
            (code, refused.to_string())
        }
        VoterChangeError::HandedOver => (
            ResponseError::NotController,
            format!("{name} led and has handed over: ask the new leader"),
        ),
        VoterChangeError::NotYet(Reached::Removed) => (
            ResponseError::RequestTimedOut,
            format!(
                "{name} is no member any more, but most of those left have not stored that yet: let them before another \
                 machine is taken away"
            ),
        ),
        VoterChangeError::NotYet(Reached::StillMember) => (
            ResponseError::RequestTimedOut,
            format!(
                "{name} is still a member: those left did not store an entry in time; ask again"
            ),
        ),
        VoterChangeError::NotYet(Reached::Admission(step)) => (
            ResponseError::RequestTimedOut,
            format!(
                "{}; ask again, and it goes on from there",
                step_reached(step, name)
            ),
        ),
        VoterChangeError::NotWaiting => (
            ResponseError::InvalidVoterKey,
            format!(
                "no replica {replica} of {name} waits to be added: start {name} on an empty data folder, with the peers of \
                 this cluster"
            ),
        ),
        VoterChangeError::NumberTaken(other) => (
            ResponseError::DuplicateVoter,
            format!(
                "{name} is replica {other} already: replace it, or give the new one another number"
            ),
        ),
    };
    ErrorResponse::of(code, message)
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

fn replica(directory: Uuid) -> Result<ReplicaId, ErrorResponse> {
    values::replica(directory).ok_or_else(|| {
        let message = format!("directory id {directory}: no replica has it");
        ErrorResponse::of(ResponseError::InvalidRequest, message)
    })
}

fn check_cluster(service: &Service, asked: Option<&StrBytes>) -> Result<(), ErrorResponse> {
    let ours = &service.replica().cluster().cluster_id;
    match asked {
        Some(asked) if asked.as_str() != ours => {
            let message = format!("this is cluster {ours}, not {}", asked.as_str());
            Err(ErrorResponse::of(
                ResponseError::InconsistentClusterId,
                message,
            ))
        }
        _ => Ok(()),
    }
}
