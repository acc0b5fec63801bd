//! What the operator wants of those who vote, and why it is not done.

use super::propose_error::ProposeError;
use crate::consensus::voter_plan::{Admission, RemovalRefused};
use crate::ids::{NodeId, ReplicaId};
use crate::state::{CommandError, RegisterNode};

/// What the operator wants.
#[derive(Clone, Debug)]
pub(crate) enum VoterChange {
    /// A replica is to vote.
    Add {
        /// Its node number.
        node: NodeId,
        /// The replica.
        replica: ReplicaId,
        /// In whose place, if in another's.
        instead_of: Option<ReplicaId>,
        /// Where the cluster finds it; none unless it waits to be added.
        registration: Option<RegisterNode>,
    },
    /// A replica is to be no member any more; a leader hands over first.
    Remove {
        /// The replica.
        replica: ReplicaId,
    },
}

/// Why a change is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VoterChangeError {
    /// This node does not lead, or no longer.
    Proposal(ProposeError),
    /// The cluster does not take the node in.
    Refused(CommandError),
    /// No such replica waits to be added.
    NotWaiting,
    /// The node number is that of another member.
    NumberTaken(ReplicaId),
    /// The member must not leave now.
    CannotLeave(RemovalRefused),
    /// The member led and has handed over: the new leader is to be asked.
    HandedOver,
    /// The deadline has come.
    NotYet(Reached),
}

/// How far a change has come by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The step that is being taken until a replica votes.
    Admission(Admission),
    /// Whoever is to leave is still a member.
    StillMember,
    /// It is none any more, and most of those left have not stored that yet.
    Removed,
}
