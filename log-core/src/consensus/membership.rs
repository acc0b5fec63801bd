//! Who votes and who only learns (Raft thesis, chapter 4; joint consensus as in the `raft` crate).

use raft::eraftpb::ConfState;
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
        Self {
            voters: voters.into_iter().collect(),
            ..Self::default()
        }
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

fn replicas(numbers: &[u64]) -> Vec<ReplicaId> {
    numbers.iter().copied().map(ReplicaId).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
