//! Elections and leading where a sync takes long: the election time-out says how long a leader may be silent, and nothing of
//! how long a disk takes.

use std::collections::VecDeque;

use super::*;

/// Ticks of 25 ms.
const SECOND: u64 = 40;

/// Replicas on disks that take their time. What waits for a disk goes down with its next sync.
struct World {
    drivers: Vec<Driver>,
    disks: Vec<SlowDisk>,
    /// Messages on their way: one tick each.
    said: Vec<Message>,
    down: Vec<u64>,
    now: u64,
    /// The epochs that were led, in order.
    led: Vec<(u64, LeaderEpoch)>,
}

struct SlowDisk {
    sync_ticks: u64,
    under_way: Option<(u64, Vec<Persist>)>,
    waiting: VecDeque<Persist>,
}

impl World {
    /// Replicas 1, 2, ... whose syncs take so many ticks; `seed` makes them other ones.
    fn of(seed: u64, sync_ticks: &[u64]) -> Self {
        let names: Vec<_> = (0..sync_ticks.len() as u64)
            .map(|number| ReplicaId(1 + seed * 100 + number))
            .collect();
        let start = |replica: &ReplicaId| {
            let restored = Restored {
                replica: *replica,
                checkpoint: (EntryIndex(0), LeaderEpoch(0)),
                membership: Membership::of_voters(names.iter().copied()),
                hard_state: HardState::default(),
                entries: Vec::new(),
            };
            Driver::start(restored, Timing::default())
        };
        let disk = |ticks: &u64| SlowDisk {
            sync_ticks: *ticks,
            under_way: None,
            waiting: VecDeque::new(),
        };
        Self {
            drivers: names.iter().map(start).collect(),
            disks: sync_ticks.iter().map(disk).collect(),
            said: Vec::new(),
            down: Vec::new(),
            now: 0,
            led: Vec::new(),
        }
    }

    fn name(&self, at: usize) -> u64 {
        self.drivers[at].node.raft.id
    }

    fn is_up(&self, at: usize) -> bool {
        !self.down.contains(&self.name(at))
    }

    fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now += 1;
            for message in std::mem::take(&mut self.said) {
                let to = (0..self.drivers.len()).find(|at| self.name(*at) == message.to);
                let to = to.expect("one of us");
                if self.is_up(to) {
                    self.drivers[to].step(message);
                    self.work(to);
                }
            }
            for at in (0..self.drivers.len())
                .filter(|at| self.is_up(*at))
                .collect::<Vec<_>>()
            {
                self.sync(at);
                self.drivers[at].tick();
                self.work(at);
            }
        }
    }

    fn sync(&mut self, at: usize) {
        let disk = &mut self.disks[at];
        let done = disk.under_way.take_if(|(end, _)| *end <= self.now);
        let Some((_, steps)) = done else { return };
        for step in steps {
            self.said.extend(step.then_send);
            self.drivers[at].persisted(step.number);
        }
        self.work(at);
    }

    fn work(&mut self, at: usize) {
        while let Some(work) = self.drivers[at].work() {
            self.said.extend(work.send);
            self.disks[at].waiting.extend(work.persist);
            if let Some(last) = work.apply.last() {
                self.drivers[at].applied(last.index);
            }
        }
        let disk = &mut self.disks[at];
        if disk.under_way.is_none() && !disk.waiting.is_empty() {
            let end = self.now + disk.sync_ticks;
            disk.under_way = Some((end, disk.waiting.drain(..).collect()));
        }
        let leads = (self.name(at), self.drivers[at].epoch());
        if self.drivers[at].role() == Role::Leader && self.led.last() != Some(&leads) {
            self.led.push(leads);
        }
    }

    fn leader(&self) -> Option<usize> {
        let leads = |at: &usize| self.is_up(*at) && self.drivers[*at].role() == Role::Leader;
        (0..self.drivers.len()).find(leads)
    }

    fn pass_until_led(&mut self, ticks_max: u64) -> usize {
        let until = self.now + ticks_max;
        while self.now < until {
            self.pass(1);
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("no leader after {ticks_max} ticks")
    }

    /// Writes for so many ticks, an entry each, and says how many of them were committed by one leader.
    fn write_for(&mut self, ticks: u64) -> u64 {
        let before = self.committed();
        for _ in 0..ticks {
            if let Some(leader) = self.leader() {
                self.drivers[leader].propose(b"help".to_vec()).ok();
                self.work(leader);
            }
            self.pass(1);
        }
        self.committed() - before
    }

    fn committed(&self) -> u64 {
        let up = (0..self.drivers.len()).filter(|at| self.is_up(*at));
        up.map(|at| self.drivers[at].hard_state().commit.0)
            .max()
            .expect("some are up")
    }
}

#[test]
fn a_leader_is_elected_and_leads_on_whatever_a_sync_takes_on_all_disks() {
    for sync_ticks in [1, 4, 10, 20, SECOND, 3 * SECOND] {
        for seed in 0..15 {
            let mut world = World::of(seed, &[sync_ticks; 3]);
            world.pass_until_led(60 + 12 * sync_ticks);
            let elections = world.led.len();
            let committed = world.write_for(10 * sync_ticks.max(20));
            assert!(
                5 * sync_ticks.max(20) < committed,
                "seed {seed}, {sync_ticks} ticks: {committed}"
            );
            assert_eq!(world.led.len(), elections, "seed {seed}: it leads on");
        }
    }
}

#[test]
fn another_is_elected_on_slow_disks_when_the_leader_dies() {
    for sync_ticks in [10, SECOND, 3 * SECOND] {
        for seed in 0..15 {
            let mut world = World::of(seed, &[sync_ticks; 3]);
            let leader = world.pass_until_led(60 + 12 * sync_ticks);
            world.write_for(3 * sync_ticks);
            world.down.push(world.name(leader));
            let other = world.pass_until_led(60 + 12 * sync_ticks);
            assert_ne!(other, leader);
            assert!(0 < world.write_for(5 * sync_ticks));
        }
    }
}

#[test]
fn a_candidate_on_a_quick_disk_waits_for_the_votes_of_slow_ones() {
    for slow in [SECOND / 2, SECOND] {
        for seed in 0..15 {
            let mut world = World::of(seed, &[1, slow, slow]);
            world.pass_until_led(20 * SECOND);
            let mut world = World::of(seed, &[1, 1, slow]);
            world.pass_until_led(4 * SECOND);
        }
    }
}

#[test]
fn on_quick_disks_a_dead_leader_costs_an_elections_silence_and_no_more() {
    for seed in 0..100 {
        let mut world = World::of(seed, &[1; 3]);
        let leader = world.pass_until_led(2 * SECOND);
        world.write_for(20);
        world.down.push(world.name(leader));
        // A silence of at most 20 ticks, pre-vote, vote; twice where the votes are split.
        world.pass_until_led(60);
    }
}

#[test]
fn a_follower_whose_disk_hangs_does_not_stand_and_disturbs_nobody() {
    let mut world = World::of(1, &[1; 3]);
    let leader = world.pass_until_led(2 * SECOND);
    let hangs = (leader + 1) % 3;
    world.disks[hangs].sync_ticks = u64::MAX / 2;
    let elections = world.led.len();
    assert!(100 < world.write_for(10 * SECOND));
    assert_eq!(world.led.len(), elections);
}

#[test]
fn a_vote_and_what_speaks_of_entries_wait_for_the_disk_and_a_heart_beats_answer_does_not() {
    let mut world = World::of(1, &[1; 3]);
    let leader = world.pass_until_led(2 * SECOND);
    let follower = (leader + 1) % 3;
    world.disks[follower].sync_ticks = u64::MAX / 2;
    world.write_for(10);
    let matched = |world: &World| {
        let followers = world.drivers[leader].followers();
        followers
            .iter()
            .find(|known| known.replica.0 == world.name(follower))
            .unwrap()
            .matched
    };
    let before = matched(&world);

    world.write_for(2 * SECOND);
    assert_eq!(
        matched(&world),
        before,
        "nothing is said of what no disk has"
    );
    // `raft` forgets it with every look at its quorum.
    let is_heard = |world: &World| {
        let known = world.drivers[leader].node.raft.prs();
        known.get(world.name(follower)).unwrap().recent_active
    };
    let mut ticks = (0..20).map(|_| {
        world.pass(1);
        is_heard(&world)
    });
    assert!(ticks.any(|heard| heard), "it is there");

    world.down.push(world.name(leader));
    let third = (leader + 2) % 3;
    world.pass(20 * SECOND);
    assert_eq!(
        world.leader(),
        None,
        "a vote that no disk has counts for nobody"
    );
    assert_ne!(world.drivers[third].role(), Role::Leader);
}
