mod slow_disks;

use std::collections::VecDeque;

use super::*;
use crate::consensus::told_snapshot;

/// One voter with a disk of its own that keeps what it was told to.
struct Alone {
    driver: Driver,
    waiting: VecDeque<Persist>,
    disk: Vec<Entry>,
    hard_state: HardState,
    applied: Vec<Entry>,
    readable: Vec<(ReadRequestId, EntryIndex)>,
}

impl Alone {
    fn new() -> Self {
        Self::restored(
            Vec::new(),
            HardState::default(),
            (EntryIndex(0), LeaderEpoch(0)),
        )
    }

    fn restored(
        disk: Vec<Entry>,
        hard_state: HardState,
        checkpoint: (EntryIndex, LeaderEpoch),
    ) -> Self {
        let membership = Membership::of_voters([ReplicaId(7)]);
        let restored = Restored {
            replica: ReplicaId(7),
            checkpoint,
            membership,
            hard_state,
            entries: disk.clone(),
        };
        let driver = Driver::start(restored, Timing::default());
        Self {
            driver,
            waiting: VecDeque::new(),
            disk,
            hard_state,
            applied: Vec::new(),
            readable: Vec::new(),
        }
    }

    fn work(&mut self) -> &mut Self {
        while let Some(work) = self.driver.work() {
            self.waiting.extend(work.persist);
            self.applied.extend(work.apply);
            self.readable.extend(work.readable);
        }
        self
    }

    fn sync_one(&mut self) -> &mut Self {
        let step = self.waiting.pop_front().expect("a step waits");
        self.disk.extend(step.entries);
        self.hard_state = step.hard_state.unwrap_or(self.hard_state);
        self.driver.persisted(step.number);
        self.work()
    }

    fn lead(&mut self) -> &mut Self {
        self.driver.campaign();
        self.work();
        while !self.waiting.is_empty() {
            self.sync_one();
        }
        self
    }

    fn applied_payloads(&self) -> Vec<&[u8]> {
        self.applied
            .iter()
            .map(|entry| entry.payload.as_ref())
            .filter(|payload| !payload.is_empty())
            .collect()
    }
}

#[test]
fn nothing_is_applied_before_it_is_on_disk() {
    let mut alone = Alone::new();
    alone.lead();

    alone.driver.propose(b"one".to_vec()).unwrap();
    alone.work();
    assert_eq!(alone.applied_payloads(), Vec::<&[u8]>::new());

    alone.sync_one();
    assert_eq!(alone.applied_payloads(), [b"one"]);
}

#[test]
fn proposals_do_not_wait_for_each_other_and_keep_their_order() {
    let mut alone = Alone::new();
    alone.lead();

    let first = alone.driver.propose(b"one".to_vec()).unwrap();
    alone.work();
    let second = alone.driver.propose(b"two".to_vec()).unwrap();
    alone.work();

    assert_eq!(alone.waiting.len(), 2);
    assert_eq!(second.index.0, first.index.0 + 1);
    alone.sync_one().sync_one();
    assert_eq!(alone.applied_payloads(), [b"one", b"two"]);
}

#[test]
fn a_follower_proposes_nothing() {
    let mut alone = Alone::new();

    assert_eq!(
        alone.driver.propose(b"one".to_vec()),
        Err(ProposalDropped::NotLeader)
    );
    assert!(alone.work().waiting.is_empty());
}

#[test]
fn what_was_on_disk_is_applied_again_after_a_restart_in_a_higher_epoch_and_once() {
    let mut before = Alone::new();
    before.lead();
    before.driver.propose(b"one".to_vec()).unwrap();
    before.work().sync_one();
    let epoch_before = before.driver.epoch();

    let mut after = Alone::restored(
        before.disk,
        before.hard_state,
        (EntryIndex(0), LeaderEpoch(0)),
    );
    after.lead();

    assert_eq!(after.applied_payloads(), [b"one"]);
    assert!(epoch_before < after.driver.epoch());
}

#[test]
fn what_a_checkpoint_covers_is_not_applied_again() {
    let mut before = Alone::new();
    before.lead();
    for payload in [b"one", b"two"] {
        before.driver.propose(payload.to_vec()).unwrap();
    }
    before.work();
    while !before.waiting.is_empty() {
        before.sync_one();
    }
    let covered = before
        .applied
        .iter()
        .find(|entry| entry.payload.as_ref() == b"one")
        .unwrap();

    let checkpoint = (covered.index, covered.epoch);
    let mut after = Alone::restored(before.disk.clone(), before.hard_state, checkpoint);
    after.lead();

    assert_eq!(after.applied_payloads(), [b"two"]);
}

#[test]
fn a_read_is_answered_with_an_index_that_covers_all_that_was_committed_before_it() {
    let mut alone = Alone::new();
    alone.lead();
    let place = alone.driver.propose(b"one".to_vec()).unwrap();
    alone.work().sync_one();

    let ticket = alone.driver.read_index();
    alone.work();

    let [(answered, index)] = alone.readable[..] else {
        panic!("one answer: {:?}", alone.readable)
    };
    assert_eq!(answered, ticket);
    assert!(place.index <= index);
}

#[test]
fn the_election_timeout_is_the_same_for_the_same_history_and_differs_between_replicas() {
    let timeout = |replica: u64| {
        let membership = Membership::of_voters((1..=5).map(ReplicaId));
        let checkpoint = (EntryIndex(0), LeaderEpoch(0));
        let hard_state = HardState::default();
        let restored = Restored {
            replica: ReplicaId(replica),
            checkpoint,
            membership,
            hard_state,
            entries: Vec::new(),
        };
        Driver::start(restored, Timing::default())
            .node
            .raft
            .randomized_election_timeout()
    };

    assert_eq!(timeout(1), timeout(1));
    assert!((2..=5).any(|other| timeout(other) != timeout(1)));
}

/// Several replicas whose disks are instant and whose messages go round until nobody has any.
struct Several {
    drivers: Vec<Driver>,
    /// Those that hear and say nothing.
    cut_off: Vec<ReplicaId>,
    applied: Vec<Vec<Entry>>,
    said: Vec<Message>,
    /// The snapshots that were told of; nobody fetches them.
    told: Vec<(EntryIndex, Bytes)>,
}

impl Several {
    fn founded_by(founders: u64, replicas: u64) -> Self {
        let start = |replica| {
            let restored = Restored {
                replica: ReplicaId(replica),
                checkpoint: (EntryIndex(0), LeaderEpoch(0)),
                membership: Membership::of_voters((1..=founders).map(ReplicaId)),
                hard_state: HardState::default(),
                entries: Vec::new(),
            };
            Driver::start(restored, Timing::default())
        };
        Self {
            drivers: (1..=replicas).map(start).collect(),
            cut_off: Vec::new(),
            applied: vec![Vec::new(); usize::try_from(replicas).expect("few")],
            said: Vec::new(),
            told: Vec::new(),
        }
    }

    fn of(&mut self, replica: u64) -> &mut Driver {
        &mut self.drivers[usize::try_from(replica - 1).expect("few")]
    }

    fn settle(&mut self) {
        loop {
            (0..self.drivers.len()).for_each(|at| self.work(at));
            if self.said.is_empty() {
                break;
            }
            for message in std::mem::take(&mut self.said) {
                let ends = [ReplicaId(message.from), ReplicaId(message.to)];
                if ends.iter().any(|end| self.cut_off.contains(end)) {
                    continue;
                }
                match told_snapshot(&message) {
                    Some(told) => self.told.push((told.applied, told.manifest)),
                    None => self.of(message.to).step(message),
                }
            }
        }
    }

    fn work(&mut self, at: usize) {
        while let Some(work) = self.drivers[at].work() {
            self.said.extend(work.send);
            if let Some(step) = work.persist {
                self.said.extend(step.then_send);
                self.drivers[at].persisted(step.number);
            }
            for entry in work.apply {
                if entry.kind == EntryKind::Membership {
                    self.drivers[at].apply_membership(&entry);
                }
                self.drivers[at].applied(entry.index);
                self.applied[at].push(entry);
            }
        }
    }

    fn tick_leader(&mut self, leader: u64, ticks: usize) {
        for _ in 0..ticks {
            self.of(leader).tick();
            self.settle();
        }
    }

    fn lead(&mut self, replica: u64) -> &mut Self {
        self.of(replica).campaign();
        self.settle();
        assert_eq!(self.of(replica).role(), Role::Leader);
        self
    }

    fn write(&mut self, leader: u64, payload: &[u8]) -> EntryIndex {
        let place = self.of(leader).propose(payload.to_vec()).unwrap();
        self.settle();
        place.index
    }

    fn voters(&mut self, replica: u64) -> Vec<ReplicaId> {
        let conf = self.of(replica).node.raft.prs().conf().to_conf_state();
        let mut voters = Membership::from_raft(&conf).voters;
        voters.sort_unstable();
        voters
    }
}

fn held_at(applied: EntryIndex, epoch: LeaderEpoch) -> HeldSnapshot {
    HeldSnapshot {
        applied,
        epoch,
        membership: Membership::of_voters((1..=3).map(ReplicaId)),
        manifest: Bytes::from_static(b"files"),
    }
}

#[test]
fn a_follower_that_needs_entries_that_are_gone_is_told_of_the_snapshot_once_it_is_held() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1).cut_off = vec![ReplicaId(3)];
    let covered = several.write(1, b"one");
    several.write(1, b"two");
    assert_eq!(several.of(1).trim(covered, &Keep::NOTHING), covered);
    several.cut_off.clear();

    several.tick_leader(1, 4);
    assert!(several.of(1).take_snapshot_wanted());
    assert!(several.of(3).lacks(covered, LeaderEpoch(1)));

    several
        .of(1)
        .offer_snapshot(Some(&held_at(covered, LeaderEpoch(1))));
    several.tick_leader(1, 4);

    assert_eq!(several.told, [(covered, Bytes::from_static(b"files"))]);
    assert_eq!(several.of(1).followers()[2].installing, Some(covered));
}

#[test]
fn a_snapshot_that_ends_before_the_first_entry_kept_is_never_offered() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1).cut_off = vec![ReplicaId(3)];
    let first = several.write(1, b"one");
    let second = several.write(1, b"two");
    several.of(1).trim(second, &Keep::NOTHING);
    several
        .of(1)
        .offer_snapshot(Some(&held_at(first, LeaderEpoch(1))));
    several.cut_off.clear();

    several.tick_leader(1, 4);

    assert!(several.of(1).take_snapshot_wanted());
    assert_eq!(several.of(1).followers()[2].installing, None);
}

#[test]
fn entries_that_somebody_needs_stay_after_a_checkpoint_up_to_a_bound() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1);
    let indexes: Vec<_> = (0..10).map(|_| several.write(1, &[7; 100])).collect();
    let last = indexes[9];
    let keep = |after: EntryIndex, bytes_min, bytes_max| Keep {
        after,
        bytes_min,
        bytes_max,
    };

    assert_eq!(
        several.of(1).trim(last, &keep(indexes[2], 0, 5_000)),
        indexes[2]
    );
    let trimmed = several.of(1).trim(last, &keep(indexes[2], 0, 500));
    assert_eq!(trimmed, indexes[4]);
    let nobody = EntryIndex(u64::MAX);
    assert_eq!(
        several.of(1).trim(last, &keep(nobody, 250, 500)),
        indexes[7]
    );
    assert_eq!(several.of(1).trim(last, &Keep::NOTHING), last);
}

#[test]
fn a_learner_receives_entries_and_takes_a_voters_place_in_one_joint_change() {
    let mut several = Several::founded_by(3, 4);
    several.lead(1);
    let learner = MembershipChange::AddLearner(ReplicaId(4));
    several.of(1).change_membership(&learner).unwrap();
    several.settle();
    several.write(1, b"one");
    assert_eq!(several.applied[3].last().unwrap().payload.as_ref(), b"one");
    assert_eq!(several.voters(1), [1, 2, 3].map(ReplicaId));

    several.cut_off = vec![ReplicaId(3)];
    let promote = MembershipChange::Promote {
        learner: ReplicaId(4),
        instead_of: Some(ReplicaId(3)),
    };
    several.of(1).change_membership(&promote).unwrap();
    assert_eq!(
        several.of(1).change_membership(&learner),
        Err(ProposalDropped::Busy)
    );
    // The end of the joint change goes out with a heart-beat.
    several.tick_leader(1, 4);

    assert_eq!(several.voters(1), [1, 2, 4].map(ReplicaId));
    assert_eq!(several.voters(4), [1, 2, 4].map(ReplicaId));
    several.cut_off.push(ReplicaId(2));
    let place = several.write(1, b"two");
    assert!(several.applied[0].iter().any(|entry| entry.index == place));
}

#[test]
fn whoever_has_applied_a_change_of_the_members_knows_it_after_a_crash() {
    let mut several = Several::founded_by(3, 4);
    several.lead(1);
    let learner = MembershipChange::AddLearner(ReplicaId(4));
    several.of(1).change_membership(&learner).unwrap();
    let mut known_on_disk = None;
    while let Some(work) = several.of(1).work() {
        several.said.extend(work.send);
        let applies = work
            .apply
            .iter()
            .find(|entry| entry.kind == EntryKind::Membership);
        known_on_disk = known_on_disk.or(applies.map(|entry| {
            let promised = work.persist.as_ref().and_then(|step| step.hard_state);
            promised.is_some_and(|promised| entry.index <= promised.commit)
        }));
        if let Some(step) = work.persist {
            several.said.extend(step.then_send);
            several.of(1).persisted(step.number);
        }
        for message in std::mem::take(&mut several.said) {
            several.of(message.to).step(message);
        }
        (1..4).for_each(|other| several.work(other));
        for message in std::mem::take(&mut several.said) {
            several.of(message.to).step(message);
        }
    }
    assert_eq!(known_on_disk, Some(true));
}

#[test]
fn leadership_is_handed_over_without_an_elections_silence() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1);

    several.of(1).hand_over_to(ReplicaId(2));
    several.settle();

    assert_eq!(several.of(2).role(), Role::Leader);
    assert_eq!(several.of(1).epoch(), LeaderEpoch(2));
}

#[test]
fn the_only_voter_whose_disk_hangs_does_not_stand_for_election_before_it_has_caught_up() {
    let mut alone = Alone::new();
    alone.lead();
    alone.driver.propose(b"one".to_vec()).unwrap();
    alone.work();

    alone.driver.step_down();
    for _ in 0..100 {
        alone.driver.tick();
        alone.work();
    }
    assert_ne!(alone.driver.role(), Role::Leader);

    while !alone.waiting.is_empty() {
        alone.sync_one();
    }
    for _ in 0..100 {
        alone.driver.tick();
        alone.work();
    }
    assert_eq!(alone.driver.role(), Role::Leader);
}

#[test]
fn the_only_voter_says_nothing_to_a_learner_before_its_epoch_is_on_disk() {
    let mut several = Several::founded_by(1, 2);
    several.lead(1);
    let learner = MembershipChange::AddLearner(ReplicaId(2));
    several.of(1).change_membership(&learner).unwrap();
    several.settle();
    several.of(1).step_down();

    several.of(1).campaign();
    several.of(1).propose(b"one".to_vec()).unwrap();
    let mut waiting = VecDeque::new();
    while let Some(work) = several.of(1).work() {
        assert_eq!(work.send, [], "the epoch is not on disk");
        waiting.extend(work.persist);
    }

    assert!(waiting.iter().any(|step| !step.then_send.is_empty()));
}

#[test]
fn a_follower_forwards_neither_a_read_nor_a_hand_over() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1);

    several.of(2).read_index();
    several.of(2).hand_over_to(ReplicaId(3));
    several.work(1);

    assert_eq!(several.said, []);
    assert_eq!(several.of(1).role(), Role::Leader);
}

#[test]
fn a_leader_that_steps_down_proposes_nothing_and_its_epoch_stands() {
    let mut several = Several::founded_by(3, 3);
    several.lead(1);

    several.of(1).step_down();

    assert_eq!(
        several.of(1).propose(b"one".to_vec()),
        Err(ProposalDropped::NotLeader)
    );
    assert_eq!(several.of(1).epoch(), LeaderEpoch(1));
}

/// 1 proposes to remove 2; it reaches 2 and 3; 1 is cut off; 2 leads.
fn proposed_to_remove_two() -> Several {
    let mut several = Several::founded_by(3, 3);
    several.lead(1);
    several.write(1, b"one");
    several
        .of(1)
        .change_membership(&MembershipChange::Remove(ReplicaId(2)))
        .unwrap();
    several.work(0);
    for message in std::mem::take(&mut several.said) {
        several.of(message.to).step(message);
    }
    several.work(1);
    several.work(2);
    several.said.clear();
    several.cut_off = vec![ReplicaId(1)];
    for _ in 0..12 {
        several.of(3).tick();
    }
    several.said.clear();
    drop(several.of(3).work());
    several
}

#[test]
fn a_leader_that_is_removed_lets_a_member_lead() {
    let mut several = proposed_to_remove_two();
    for _ in 0..60 {
        several.of(2).tick();
        several.settle();
    }
    assert_eq!(several.of(2).epoch(), LeaderEpoch(2), "it led");
    assert_eq!(several.voters(2), [1, 3].map(ReplicaId));

    several.cut_off.clear();
    for _ in 0..100 {
        (1..=3).for_each(|it| several.of(it).tick());
        several.settle();
    }

    let leads = [1, 3].map(|it| several.of(it).role() == Role::Leader);
    let leader = match leads {
        [true, false] => 1,
        [false, true] => 3,
        _ => panic!("one member leads: {leads:?}"),
    };
    let place = several.write(leader, b"two");
    assert!(several.applied[0].iter().any(|entry| entry.index == place));
}

#[test]
fn a_leader_that_is_removed_with_an_entry_on_its_way_to_disk_goes_on_as_a_follower() {
    let mut several = proposed_to_remove_two();
    for _ in 0..60 {
        several.of(2).tick();
        several.work(1);
        several.work(2);
        for message in std::mem::take(&mut several.said) {
            if message.to != 1 {
                several.of(message.to).step(message);
            }
        }
        if several.of(2).role() == Role::Leader {
            break;
        }
    }
    assert_eq!(several.of(2).role(), Role::Leader);
    several.work(1);
    several.of(2).propose(b"two".to_vec()).unwrap();
    let mut slow = Vec::new();
    for _ in 0..5 {
        while let Some(work) = several.of(2).work() {
            several.said.extend(work.send);
            slow.extend(work.persist);
            for entry in work.apply {
                if entry.kind == EntryKind::Membership {
                    several.of(2).apply_membership(&entry);
                }
                several.of(2).applied(entry.index);
            }
        }
        for message in std::mem::take(&mut several.said) {
            if message.to != 1 {
                several.of(message.to).step(message);
            }
        }
        several.work(2);
    }
    for step in slow {
        several.of(2).persisted(step.number);
    }

    assert_ne!(several.of(2).role(), Role::Leader);
    assert_eq!(several.voters(2), [1, 3].map(ReplicaId));
}
