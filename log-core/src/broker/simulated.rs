//! The replica's parts, for a simulation that takes the place of its threads.

use super::quorum::Quorum;
use super::recorded_group;
use super::voter_plan::{self, Admission, Members};
use crate::consensus::{Membership, MembershipChange};
use crate::group::CompletedRebalance;
use crate::ids::{GroupId, ReplicaId};
use crate::state::{Command, ConsumerGroup};

pub(crate) use super::journal_group::{Job, JournalGroup, Written};
pub(crate) use super::node::{Limits, assemble, assemble_again};
pub(crate) use super::replica::{Effect, Input, Replica, SnapshotLost, Ticket};
pub(crate) use super::replica_handle::Shared;

/// What a new coordinator resumes a group from.
pub(crate) fn resumed(group: &ConsumerGroup) -> CompletedRebalance {
    recorded_group::resumed(group)
}

/// The command that records a group's rebalance.
pub(crate) fn recording(group: GroupId, rebalance: CompletedRebalance) -> Command {
    Command::CompleteRebalance(recorded_group::command(group, rebalance))
}

/// What brings a new replica nearer to voting in the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It votes.
    Done,
    /// Time.
    Wait,
    /// A change of the members.
    Change(MembershipChange),
}

/// The next step of a replacement, as the operator's tool has it from the leader.
pub(crate) fn next_step(
    membership: &Membership,
    quorum: &Quorum,
    replica: ReplicaId,
    instead_of: ReplicaId,
) -> Step {
    let members = Members { membership, quorum };
    match voter_plan::admission(&members, replica, Some(instead_of)) {
        Admission::Done => Step::Done,
        Admission::WaitForSilence | Admission::CatchUp { .. } | Admission::EndJoint => Step::Wait,
        Admission::Dismiss(other) => Step::Change(MembershipChange::Remove(other)),
        Admission::Admit => Step::Change(MembershipChange::AddLearner(replica)),
        Admission::Promote { instead_of } => Step::Change(MembershipChange::Promote {
            learner: replica,
            instead_of,
        }),
    }
}
