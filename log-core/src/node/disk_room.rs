//! Room on the disks of those who vote. Records are refused while there is still room for everything else: deletes,
//! commits, checkpoints and the next start must always be possible (rule 13).
//!
//! Each node looks at its own disk once a second and tells the others; the leader refuses records while so many voters have
//! said that they have no room that the others are no majority. What is not known is not full: a refusal is final for a
//! client, so a voter that has not been heard of for [`HEARD_WITHIN`] counts as one with room. Should it have none after all,
//! nothing is acknowledged for want of its disk, and that is no final word. For the same reason a leader whose process
//! stood still says nothing final before a majority has confirmed that it leads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::consensus::Membership;
use crate::ids::ReplicaId;

/// How long a voter's last word holds. Ten of its reports may be lost.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// What a node says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoomReport {
    /// What is free, its reserve included.
    pub(crate) free_bytes: u64,
    /// Whether there is more than its reserve.
    pub(crate) has_room: bool,
}

/// What is known of the voters' disks.
#[derive(Debug)]
pub(crate) struct DiskRoom {
    free_bytes: AtomicU64,
    reserve_bytes: u64,
    reports: Mutex<BTreeMap<ReplicaId, (RoomReport, Duration)>>,
    /// The last judgement: a produce asks it once for each batch.
    is_enough: AtomicBool,
}

impl DiskRoom {
    /// Keeps `reserve_bytes` free of records. Until the first look there is room.
    pub(crate) fn keeping(reserve_bytes: u64) -> Self {
        Self {
            free_bytes: AtomicU64::new(u64::MAX),
            reserve_bytes,
            reports: Mutex::default(),
            is_enough: AtomicBool::new(true),
        }
    }

    /// Whether records may be written: no majority of the voters was known to be short of room when it was last judged.
    pub(crate) fn is_enough(&self) -> bool {
        self.is_enough.load(Ordering::Relaxed)
    }

    /// What this node says of its own disk.
    pub(crate) fn own_report(&self) -> RoomReport {
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        RoomReport {
            free_bytes,
            has_room: self.reserve_bytes <= free_bytes,
        }
    }

    /// Takes down what another node says of its disk, at a time of this node's clock.
    pub(crate) fn report(&self, from: ReplicaId, report: RoomReport, now: Duration) {
        self.reports().insert(from, (report, now));
    }

    /// What was last heard of another node's disk, however long ago.
    pub(crate) fn reported(&self, from: ReplicaId) -> Option<RoomReport> {
        self.reports().get(&from).map(|(report, _)| *report)
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, (RoomReport, Duration)>> {
        // Plain values: a panic with the lock held leaves them whole.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much is free on the own disk.
    pub(super) fn note(&self, free_bytes: u64) {
        let had = self.own_report().has_room;
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        metrics::gauge!("log_disk_free_bytes").set(free_bytes as f64);
        let reserve_bytes = self.reserve_bytes;
        match (had, self.own_report().has_room) {
            (true, false) => warn!(
                free_bytes,
                reserve_bytes, "disk is full but for its reserve"
            ),
            (false, true) => info!(free_bytes, reserve_bytes, "disk has room again"),
            (true, true) | (false, false) => {}
        }
    }

    /// Judges anew whether a majority of the voters may have room.
    pub(crate) fn judge(&self, own: ReplicaId, members: &Membership, leads: bool, now: Duration) {
        let full = self.known_to_be_full(own, members, now);
        let is_enough = leaves_a_majority(&full, &members.voters)
            && (!members.is_joint() || leaves_a_majority(&full, &members.voters_outgoing));
        let was_enough = self.is_enough.swap(is_enough, Ordering::Relaxed);
        if !leads {
            return;
        }
        let voters = members.voters.len();
        let with_room = voters - among(&full, &members.voters);
        metrics::gauge!("log_voters_with_room").set(with_room as f64);
        match (was_enough, is_enough) {
            (true, false) => warn!(with_room, voters, "records are refused: disks are full"),
            (false, true) => info!(with_room, voters, "records are taken again"),
            (true, true) | (false, false) => {}
        }
    }

    fn known_to_be_full(
        &self,
        own: ReplicaId,
        members: &Membership,
        now: Duration,
    ) -> Vec<ReplicaId> {
        let mut reports = self.reports();
        reports.retain(|replica, _| members.has(*replica));
        let is_full = |replica: &ReplicaId| match reports.get(replica) {
            _ if *replica == own => !self.own_report().has_room,
            Some((report, at)) => !report.has_room && now.saturating_sub(*at) <= HEARD_WITHIN,
            None => false,
        };
        let voters = members.voters.iter().chain(&members.voters_outgoing);
        voters.copied().filter(is_full).collect()
    }
}

fn among(some: &[ReplicaId], voters: &[ReplicaId]) -> usize {
    voters.iter().filter(|voter| some.contains(voter)).count()
}

fn leaves_a_majority(full: &[ReplicaId], voters: &[ReplicaId]) -> bool {
    voters.len() / 2 < voters.len() - among(full, voters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn replica(number: u64) -> ReplicaId {
        ReplicaId(number)
    }

    /// Replica 1 leads since the start, of three voters and a learner; its reserve is 100 bytes.
    struct Leader {
        room: DiskRoom,
        members: Membership,
        now: Duration,
    }

    impl Leader {
        fn new() -> Self {
            let mut members = Membership::of_voters([1, 2, 3].map(ReplicaId));
            members.learners = vec![replica(4)];
            let room = DiskRoom::keeping(100);
            room.note(1_000);
            let mut leader = Self {
                room,
                members,
                now: SECOND,
            };
            leader.judge_after(Duration::ZERO);
            leader
        }

        fn hear(&self, from: u64, has_room: bool) {
            let report = RoomReport {
                free_bytes: 1,
                has_room,
            };
            self.room.report(replica(from), report, self.now);
        }

        fn judge_after(&mut self, time: Duration) -> bool {
            self.now += time;
            self.room.judge(replica(1), &self.members, true, self.now);
            self.room.is_enough()
        }
    }

    #[test]
    fn alone_a_node_refuses_records_before_its_reserve_is_touched_and_takes_them_again_once_there_is_room()
     {
        let alone = Membership::of_voters([replica(1)]);
        let room = DiskRoom::keeping(100);
        assert!(room.is_enough(), "before the first look");
        for (free_bytes, is_enough) in [(99, false), (100, true)] {
            room.note(free_bytes);
            room.judge(replica(1), &alone, true, SECOND);
            assert_eq!(room.is_enough(), is_enough, "{free_bytes} bytes");
        }
    }

    #[test]
    fn records_are_taken_while_a_majority_of_the_voters_has_room() {
        let mut leader = Leader::new();
        leader.hear(2, false);
        leader.hear(3, true);
        assert!(leader.judge_after(Duration::ZERO), "1 and 3");

        leader.room.note(99);
        leader.hear(4, true);
        assert!(!leader.judge_after(Duration::ZERO), "3, and a learner");

        leader.hear(2, true);
        assert!(leader.judge_after(Duration::ZERO), "2 and 3, not 1");
    }

    #[test]
    fn what_is_not_known_is_not_full() {
        let mut leader = Leader::new();
        leader.room.note(99);
        assert!(leader.judge_after(100 * SECOND), "2 and 3 never spoke");

        leader.hear(2, false);
        assert!(!leader.judge_after(HEARD_WITHIN), "1 and 2 are full");
        assert!(leader.judge_after(SECOND), "2 said so too long ago");
    }

    #[test]
    fn a_leader_that_stood_still_takes_nobodys_silence_for_a_full_disk() {
        let mut leader = Leader::new();
        leader.hear(2, true);
        leader.hear(3, true);
        assert!(leader.judge_after(60 * SECOND), "it knows nothing of them");
    }

    #[test]
    fn in_a_joint_change_both_majorities_need_room() {
        let mut leader = Leader::new();
        leader.members.voters = [1, 4, 5].map(ReplicaId).to_vec();
        leader.members.voters_outgoing = [1, 2, 3].map(ReplicaId).to_vec();
        for (from, has_room) in [(2, true), (3, false), (4, false), (5, false)] {
            leader.hear(from, has_room);
        }
        assert!(
            !leader.judge_after(Duration::ZERO),
            "of the new voters only 1"
        );

        leader.hear(5, true);
        assert!(leader.judge_after(Duration::ZERO));
    }

    #[test]
    fn what_a_former_member_said_is_forgotten() {
        let mut leader = Leader::new();
        leader.hear(9, true);
        leader.judge_after(Duration::ZERO);
        assert_eq!(leader.room.reported(replica(9)), None);
    }
}
