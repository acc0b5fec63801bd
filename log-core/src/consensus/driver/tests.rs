use std::collections::VecDeque;

use super::*;

/// One voter with a disk of its own that keeps what it was told to.
struct Alone {
    driver: Driver,
    waiting: VecDeque<Persist>,
    disk: Vec<Entry>,
    hard_state: HardState,
    applied: Vec<Entry>,
    readable: Vec<(ReadTicket, EntryIndex)>,
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
        Err(Dropped::NotLeader)
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
