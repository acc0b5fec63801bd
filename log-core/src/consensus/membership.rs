//! Who votes and who only learns (Raft thesis, chapter 4; joint consensus as in the `raft` crate).

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use serde::{Deserialize, Serialize};

use crate::ids::ReplicaId;

/// The replicas of a cluster. While a joint change is under way, `voters_outgoing` is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Those whose majority decides.
    pub voters: Vec<ReplicaId>,
    /// Those that receive entries and do not count.
    pub learners: Vec<ReplicaId>,
    /// The former voters during a joint change: their majority is needed too.
    pub voters_outgoing: Vec<ReplicaId>,
    /// Outgoing voters that become learners when the joint change ends.
    pub learners_next: Vec<ReplicaId>,
    /// Whether the leader ends the joint change by itself.
    pub auto_leave: bool,
}

/// One change of the members: one entry, and done only when it is applied (rule 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// A new replica receives entries and does not count.
    AddLearner(ReplicaId),
    /// A learner becomes a voter; where it takes another's place, both happen at once, by a joint change that the
    /// leader ends by itself.
    Promote {
        /// Who.
        learner: ReplicaId,
        /// In whose place, if in anybody's.
        instead_of: Option<ReplicaId>,
    },
    /// A voter or learner leaves.
    Remove(ReplicaId),
}

impl MembershipChange {
    pub(super) fn to_raft(self) -> ConfChangeV2 {
        let steps = match self {
            Self::AddLearner(replica) => vec![(ConfChangeType::AddLearnerNode, replica)],
            Self::Promote {
                learner,
                instead_of,
            } => {
                let leaves = instead_of.map(|replica| (ConfChangeType::RemoveNode, replica));
                let promotes = (ConfChangeType::AddNode, learner);
                std::iter::once(promotes).chain(leaves).collect()
            }
            Self::Remove(replica) => vec![(ConfChangeType::RemoveNode, replica)],
        };
        let mut change = ConfChangeV2::default();
        change.set_changes(steps.into_iter().map(single).collect());
        change
    }
}

fn single((kind, replica): (ConfChangeType, ReplicaId)) -> ConfChangeSingle {
    let mut step = ConfChangeSingle::default();
    step.set_change_type(kind);
    step.node_id = replica.0;
    step
}

/// Why stored bytes are no membership.
#[derive(Debug, thiserror::Error)]
#[error("membership of {len} bytes is not readable")]
pub struct InvalidMembership {
    len: usize,
    #[source]
    source: postcard::Error,
}

impl Membership {
    /// A cluster of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = ReplicaId>) -> Self {
        let mut voters: Vec<_> = voters.into_iter().collect();
        voters.sort_unstable();
        Self {
            voters,
            ..Self::default()
        }
    }

    /// How many voters decide. In the middle of a joint change, of each of the two sets.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether the replica receives entries, as a voter or as a learner.
    pub fn has(&self, replica: ReplicaId) -> bool {
        self.is_voter(replica) || self.learners.contains(&replica)
    }

    /// Whether the replica's vote counts; in the middle of a joint change, in either set.
    pub fn is_voter(&self, replica: ReplicaId) -> bool {
        self.voters.contains(&replica) || self.voters_outgoing.contains(&replica)
    }

    /// The bytes that a checkpoint keeps.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain values always encode into a growing buffer")
    }

    /// Reads what [`Membership::encode`] wrote.
    ///
    /// # Errors
    /// [`InvalidMembership`] when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidMembership> {
        postcard::from_bytes(bytes).map_err(|source| InvalidMembership {
            len: bytes.len(),
            source,
        })
    }

    pub(super) fn to_raft(&self) -> ConfState {
        let mut raft = ConfState::default();
        raft.set_voters(numbers(&self.voters));
        raft.set_learners(numbers(&self.learners));
        raft.set_voters_outgoing(numbers(&self.voters_outgoing));
        raft.set_learners_next(numbers(&self.learners_next));
        raft.set_auto_leave(self.auto_leave);
        raft
    }

    pub(super) fn from_raft(raft: &ConfState) -> Self {
        Self {
            voters: replicas(raft.get_voters()),
            learners: replicas(raft.get_learners()),
            voters_outgoing: replicas(raft.get_voters_outgoing()),
            learners_next: replicas(raft.get_learners_next()),
            auto_leave: raft.get_auto_leave(),
        }
    }
}

fn numbers(replicas: &[ReplicaId]) -> Vec<u64> {
    replicas.iter().map(|replica| replica.0).collect()
}

/// In order: `raft` keeps sets whose order depends on how a replica came to them, and two replicas that applied the same
/// entry are to write the same bytes.
fn replicas(numbers: &[u64]) -> Vec<ReplicaId> {
    let mut replicas: Vec<_> = numbers.iter().copied().map(ReplicaId).collect();
    replicas.sort_unstable();
    replicas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_members_are_the_same_bytes_however_a_replica_came_to_know_them() {
        let told = |voters: [u64; 3]| {
            let mut raft = ConfState::default();
            raft.set_voters(voters.to_vec());
            Membership::from_raft(&raft).encode()
        };
        let founded = Membership::of_voters([3, 1, 2].map(ReplicaId)).encode();
        assert_eq!(told([1, 2, 3]), told([3, 1, 2]));
        assert_eq!(told([1, 2, 3]), founded);
    }

    #[test]
    fn a_membership_is_read_back_as_it_was_written_also_in_the_middle_of_a_change() {
        let membership = Membership {
            voters: vec![ReplicaId(1), ReplicaId(2), ReplicaId(u64::MAX)],
            learners: vec![ReplicaId(4)],
            voters_outgoing: vec![ReplicaId(1), ReplicaId(3)],
            learners_next: vec![ReplicaId(3)],
            auto_leave: true,
        };

        assert_eq!(
            Membership::decode(&membership.encode()).unwrap(),
            membership
        );
        assert_eq!(Membership::from_raft(&membership.to_raft()), membership);
    }
}
