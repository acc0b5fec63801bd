//! AddRaftVoter, RemoveRaftVoter and UnregisterBroker: who decides, changed by the operator (KIP-853, rule 15).
//!
//! A change is made in several steps, each judged anew (`voter_plan`); an answer says that it is done, or what was reached
//! by the deadline, and asking again goes on from there. Before a change is proposed, those who will decide afterwards
//! prove that they are there; before it is called done, that they know of it.

mod adding;
mod leaving;

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::sleep;
use uuid::Uuid;

use super::barrier::read_barrier;
use super::proposal::{Failed, settle, told};
use crate::broker::error_code::{Asked, of_propose_error};
use crate::broker::replica_handle::{Leadership, ProposeError};
use crate::broker::service::Service;
use crate::consensus::voter_plan::is_on_a_majority;
use crate::consensus::{MembershipChange, Quorum};
use crate::ids::{EntryIndex, ReplicaId};
use crate::state::{Command, UnregisterNode};
use crate::wire::values;

/// Removing and unregistering have no deadline of their own.
const WAIT: Duration = Duration::from_secs(10);
/// Between two looks at how far a learner is, and between two tries while another change is under way.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(in crate::broker) async fn add(
    service: &Service,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let (code, message) = told(adding::add(service, &request).await);
    AddRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

pub(in crate::broker) async fn remove(
    service: &Service,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let (code, message) = told(leaving::remove(service, &request).await);
    RemoveRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

pub(in crate::broker) async fn unregister(
    service: &Service,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let (code, message) = told(unregister_node(service, request.broker_id.0).await);
    UnregisterBrokerResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

async fn unregister_node(service: &Service, node: i32) -> Result<(), Failed> {
    read_barrier(service, Asked::Controller).await?;
    let unknown = || {
        Failed::of(
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
        return Err(Failed::of(ResponseError::InvalidRequest, message));
    }
    let command = Command::UnregisterNode(UnregisterNode { node: id });
    settle(service, command, Asked::Controller, WAIT)
        .await
        .map(|_| ())
}

fn replica(directory: Uuid) -> Result<ReplicaId, Failed> {
    values::replica(directory).ok_or_else(|| {
        let message = format!("directory id {directory}: no replica has it");
        Failed::of(ResponseError::InvalidRequest, message)
    })
}

fn check_cluster(service: &Service, asked: Option<&StrBytes>) -> Result<(), Failed> {
    let ours = &service.replica().cluster().cluster_id;
    match asked {
        Some(asked) if asked.as_str() != ours => {
            let message = format!("this is cluster {ours}, not {}", asked.as_str());
            Err(Failed::of(ResponseError::InconsistentClusterId, message))
        }
        _ => Ok(()),
    }
}

fn check_leading(service: &Service) -> Result<(), Failed> {
    match service.replica().leadership() {
        Leadership::Leader { .. } => Ok(()),
        Leadership::Starting | Leadership::Follower { .. } => {
            Err(ResponseError::NotController.into())
        }
    }
}

/// Proposes an entry, and waits until it is on the disks that matter, sent there by this leader.
async fn prove(
    service: &Service,
    mut is_stored: impl FnMut(&Quorum, EntryIndex) -> bool,
) -> Result<(), Failed> {
    let failed = |error| Failed::from(of_propose_error(error, Asked::Controller));
    let mut quorum = service.replica().quorum_changes();
    let epoch = quorum.borrow().epoch;
    // The command does only what is due anyway; what counts is its place in the journal.
    let pending = service.replica().propose(Command::ExpireTransactions).await;
    let (index, _) = pending.map_err(failed)?.applied().await.map_err(failed)?;
    let settled = |now: &Arc<Quorum>| now.epoch != epoch || is_stored(now, index);
    match quorum.wait_for(settled).await {
        Ok(now) if now.epoch == epoch => Ok(()),
        Ok(_) => Err(ResponseError::NotController.into()),
        Err(_) => Err(failed(ProposeError::Stopped)),
    }
}

/// Waits until a majority of the voters would know after a power cut who votes, so that the operator may take away the
/// next machine. The leader sends an entry that it appends after it has applied a change together with that commit index,
/// and a follower writes both at once.
async fn prove_known(service: &Service) -> Result<(), Failed> {
    let voters = service.replica().membership().voters;
    let is_known = |quorum: &Quorum, entry| is_on_a_majority(quorum, &voters, entry);
    prove(service, is_known).await
}

/// One change of members, applied. While another is under way it waits a moment: the caller looks and decides again.
async fn change(service: &Service, change: MembershipChange) -> Result<(), Failed> {
    match service.replica().change_membership(change).await {
        Ok(()) => Ok(()),
        Err(ProposeError::Dropped) => {
            sleep(LOOK_EVERY).await;
            Ok(())
        }
        Err(error) => Err(of_propose_error(error, Asked::Controller).into()),
    }
}
