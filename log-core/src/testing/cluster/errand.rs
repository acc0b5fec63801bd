//! What the operator wants of a leader, and the steps of the tool on the way there.

use crate::consensus::voter_plan::{self, Admission, Members, Removal};
use crate::consensus::{Membership, MembershipChange, Quorum};
use crate::ids::{EntryIndex, ReplicaId};

/// What the operator wants of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// A replica is to vote, perhaps in the place of another.
    Join {
        replica: ReplicaId,
        instead_of: Option<ReplicaId>,
    },
    /// A replica is to be no member any more.
    Leave { replica: ReplicaId },
}

/// What brings the operator's errand forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
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
pub(super) fn step_to_join(
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
pub(super) fn step_to_leave(
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

/// Whether a majority of the voters has the entry on its disks.
pub(super) fn most_have(membership: &Membership, quorum: &Quorum, entry: EntryIndex) -> bool {
    voter_plan::is_on_a_majority(quorum, &membership.voters, entry)
}
