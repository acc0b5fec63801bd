//! The steps that adding and removing a voter have in common.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::time::sleep;
use uuid::Uuid;

use crate::broker::error_code::{ErrorScope, of_propose_error};
use crate::broker::handlers::proposal::ErrorResponse;
use crate::broker::service::Service;
use crate::consensus::voter_plan::is_on_a_majority;
use crate::consensus::{MembershipChange, Quorum};
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::{Leadership, ProposeError};
use crate::state::Command;
use crate::wire::values;

/// Removing and unregistering have no deadline of their own.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// Between two looks at how far a learner is, and between two tries while another change is under way.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn replica(directory: Uuid) -> Result<ReplicaId, ErrorResponse> {
    values::replica(directory).ok_or_else(|| {
        let message = format!("directory id {directory}: no replica has it");
        ErrorResponse::of(ResponseError::InvalidRequest, message)
    })
}

pub(super) fn check_cluster(
    service: &Service,
    asked: Option<&StrBytes>,
) -> Result<(), ErrorResponse> {
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

pub(super) fn check_leading(service: &Service) -> Result<(), ErrorResponse> {
    match service.replica().leadership() {
        Leadership::Leader { .. } => Ok(()),
        Leadership::Starting | Leadership::Follower { .. } => {
            Err(ResponseError::NotController.into())
        }
    }
}

/// Proposes an entry, and waits until it is on the disks that matter, sent there by this leader.
pub(super) async fn prove(
    service: &Service,
    mut is_stored: impl FnMut(&Quorum, EntryIndex) -> bool,
) -> Result<(), ErrorResponse> {
    let failed = |error| ErrorResponse::from(of_propose_error(error, ErrorScope::Controller));
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
pub(super) async fn prove_known(service: &Service) -> Result<(), ErrorResponse> {
    let voters = service.replica().membership().voters;
    let is_known = |quorum: &Quorum, entry| is_on_a_majority(quorum, &voters, entry);
    prove(service, is_known).await
}

/// One change of members, applied. While another is under way it waits a moment: the caller looks and decides again.
pub(super) async fn change(
    service: &Service,
    change: MembershipChange,
) -> Result<(), ErrorResponse> {
    match service.replica().change_membership(change).await {
        Ok(()) => Ok(()),
        Err(ProposeError::Dropped) => {
            sleep(LOOK_EVERY).await;
            Ok(())
        }
        Err(error) => Err(of_propose_error(error, ErrorScope::Controller).into()),
    }
}
