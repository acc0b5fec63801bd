//! Who decides, and how far each of them is: what Metadata's in-sync replicas and `min.insync.replicas` are judged by
//! (rules 1 and 9). The leader sees it; it tells the others.

use serde::{Deserialize, Serialize};

use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

/// A member's journal may be so many entries behind the leader's and still be in sync.
const LAG_ENTRIES_MAX: u64 = 4096;

/// The members as a leader sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Who leads, when known.
    pub leader: Option<ReplicaId>,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The last entry in the leader's journal, or on its way there.
    pub last: EntryIndex,
    /// Voters and learners, ordered by replica.
    pub members: Vec<QuorumMember>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumMember {
    /// Who.
    pub replica: ReplicaId,
    /// Whether its vote counts.
    pub voter: bool,
    /// Its journal has the leader's entries up to here, synced.
    pub matched: EntryIndex,
    /// Whether the leader heard of it within the last two seconds.
    pub active: bool,
    /// Whether it is a voter, active, and its journal within a bound of the leader's.
    pub in_sync: bool,
}

impl QuorumMember {
    /// Judges a member of which the leader's journal ends at `last`.
    pub(crate) fn seen(
        replica: ReplicaId,
        voter: bool,
        matched: EntryIndex,
        active: bool,
        last: EntryIndex,
    ) -> Self {
        let near = last.0.saturating_sub(matched.0) <= LAG_ENTRIES_MAX;
        Self {
            replica,
            voter,
            matched,
            active,
            in_sync: voter && active && near,
        }
    }
}

impl Quorum {
    /// The voters that are in sync.
    pub fn in_sync(&self) -> impl Iterator<Item = &QuorumMember> {
        self.members.iter().filter(|member| member.in_sync)
    }

    /// Whether so many voters have the entry on their disks.
    pub fn has_on_disk(&self, index: EntryIndex, voters: usize) -> bool {
        let have = |member: &&QuorumMember| member.voter && index <= member.matched;
        voters <= self.members.iter().filter(have).count()
    }

    /// What is known of a replica.
    pub fn member(&self, replica: ReplicaId) -> Option<&QuorumMember> {
        self.members.iter().find(|member| member.replica == replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(replica: u64, voter: bool, matched: u64, active: bool) -> QuorumMember {
        let (matched, last) = (EntryIndex(matched), EntryIndex(10_000));
        QuorumMember::seen(ReplicaId(replica), voter, matched, active, last)
    }

    fn quorum() -> Quorum {
        Quorum {
            leader: Some(ReplicaId(1)),
            epoch: LeaderEpoch(3),
            last: EntryIndex(10_000),
            members: vec![
                member(1, true, 10_000, true),
                member(2, true, 9_999, false),
                member(3, true, 5_000, true),
                member(4, false, 10_000, true),
            ],
        }
    }

    #[test]
    fn in_sync_are_the_voters_that_answer_and_are_near() {
        let in_sync: Vec<_> = quorum().in_sync().map(|member| member.replica).collect();
        assert_eq!(in_sync, [ReplicaId(1)]);
    }

    #[test]
    fn a_learners_disk_never_counts() {
        assert!(quorum().has_on_disk(EntryIndex(9_999), 2));
        assert!(!quorum().has_on_disk(EntryIndex(9_999), 3));
        assert!(quorum().has_on_disk(EntryIndex(5_000), 3));
    }
}
