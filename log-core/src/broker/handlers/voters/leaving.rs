//! A member leaves; a leader hands over first.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::RemoveRaftVoterRequest;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::steps::{
    LOOK_EVERY, WAIT, change, check_cluster, check_leading, prove, prove_known, replica,
};
use crate::broker::error_code::{ErrorScope, of_propose_error};
use crate::broker::handlers::barrier::read_barrier;
use crate::broker::handlers::proposal::ErrorResponse;
use crate::broker::service::Service;
use crate::consensus::voter_plan::{
    Members, Removal, RemovalRefused, is_on_a_majority, removal, voters_without,
};
use crate::consensus::{MembershipChange, Quorum};
use crate::ids::ReplicaId;
use crate::node::Leadership;
use crate::wire::values;

pub(super) async fn remove(
    service: &Service,
    request: &RemoveRaftVoterRequest,
) -> Result<(), ErrorResponse> {
    read_barrier(service, ErrorScope::Controller).await?;
    check_cluster(service, request.cluster_id.as_ref())?;
    let leaving = Leaving::parse(service, request)?;
    match timeout(WAIT, leaving.run()).await {
        Ok(done) => done,
        Err(_) => Err(leaving.not_yet()),
    }
}

/// A member on its way out.
struct Leaving<'a> {
    service: &'a Service,
    replica: ReplicaId,
    /// As an operator calls it.
    name: String,
}

impl<'a> Leaving<'a> {
    /// Two nodes must not be confused by a mistyped number; a replica that another has taken the number of has none (-1).
    fn parse(
        service: &'a Service,
        request: &RemoveRaftVoterRequest,
    ) -> Result<Self, ErrorResponse> {
        let replica = replica(request.voter_directory_id)?;
        let asked = values::node(request.voter_id);
        let known = service
            .replica()
            .state()
            .node_of(replica)
            .map(|(node, _)| node);
        let name = match known.or(asked) {
            Some(node) => format!("node {node}"),
            None => format!("replica {replica}"),
        };
        if known.is_some() && known != asked {
            let message = format!("replica {replica} is {name}, not {}", request.voter_id);
            return Err(ErrorResponse::of(ResponseError::InvalidVoterKey, message));
        }
        Ok(Self {
            service,
            replica,
            name,
        })
    }

    async fn run(&self) -> Result<(), ErrorResponse> {
        let _turn = self.service.turn_to_change_members().await;
        let mut proposed = false;
        loop {
            check_leading(self.service)?;
            match self.next() {
                // Our own change has been applied.
                Err(RemovalRefused::NoMember) if proposed => {
                    return prove_known(self.service).await;
                }
                Err(RemovalRefused::Changing) if proposed => sleep(LOOK_EVERY).await,
                Err(unremovable) => return Err(self.not_removed(unremovable)),
                Ok(Removal::HandOver { to }) => {
                    self.prove_majority().await?;
                    return Err(self.hand_over(to).await);
                }
                Ok(Removal::Remove) => {
                    self.prove_majority().await?;
                    proposed = true;
                    info!(member = self.name, replica = %self.replica, "member is removed");
                    change(self.service, MembershipChange::Remove(self.replica)).await?;
                }
            }
        }
    }

    fn next(&self) -> Result<Removal, RemovalRefused> {
        let replica = self.service.replica();
        let members = Members {
            membership: &replica.membership(),
            quorum: &replica.quorum(),
        };
        removal(&members, self.replica, replica.cluster().replica)
    }

    /// A learner's leaving changes nothing about who votes, and is proved by those who do.
    async fn prove_majority(&self) -> Result<(), ErrorResponse> {
        let voters = voters_without(&self.service.replica().membership(), self.replica);
        let is_stored = |quorum: &Quorum, entry| is_on_a_majority(quorum, &voters, entry);
        prove(self.service, is_stored).await
    }

    fn not_yet(&self) -> ErrorResponse {
        let name = &self.name;
        let message = if self.service.replica().membership().has(self.replica) {
            format!(
                "{name} is still a member: those left did not store an entry in time; ask again"
            )
        } else {
            format!(
                "{name} is no member any more, but most of those left have not stored that yet: let them before another \
                 machine is taken away"
            )
        };
        ErrorResponse::of(ResponseError::RequestTimedOut, message)
    }

    fn not_removed(&self, unremovable: RemovalRefused) -> ErrorResponse {
        let code = match unremovable {
            RemovalRefused::NoMember => ResponseError::VoterNotFound,
            RemovalRefused::LastVoter | RemovalRefused::NoMajority { .. } => {
                ResponseError::InvalidRequest
            }
            RemovalRefused::NobodyElse | RemovalRefused::Changing => ResponseError::RequestTimedOut,
        };
        ErrorResponse::of(code, unremovable.to_string())
    }

    /// Lets another lead; what the client is told then is to ask that one.
    async fn hand_over(&self, to: ReplicaId) -> ErrorResponse {
        let mut leadership = self.service.replica().leadership_changes();
        if let Err(error) = self.service.replica().hand_over_to(to).await {
            return of_propose_error(error, ErrorScope::Controller).into();
        }
        info!(member = self.name, %to, "leadership is handed over before this node leaves");
        let lost = leadership.wait_for(|now| !matches!(now, Leadership::Leader { .. }));
        // The caller's deadline bounds this wait.
        drop(lost.await);
        ErrorResponse::of(
            ResponseError::NotController,
            format!("{} led and has handed over: ask the new leader", self.name),
        )
    }
}
