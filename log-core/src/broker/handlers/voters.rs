//! AddRaftVoter, RemoveRaftVoter and UnregisterBroker: who decides, changed by the operator (KIP-853, DESIGN rule 15).
//!
//! Adding takes several steps: the waiting replica is registered, receives entries, catches up, votes. An answer says
//! that it votes, or what was reached by the deadline; asking again goes on from there.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{sleep, timeout};
use tracing::info;
use uuid::Uuid;

use super::barrier::read_barrier;
use super::proposal::{Failed, deadline, settle};
use crate::broker::error_code::{Asked, of_propose_error};
use crate::broker::quorum::Quorum;
use crate::broker::registration::PEER;
use crate::broker::replica_handle::{Leadership, ProposeError};
use crate::broker::service::{Service, Waiting};
use crate::broker::voter_plan::{
    Admission, Members, Removal, Unremovable, admission, is_on, is_on_a_majority, removal,
    voters_with, voters_without,
};
use crate::consensus::MembershipChange;
use crate::ids::{EntryIndex, NodeId, ReplicaId};
use crate::state::{Command, Listener, RegisterNode, UnregisterNode};
use crate::wire::extension::replaces;
use crate::wire::values;

/// Removing and unregistering have no deadline of their own.
const WAIT: Duration = Duration::from_secs(10);
/// Between two looks at how far a learner is, and between two tries while another change is under way.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(in crate::broker) async fn add(
    service: &Service,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let response = AddRaftVoterResponse::default().with_error_message(None);
    match add_voter(service, &request).await {
        Ok(()) => response,
        Err(failed) => response
            .with_error_code(failed.code.code())
            .with_error_message(failed.message.map(StrBytes::from_string)),
    }
}

pub(in crate::broker) async fn remove(
    service: &Service,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let response = RemoveRaftVoterResponse::default().with_error_message(None);
    match remove_voter(service, &request).await {
        Ok(()) => response,
        Err(failed) => response
            .with_error_code(failed.code.code())
            .with_error_message(failed.message.map(StrBytes::from_string)),
    }
}

pub(in crate::broker) async fn unregister(
    service: &Service,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let response = UnregisterBrokerResponse::default().with_error_message(None);
    match unregister_node(service, request.broker_id.0).await {
        Ok(()) => response,
        Err(failed) => response
            .with_error_code(failed.code.code())
            .with_error_message(failed.message.map(StrBytes::from_string)),
    }
}

/// Whom a request names: a node and its replica.
#[derive(Clone, Copy, Debug)]
struct Named {
    node: NodeId,
    replica: ReplicaId,
}

impl Named {
    fn parse(node: i32, directory: Uuid) -> Result<Self, Failed> {
        let unknown = || {
            let message = format!("node {node}: no node has this number");
            Failed::of(ResponseError::InvalidRequest, message)
        };
        Ok(Self {
            node: values::node(node).ok_or_else(unknown)?,
            replica: replica(directory)?,
        })
    }
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

async fn add_voter(service: &Service, request: &AddRaftVoterRequest) -> Result<(), Failed> {
    read_barrier(service, Asked::Controller).await?;
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

/// A replica on its way to vote.
struct Adding<'a> {
    service: &'a Service,
    named: Named,
    instead_of: Option<ReplicaId>,
    /// The step that is being taken.
    reached: Admission,
}

impl Adding<'_> {
    async fn run(&mut self) -> Result<(), Failed> {
        let _turn = self.service.turn_to_change_members().await;
        loop {
            check_leading(self.service)?;
            self.reached = self.next();
            match self.reached {
                Admission::Done => return Ok(()),
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
    async fn admit(&self) -> Result<(), Failed> {
        let waiting = self.waiting()?;
        self.check_number_is_free()?;
        let command = Command::RegisterNode(RegisterNode {
            node: waiting.node,
            replica: waiting.replica,
            // Where clients find it, it says itself once it serves them.
            listeners: vec![Listener {
                name: PEER.to_owned(),
                host: waiting.host,
                port: waiting.port,
            }],
            rack: None,
            feature_level_max: waiting.feature_level_max,
        });
        settle(self.service, command, Asked::Controller, WAIT).await?;
        let Named { node, replica } = self.named;
        info!(%node, %replica, "replica is added as a learner");
        change(self.service, MembershipChange::AddLearner(replica)).await
    }

    fn waiting(&self) -> Result<Waiting, Failed> {
        let Named { node, replica } = self.named;
        let mut waiting = self.service.waiting().into_iter();
        let found = waiting.find(|it| it.replica == replica && it.node == node);
        found.ok_or_else(|| {
            let message = format!(
                "no replica {replica} of node {node} waits to be added: start node {node} on an empty data folder, with \
                 the peers of this cluster"
            );
            Failed::of(ResponseError::InvalidVoterKey, message)
        })
    }

    /// A node number stands for one replica; whose place is taken must be said.
    fn check_number_is_free(&self) -> Result<(), Failed> {
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
                Err(Failed::of(ResponseError::DuplicateVoter, message))
            }
        }
    }

    async fn promote(&self, instead_of: Option<ReplicaId>) -> Result<(), Failed> {
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

    fn not_yet(&self) -> Failed {
        let Named { node, .. } = self.named;
        let reached = match self.reached {
            Admission::Done => format!("node {node} votes"),
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
        Failed::of(ResponseError::RequestTimedOut, message)
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

/// Proposes an entry, and waits until it is on the disks that matter.
async fn prove(
    service: &Service,
    mut is_stored: impl FnMut(&Quorum, EntryIndex) -> bool,
) -> Result<(), Failed> {
    let failed = |error| Failed::from(of_propose_error(error, Asked::Controller));
    let mut quorum = service.replica().quorum_changes();
    // The command does only what is due anyway; what counts is its place in the journal.
    let pending = service.replica().propose(Command::ExpireTransactions).await;
    let (index, _) = pending.map_err(failed)?.applied().await.map_err(failed)?;
    let stored = quorum.wait_for(|quorum| is_stored(quorum, index)).await;
    stored
        .map(|_| ())
        .map_err(|_| failed(ProposeError::Stopped))
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

async fn remove_voter(service: &Service, request: &RemoveRaftVoterRequest) -> Result<(), Failed> {
    read_barrier(service, Asked::Controller).await?;
    check_cluster(service, request.cluster_id.as_ref())?;
    let leaving = Leaving::parse(service, request)?;
    match timeout(WAIT, leaving.run()).await {
        Ok(done) => done,
        Err(_) => Err(Failed::of(
            ResponseError::RequestTimedOut,
            format!(
                "{} is still a member: those left did not store an entry in time; ask again",
                leaving.name
            ),
        )),
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
    fn parse(service: &'a Service, request: &RemoveRaftVoterRequest) -> Result<Self, Failed> {
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
            return Err(Failed::of(ResponseError::InvalidVoterKey, message));
        }
        Ok(Self {
            service,
            replica,
            name,
        })
    }

    async fn run(&self) -> Result<(), Failed> {
        let _turn = self.service.turn_to_change_members().await;
        let mut proposed = false;
        loop {
            check_leading(self.service)?;
            match self.next() {
                // Our own change has been applied.
                Err(Unremovable::NoMember) if proposed => return Ok(()),
                Err(Unremovable::Changing) if proposed => sleep(LOOK_EVERY).await,
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

    fn next(&self) -> Result<Removal, Unremovable> {
        let replica = self.service.replica();
        let members = Members {
            membership: &replica.membership(),
            quorum: &replica.quorum(),
        };
        removal(&members, self.replica, replica.cluster().replica)
    }

    /// A learner's leaving changes nothing about who votes, and is proved by those who do.
    async fn prove_majority(&self) -> Result<(), Failed> {
        let voters = voters_without(&self.service.replica().membership(), self.replica);
        let is_stored = |quorum: &Quorum, entry| is_on_a_majority(quorum, &voters, entry);
        prove(self.service, is_stored).await
    }

    fn not_removed(&self, unremovable: Unremovable) -> Failed {
        let code = match unremovable {
            Unremovable::NoMember => ResponseError::VoterNotFound,
            Unremovable::LastVoter | Unremovable::NoMajority { .. } => {
                ResponseError::InvalidRequest
            }
            Unremovable::NobodyElse | Unremovable::Changing => ResponseError::RequestTimedOut,
        };
        Failed::of(code, unremovable.to_string())
    }

    /// Lets another lead; what the client is told then is to ask that one.
    async fn hand_over(&self, to: ReplicaId) -> Failed {
        let mut leadership = self.service.replica().leadership_changes();
        if let Err(error) = self.service.replica().hand_over_to(to).await {
            return of_propose_error(error, Asked::Controller).into();
        }
        info!(member = self.name, %to, "leadership is handed over before this node leaves");
        let lost = leadership.wait_for(|now| !matches!(now, Leadership::Leader { .. }));
        // The caller's deadline bounds this wait.
        drop(lost.await);
        Failed::of(
            ResponseError::NotController,
            format!("{} led and has handed over: ask the new leader", self.name),
        )
    }
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
