//! A waiting replica becomes a voter: it is registered, receives entries, catches up, votes; perhaps in another's place.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::AddRaftVoterRequest;
use tokio::time::{sleep, timeout};
use tracing::info;
use uuid::Uuid;

use super::steps::{
    LOOK_EVERY, WAIT, change, check_cluster, check_leading, prove, prove_known, replica,
};
use crate::broker::error_code::ErrorScope;
use crate::broker::handlers::barrier::read_barrier;
use crate::broker::handlers::proposal::{ErrorResponse, deadline, propose_and_wait};
use crate::broker::service::{PendingNode, Service};
use crate::consensus::MembershipChange;
use crate::consensus::voter_plan::{
    Admission, Members, admission, is_on, is_on_a_majority, voters_with,
};
use crate::ids::{NodeId, ReplicaId};
use crate::state::{Command, Listener, RegisterNode, listener};
use crate::wire::extension::replaces;
use crate::wire::values;

pub(super) async fn add(
    service: &Service,
    request: &AddRaftVoterRequest,
) -> Result<(), ErrorResponse> {
    read_barrier(service, ErrorScope::Controller).await?;
    check_cluster(service, request.cluster_id.as_ref())?;
    let mut adding = Adding {
        service,
        named: Named::parse(request.voter_id, request.voter_directory_id)?,
        instead_of: replaces(&request.unknown_tagged_fields).and_then(values::replica),
        reached: Admission::Admit,
    };
    match timeout(deadline(request.timeout_ms), adding.run()).await {
        Ok(done) => done,
        Err(_) => Err(adding.not_yet()),
    }
}

/// Whom a request names: a node and its replica.
#[derive(Clone, Copy, Debug)]
struct Named {
    node: NodeId,
    replica: ReplicaId,
}

impl Named {
    fn parse(node: i32, directory: Uuid) -> Result<Self, ErrorResponse> {
        let unknown = || {
            let message = format!("node {node}: no node has this number");
            ErrorResponse::of(ResponseError::InvalidRequest, message)
        };
        Ok(Self {
            node: values::node(node).ok_or_else(unknown)?,
            replica: replica(directory)?,
        })
    }
}

/// A replica on its way to vote.
struct Adding<'a> {
    service: &'a Service,
    named: Named,
    instead_of: Option<ReplicaId>,
    /// The step that is being taken.
    reached: Admission,
}

impl Adding<'_> {
    async fn run(&mut self) -> Result<(), ErrorResponse> {
        let _turn = self.service.turn_to_change_members().await;
        loop {
            check_leading(self.service)?;
            self.reached = self.next();
            match self.reached {
                Admission::Done => return prove_known(self.service).await,
                Admission::Admit => self.admit().await?,
                Admission::Dismiss(learner) => {
                    change(self.service, MembershipChange::Remove(learner)).await?;
                }
                Admission::Promote { instead_of } => self.promote(instead_of).await?,
                Admission::WaitForSilence | Admission::CatchUp { .. } | Admission::EndJoint => {
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    fn next(&self) -> Admission {
        let replica = self.service.replica();
        let members = Members {
            membership: &replica.membership(),
            quorum: &replica.quorum(),
        };
        admission(&members, self.named.replica, self.instead_of)
    }

    /// The cluster must know where it is before anything is sent there.
    async fn admit(&self) -> Result<(), ErrorResponse> {
        let waiting = self.waiting()?;
        self.check_number_is_free()?;
        let command = Command::RegisterNode(RegisterNode {
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
        });
        propose_and_wait(self.service, command, ErrorScope::Controller, WAIT).await?;
        let Named { node, replica } = self.named;
        info!(%node, %replica, "replica is added as a learner");
        change(self.service, MembershipChange::AddLearner(replica)).await
    }

    fn waiting(&self) -> Result<PendingNode, ErrorResponse> {
        let Named { node, replica } = self.named;
        let mut waiting = self.service.waiting().into_iter();
        let found = waiting.find(|it| it.replica == replica && it.node == node);
        found.ok_or_else(|| {
            let message = format!(
                "no replica {replica} of node {node} waits to be added: start node {node} on an empty data folder, with \
                 the peers of this cluster"
            );
            ErrorResponse::of(ResponseError::InvalidVoterKey, message)
        })
    }

    /// A node number stands for one replica; whose place is taken must be said.
    fn check_number_is_free(&self) -> Result<(), ErrorResponse> {
        let Named { node, replica } = self.named;
        let state = self.service.replica().state();
        let registered = state.nodes().find(|(id, _)| *id == node);
        let other = registered.map(|(_, known)| known.replica);
        let other = other.filter(|other| *other != replica && Some(*other) != self.instead_of);
        match other.filter(|other| self.service.replica().membership().has(*other)) {
            None => Ok(()),
            Some(other) => {
                let message = format!(
                    "node {node} is replica {other} already: replace it, or give the new one another number"
                );
                Err(ErrorResponse::of(ResponseError::DuplicateVoter, message))
            }
        }
    }

    async fn promote(&self, instead_of: Option<ReplicaId>) -> Result<(), ErrorResponse> {
        let Named { node, replica } = self.named;
        let membership = self.service.replica().membership();
        let voters = voters_with(&membership, replica, instead_of);
        prove(self.service, |quorum, entry| {
            is_on(quorum, replica, entry) && is_on_a_majority(quorum, &voters, entry)
        })
        .await?;
        info!(%node, %replica, "learner has caught up and is to vote");
        let promotion = MembershipChange::Promote {
            learner: replica,
            instead_of,
        };
        change(self.service, promotion).await
    }

    fn not_yet(&self) -> ErrorResponse {
        let Named { node, .. } = self.named;
        let reached = match self.reached {
            Admission::Done => {
                format!(
                    "node {node} votes, and most of the voters have not stored yet that it does"
                )
            }
            Admission::Admit => format!("node {node} is not a learner yet"),
            Admission::Dismiss(_) => format!("the learner that node {node} was has not gone yet"),
            Admission::WaitForSilence => {
                format!("the replica that node {node} is to replace still runs: stop it first")
            }
            Admission::CatchUp { behind: Some(lag) } => {
                format!("node {node} is a learner, {lag} entries behind")
            }
            Admission::CatchUp { behind: None } => {
                format!("node {node} is a learner and is not heard of: is it running?")
            }
            Admission::Promote { .. } => {
                format!("node {node} is a learner, near, and has not stored the latest entry yet")
            }
            Admission::EndJoint => format!("node {node} is about to vote"),
        };
        let message = format!("{reached}; ask again, and it goes on from there");
        ErrorResponse::of(ResponseError::RequestTimedOut, message)
    }
}
