//! The replica's parts, for a simulation that takes the place of its threads.

use super::recorded_group;
use crate::consensus::voter_plan::{self, Admission, Members, Removal};
use crate::consensus::{Membership, MembershipChange, Quorum};
use crate::group::CompletedRebalance;
use crate::ids::{EntryIndex, GroupId, ReplicaId};
use crate::state::{Command, ConsumerGroup};

pub(crate) use super::assemble::{Limits, assemble, assemble_again};
pub(crate) use super::command_clock::CommandClock;
pub(crate) use super::due::{self, Remembered};
pub(crate) use super::journal_group::{Job, JournalGroup, JournalLine, Written};
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

/// Whether a majority of the voters has the entry on its disks.
pub(crate) fn most_have(membership: &Membership, quorum: &Quorum, entry: EntryIndex) -> bool {
    voter_plan::is_on_a_majority(quorum, &membership.voters, entry)
}

/// What brings the operator's errand forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: it is done.
    Done,
    /// Time.
    Wait,
    /// A change of the members.
    Change(MembershipChange),
    /// Another has to lead first.
    HandOver(ReplicaId),
}

/// The next step until a replica votes, perhaps in the place of another, as the operator's tool has it from the leader.
pub(crate) fn step_to_join(
    membership: &Membership,
    quorum: &Quorum,
    replica: ReplicaId,
    instead_of: Option<ReplicaId>,
) -> Step {
    let members = Members { membership, quorum };
    match voter_plan::admission(&members, replica, instead_of) {
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

/// The next step until a replica is no member any more.
pub(crate) fn step_to_leave(
    membership: &Membership,
    quorum: &Quorum,
    replica: ReplicaId,
    leader: ReplicaId,
) -> Step {
    if !membership.has(replica) {
        return Step::Done;
    }
    let members = Members { membership, quorum };
    match voter_plan::removal(&members, replica, leader) {
        Ok(Removal::Remove) => Step::Change(MembershipChange::Remove(replica)),
        Ok(Removal::HandOver { to }) => Step::HandOver(to),
        Err(_) => Step::Wait,
    }
}
