//! How many partitions there may be. Each voter holds all of them, and each costs three open files; so a topic is judged
//! before it is proposed, by the voter that keeps the fewest files open. Once an entry is in the journal it is carried
//! out on every node, at every start.
//!
//! Each node tells the others its number with its status. One that has never told counts as a process that may open
//! [`FILES_UNTOLD`] files; of a silent one the last word holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::consensus::Membership;
use crate::ids::ReplicaId;

/// The log of its newest segment, and two indexes.
const FILES_PER_PARTITION: u64 = 3;
/// What a node keeps open of partitions where the process may open 1,024 files.
const FILES_UNTOLD: u32 = 115;

/// More partitions than a voter can keep open. Nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{partitions} partitions need {} open files, {FILES_PER_PARTITION} each, and replica {replica} keeps {files_max} \
     open: use fewer partitions, or raise the file limit of that node", FILES_PER_PARTITION * partitions
)]
pub struct TooManyPartitions {
    /// How many there would be, of all topics.
    pub partitions: u64,
    /// The poorest voter.
    pub replica: ReplicaId,
    /// How many files of partitions it keeps open.
    pub files_max: u32,
}

/// What is known of the voters' open files, and what is on its way to need more.
#[derive(Debug)]
pub(crate) struct PartitionBound {
    own: u32,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    files_max: BTreeMap<ReplicaId, u32>,
    /// Partitions that are proposed and not applied yet.
    proposed: u64,
}

/// Partitions that are about to be proposed; counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ProposedPartitions {
    bound: Arc<PartitionBound>,
    count: u64,
}

impl Drop for ProposedPartitions {
    fn drop(&mut self) {
        self.bound.told().proposed -= self.count;
    }
}

impl PartitionBound {
    /// Of a node that keeps `own` files of partitions open.
    pub(crate) fn new(own: usize) -> Self {
        Self {
            own: u32::try_from(own).unwrap_or(u32::MAX),
            told: Mutex::default(),
        }
    }

    /// What this node tells the others.
    pub(crate) fn own(&self) -> u32 {
        self.own
    }

    /// Takes down what another node tells.
    pub(crate) fn report(&self, from: ReplicaId, files_max: u32) {
        self.told().files_max.insert(from, files_max);
    }

    /// Counts `added` partitions beside the `present` ones and those on their way.
    ///
    /// # Errors
    /// [`TooManyPartitions`]: not counted.
    pub(crate) fn admit(
        self: &Arc<Self>,
        own: ReplicaId,
        members: &Membership,
        present: u64,
        added: u64,
    ) -> Result<ProposedPartitions, TooManyPartitions> {
        let mut told = self.told();
        told.files_max.retain(|replica, _| members.has(*replica));
        let files_of = |replica: &ReplicaId| match told.files_max.get(replica) {
            _ if *replica == own => self.own,
            Some(files_max) => *files_max,
            None => FILES_UNTOLD,
        };
        let voters = members.voters.iter().chain(&members.voters_outgoing);
        let poorest = voters
            .map(|voter| (files_of(voter), *voter))
            .min_by_key(|(files_max, _)| *files_max);
        let (files_max, replica) = poorest.unwrap_or((self.own, own));
        let partitions = present + told.proposed + added;
        if u64::from(files_max) < FILES_PER_PARTITION.saturating_mul(partitions) {
            return Err(TooManyPartitions {
                partitions,
                replica,
                files_max,
            });
        }
        told.proposed += added;
        drop(told);
        Ok(ProposedPartitions {
            bound: Arc::clone(self),
            count: added,
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Plain values: whatever panicked with the lock held left them whole.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replica 1 of the voters 1, 2 and 3, with room for a hundred partitions; so have the others.
    fn bound() -> (Arc<PartitionBound>, Membership) {
        let bound = Arc::new(PartitionBound::new(300));
        bound.report(ReplicaId(2), 300);
        bound.report(ReplicaId(3), 300);
        (bound, Membership::of_voters([1, 2, 3].map(ReplicaId)))
    }

    #[test]
    fn partitions_are_taken_up_to_what_the_poorest_voter_keeps_open() {
        let (bound, members) = bound();
        let admit = |added| bound.admit(ReplicaId(1), &members, 10, added).map(drop);
        assert_eq!(admit(90), Ok(()));
        let refused = TooManyPartitions {
            partitions: 101,
            replica: ReplicaId(1),
            files_max: 300,
        };
        assert_eq!(admit(91), Err(refused));

        bound.report(ReplicaId(3), 72);
        assert_eq!(admit(14), Ok(()));
        assert_eq!(
            admit(15).expect_err("25 are too many").replica,
            ReplicaId(3)
        );
    }

    #[test]
    fn a_voter_that_has_never_told_counts_as_one_of_the_poor() {
        let (bound, mut members) = bound();
        members.voters.push(ReplicaId(4));
        let admit = |added| bound.admit(ReplicaId(1), &members, 0, added).map(drop);
        assert_eq!(admit(38), Ok(()));
        assert_eq!(admit(39).expect_err("117 files").files_max, FILES_UNTOLD);
    }

    #[test]
    fn what_is_proposed_and_not_applied_yet_counts() {
        let (bound, members) = bound();
        let first = bound.admit(ReplicaId(1), &members, 0, 60);
        assert!(bound.admit(ReplicaId(1), &members, 0, 60).is_err());
        drop(first);
        assert!(bound.admit(ReplicaId(1), &members, 0, 60).is_ok());
    }
}
