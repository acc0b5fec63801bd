//! Whether the leader's disk holds the others up, in ticks of 25 ms. An entry is acknowledged only once the leader has it on
//! disk itself, so one slow disk beside quick ones is the pace of the whole cluster, unless another leads.
//!
//! Judged by what the leader knows anyway: when its own syncs end, and when a majority of the voters without it had the
//! same entry on disk. Where the others are as late, nothing would be won by another leader.

use std::collections::VecDeque;

use super::followers::Tick;
use super::{FollowerProgress, Membership};
use crate::ids::{EntryIndex, ReplicaId};

/// A sync that ends so much after the others had the entry is late: 300 ms.
const LATE_TICKS: u64 = 12;
/// A leader whose syncs were all late for so long hands over: 2 s.
const LATE_FOR_TICKS: u64 = 80;
/// It asks again after so long, when the other has not taken over: 0.5 s.
const AGAIN_TICKS: u64 = 20;
/// When no other has taken over by then, leadership is let go: 1 s after it was first asked.
const LET_GO_TICKS: u64 = 40;

/// Entries on their way to the leader's own disk.
#[derive(Debug)]
struct Step {
    number: u64,
    last: EntryIndex,
    /// Since when a majority of the others has had them on disk.
    others_since: Option<Tick>,
}

/// What a leader does about its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leads on.
    Lead,
    /// It hands over to a voter that is there.
    HandOver,
    /// It stops leading.
    LetGo,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LeaderDisk {
    steps: VecDeque<Step>,
    late: Option<Late>,
}

/// Every sync was late.
#[derive(Clone, Copy, Debug)]
struct Late {
    since: Tick,
    /// When one was last seen to be.
    seen: Tick,
    /// When another was asked to lead: at first, and last.
    asked: Option<(Tick, Tick)>,
}

impl LeaderDisk {
    /// This replica leads from now on.
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    /// A step with entries up to `last` goes to this replica's disk.
    pub(crate) fn writes(&mut self, number: u64, last: EntryIndex) {
        self.steps.push_back(Step {
            number,
            last,
            others_since: None,
        });
    }

    /// This step and all before it are on disk: they went down with one sync, or a few. The last one began to wait last.
    pub(crate) fn synced(&mut self, number: u64, now: Tick) {
        let mut last = None;
        while self.steps.front().is_some_and(|step| step.number <= number) {
            last = self.steps.pop_front();
        }
        match last {
            Some(step) if step.is_late(now) => self.note_late(now),
            Some(_) => self.late = None,
            None => {}
        }
    }

    /// Looks at how far the others are, once in every tick.
    pub(crate) fn judge(
        &mut self,
        me: ReplicaId,
        membership: &Membership,
        followers: &[FollowerProgress],
        now: Tick,
    ) -> Verdict {
        let Some(others) = on_disk_without(me, membership, followers) else {
            self.late = None;
            return Verdict::Lead;
        };
        for step in &mut self.steps {
            if step.last <= others {
                step.others_since.get_or_insert(now);
            }
        }
        if self.steps.front().is_some_and(|step| step.is_late(now)) {
            self.note_late(now);
        }
        self.verdict(now)
    }

    fn note_late(&mut self, now: Tick) {
        let begun = Late {
            since: now,
            seen: now,
            asked: None,
        };
        self.late.get_or_insert(begun).seen = now;
    }

    /// A disk that had nothing to do since is not judged by what it did long ago.
    fn verdict(&mut self, now: Tick) -> Verdict {
        let Some(late) = &mut self.late else {
            return Verdict::Lead;
        };
        if 1 < now.since(late.seen) || now.since(late.since) < LATE_FOR_TICKS {
            return Verdict::Lead;
        }
        let (first, last) = match late.asked {
            Some((first, _)) if LET_GO_TICKS <= now.since(first) => return Verdict::LetGo,
            Some((_, last)) if now.since(last) < AGAIN_TICKS => return Verdict::Lead,
            Some((first, _)) => (first, now),
            None => (now, now),
        };
        late.asked = Some((first, last));
        Verdict::HandOver
    }
}

impl Step {
    fn is_late(&self, now: Tick) -> bool {
        self.others_since
            .is_some_and(|since| LATE_TICKS < now.since(since))
    }
}

/// Up to where a majority of the voters has everything on disk without this one; none where it takes this one to have a
/// majority. In a joint change both majorities count.
fn on_disk_without(
    me: ReplicaId,
    membership: &Membership,
    followers: &[FollowerProgress],
) -> Option<EntryIndex> {
    let matched = |voter: &ReplicaId| {
        let known = followers.iter().find(|known| known.replica == *voter);
        known.map_or(EntryIndex(0), |known| known.matched)
    };
    let majority_of = |voters: &[ReplicaId]| {
        let mut others: Vec<_> = voters.iter().filter(|it| **it != me).map(matched).collect();
        others.sort_unstable_by(|one, other| other.cmp(one));
        others.get(voters.len() / 2).copied()
    };
    let now = majority_of(&membership.voters)?;
    if !membership.is_joint() {
        return Some(now);
    }
    Some(now.min(majority_of(&membership.voters_outgoing)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ReplicaId = ReplicaId(1);

    /// The leader of so many voters, whose entries are numbered by their steps.
    struct Leader {
        disk: LeaderDisk,
        membership: Membership,
        matched: Vec<u64>,
        clock: super::super::followers::Followers,
        written: u64,
    }

    impl Leader {
        fn of(voters: u64) -> Self {
            Self {
                disk: LeaderDisk::default(),
                membership: Membership::of_voters((1..=voters).map(ReplicaId)),
                matched: (1..=voters).map(|_| 0).collect(),
                clock: Default::default(),
                written: 0,
            }
        }

        fn write(&mut self) -> u64 {
            self.written += 1;
            self.disk.writes(self.written, EntryIndex(self.written));
            self.written
        }

        /// These voters have everything on disk.
        fn on_disk_of(&mut self, voters: &[usize]) {
            for voter in voters {
                self.matched[voter - 1] = self.written;
            }
        }

        fn pass(&mut self, ticks: u64) -> Vec<Verdict> {
            let known = |(voter, matched): (usize, &u64)| FollowerProgress {
                replica: ReplicaId(voter as u64 + 1),
                matched: EntryIndex(*matched),
                installing: None,
            };
            let followers: Vec<_> = self.matched.iter().enumerate().map(known).collect();
            let verdicts = (0..ticks).map(|_| {
                self.clock.tick();
                let now = self.clock.now();
                self.disk.judge(ME, &self.membership, &followers, now)
            });
            verdicts
                .filter(|verdict| *verdict != Verdict::Lead)
                .collect()
        }

        /// Writes again and again, its own sync taking so long and those of `others` so long.
        fn lead(&mut self, own: u64, others: &[(usize, u64)], rounds: u64) -> Vec<Verdict> {
            let mut verdicts = Vec::new();
            for _ in 0..rounds {
                let step = self.write();
                for tick in 0..own {
                    let done = others.iter().filter(|(_, takes)| *takes == tick);
                    let done: Vec<_> = done.map(|(voter, _)| *voter).collect();
                    self.on_disk_of(&done);
                    verdicts.extend(self.pass(1));
                }
                self.disk.synced(step, self.clock.now());
                self.on_disk_of(&others.iter().map(|(voter, _)| *voter).collect::<Vec<_>>());
            }
            verdicts
        }
    }

    const SECOND: u64 = 40;

    #[test]
    fn a_leader_with_a_slow_disk_beside_quick_ones_hands_over_within_three_seconds() {
        let mut leader = Leader::of(3);
        let quick = [(2, 1), (3, 1)];
        assert_eq!(leader.lead(SECOND, &quick, 2), []);
        assert_eq!(leader.lead(SECOND, &quick, 1)[0], Verdict::HandOver);
    }

    #[test]
    fn a_leader_whose_disk_hangs_hands_over_and_lets_go_when_no_other_takes_over() {
        let mut leader = Leader::of(3);
        leader.write();
        leader.on_disk_of(&[2, 3]);
        assert_eq!(leader.pass(LATE_TICKS + LATE_FOR_TICKS), []);
        assert_eq!(leader.pass(3)[0], Verdict::HandOver);
        let then = leader.pass(LET_GO_TICKS);
        assert_eq!(then.first(), Some(&Verdict::HandOver));
        assert_eq!(then.last(), Some(&Verdict::LetGo));
    }

    #[test]
    fn where_the_others_are_as_late_the_leader_leads_on() {
        let mut leader = Leader::of(3);
        let one_as_slow = [(2, 1), (3, SECOND - 1)];
        assert_eq!(leader.lead(SECOND, &one_as_slow, 60), []);

        let mut of_five = Leader::of(5);
        let two_as_slow = [(2, 1), (3, 1), (4, SECOND - 1), (5, SECOND - 1)];
        assert_eq!(of_five.lead(SECOND, &two_as_slow, 60), []);
        let one_as_slow = [(2, 1), (3, 1), (4, 1), (5, SECOND - 1)];
        assert_ne!(of_five.lead(SECOND, &one_as_slow, 4), []);
    }

    #[test]
    fn a_leader_without_which_there_is_no_majority_leads_on() {
        let mut leader = Leader::of(3);
        assert_eq!(leader.lead(3 * SECOND, &[(2, 1)], 10), []);
        let mut of_two = Leader::of(2);
        assert_eq!(of_two.lead(3 * SECOND, &[(2, 1)], 10), []);
    }

    #[test]
    fn a_leader_whose_disk_was_slow_now_and_then_leads_on() {
        let mut leader = Leader::of(3);
        let quick = [(2, 1), (3, 1)];
        for _ in 0..10 {
            assert_eq!(leader.lead(SECOND, &quick, 1), []);
            assert_eq!(leader.lead(2, &quick, 1), []);
        }
    }

    #[test]
    fn a_disk_without_work_is_not_judged_by_its_last_sync() {
        let mut leader = Leader::of(3);
        leader.lead(SECOND, &[(2, 1), (3, 1)], 1);
        assert_eq!(leader.pass(1_000), []);
    }

    #[test]
    fn in_a_joint_change_a_majority_of_both_is_needed_without_the_leader() {
        let mut leader = Leader::of(5);
        leader.membership.voters = [1, 2, 3].map(ReplicaId).to_vec();
        leader.membership.voters_outgoing = [1, 4, 5].map(ReplicaId).to_vec();
        assert_eq!(leader.lead(SECOND, &[(2, 1), (3, 1), (4, 1)], 10), []);
        assert_ne!(
            leader.lead(SECOND, &[(2, 1), (3, 1), (4, 1), (5, 1)], 4),
            []
        );
    }
}
