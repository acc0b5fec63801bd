//! A whole cluster with its producers in one thread, from one seed.
//!
//! Each node is the real replica, the real journal and the real partitions on a disk that loses what was not synced. Only
//! the threads and the sockets are missing: their work is an event at a moment that the seed chooses. Faults come for a
//! while, then everything heals, and the cluster must serve again and hold what it acknowledged.

mod history;
mod network;
mod node;
mod planted;
mod producer;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::history::History;
pub use self::history::Violation;
use self::network::Network;
use self::node::{Ended, SimNode};
pub use self::planted::Planted;
use self::producer::{Producer, Wish};
use super::SimClock;
use crate::broker::simulated::{Answer, Outbound};
use crate::clock::Clock;
use crate::consensus::Message;
use crate::ids::{EntryIndex, TimestampMs};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of all chance.
    pub seed: u64,
    /// Nodes, all of them voters.
    pub nodes: usize,
    /// Producers, each writing one record after the other.
    pub producers: usize,
    /// How long faults come.
    pub trouble: Duration,
    /// Within which the healed cluster must have answered every producer.
    pub recovery: Duration,
    /// The next fault comes within this.
    pub trouble_within: Duration,
    /// A node that ended comes back within this.
    pub restart_within: Duration,
    /// Bytes between two checkpoints. A cluster of several keeps its whole journal: nobody sends snapshots yet.
    pub checkpoint_bytes: u64,
    /// A bug to be found, if any.
    pub planted: Option<Planted>,
}

impl Plan {
    /// The same with hardly a moment between two faults: elections meet power cuts.
    pub fn storm(seed: u64, nodes: usize) -> Self {
        let (trouble_within, restart_within) =
            (Duration::from_millis(150), Duration::from_millis(100));
        Self {
            trouble_within,
            restart_within,
            ..Self::of(seed, nodes)
        }
    }

    /// A short life with many faults.
    pub fn of(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            producers: 6,
            trouble: Duration::from_secs(12),
            recovery: Duration::from_secs(30),
            trouble_within: Duration::from_millis(900),
            restart_within: Duration::from_secs(2),
            checkpoint_bytes: if nodes == 1 { 4 << 10 } else { u64::MAX },
            planted: None,
        }
    }
}

/// How often what happened: a quiet simulation proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often it happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Coverage) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(what, times)| format!("{what} {times}"))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A fingerprint of everything that happened, in order: the same seed gives the same.
    pub trace: u64,
    /// What happened how often.
    pub coverage: Coverage,
}

/// What can happen next.
#[derive(Debug)]
enum Event {
    Tick { node: usize, life: u64 },
    Journal { node: usize, life: u64 },
    Checkpoint { node: usize, life: u64 },
    Deliver { to: usize, message: Message },
    Produce { producer: usize },
    GiveUp { producer: usize, attempt: u64 },
    Trouble,
    Restart { node: usize },
    Heal { link: (usize, usize) },
}

/// The cluster and its world.
pub struct Cluster {
    plan: Plan,
    chance: ChaCha8Rng,
    clock: std::sync::Arc<SimClock>,
    agenda: BTreeMap<(Duration, u64), Event>,
    planned: u64,
    nodes: Vec<SimNode>,
    network: Network,
    producers: Vec<Producer>,
    history: History,
    coverage: Coverage,
    trace: u64,
    calm: bool,
}

const TICK: Duration = Duration::from_millis(25);
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1_500);

impl Cluster {
    /// Lives through a plan.
    ///
    /// # Errors
    /// The first [`Violation`] of a promise.
    pub fn run(plan: Plan) -> Result<Report, Violation> {
        let mut cluster = Self::form(plan);
        cluster.live_until(plan.trouble)?;
        cluster.heal();
        let deadline = plan.trouble + plan.recovery;
        while !cluster.is_settled() {
            if deadline < cluster.clock.elapsed() {
                let waiting = cluster
                    .producers
                    .iter()
                    .filter(|producer| producer.is_waiting())
                    .count();
                return Err(Violation::NoRecovery {
                    waiting,
                    within: plan.recovery,
                });
            }
            cluster.step()?;
        }
        cluster.history.check(&cluster.nodes)?;
        Ok(Report {
            trace: cluster.trace,
            coverage: cluster.coverage,
        })
    }

    fn form(plan: Plan) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(plan.seed);
        let clock = std::sync::Arc::new(SimClock::at(TimestampMs(1_790_000_000_000)));
        let nodes = node::form(plan, &mut chance, &clock);
        let mut cluster = Self {
            plan,
            network: Network::between(plan.nodes),
            producers: (0..plan.producers)
                .map(|id| Producer::new(id, plan.nodes))
                .collect(),
            history: History::default(),
            coverage: Coverage::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            calm: false,
            nodes,
            clock,
            chance,
        };
        (0..plan.nodes).for_each(|node| cluster.start(node));
        (0..plan.producers)
            .for_each(|producer| cluster.within(ms(500), Event::Produce { producer }));
        cluster.within(plan.trouble_within, Event::Trouble);
        cluster
    }

    fn live_until(&mut self, end: Duration) -> Result<(), Violation> {
        while self.clock.elapsed() < end {
            self.step()?;
        }
        Ok(())
    }

    /// Lets the next event happen.
    fn step(&mut self) -> Result<(), Violation> {
        let ((at, _), event) = self.agenda.pop_first().expect("ticks never end");
        self.clock.advance(at.saturating_sub(self.clock.elapsed()));
        self.note(&event);
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Journal { node, life } => self.journal(node, life),
            Event::Checkpoint { node, life } => self.checkpoint(node, life),
            Event::Deliver { to, message } => self.with_node(to, |node| node.hear(message)),
            Event::Produce { producer } => self.produce(producer),
            Event::GiveUp { producer, attempt } => self.give_up(producer, attempt),
            Event::Trouble => self.trouble(),
            Event::Restart { node } => self.start(node),
            Event::Heal { link } => self.network.heal(link),
        }
        self.history.take_violation().map_or(Ok(()), Err)
    }

    /// Everything that happens leaves its mark, so that two runs of one seed can be compared.
    fn note(&mut self, event: &Event) {
        let line = format!("{:?} {event:?}", self.clock.elapsed());
        if std::env::var_os("SIM_TRACE").is_some() {
            println!("{line}");
        }
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.agenda
            .insert((self.clock.elapsed() + after, self.planned), event);
    }

    fn within(&mut self, most: Duration, event: Event) {
        let after = self.chance.random_range(Duration::ZERO..=most);
        self.at(after, event);
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            return;
        }
        match self.nodes[node].start() {
            Ok(life) => {
                self.coverage.count("starts");
                self.within(ms(25), Event::Tick { node, life });
                self.follow_up(node);
            }
            Err(ended) => self.ended(node, ended),
        }
    }

    fn tick(&mut self, node: usize, life: u64) {
        if self.nodes[node].lives(life) {
            self.at(TICK, Event::Tick { node, life });
            self.with_node(node, SimNode::tick);
        }
    }

    fn journal(&mut self, node: usize, life: u64) {
        if self.nodes[node].lives(life) {
            self.with_node(node, SimNode::write_journal);
        }
    }

    fn checkpoint(&mut self, node: usize, life: u64) {
        if self.nodes[node].lives(life) {
            self.coverage.count("checkpoints");
            self.with_node(node, SimNode::complete_checkpoint);
        }
    }

    fn with_node(&mut self, node: usize, act: impl FnOnce(&mut SimNode) -> Result<(), Ended>) {
        if !self.nodes[node].is_up() {
            return;
        }
        match act(&mut self.nodes[node]) {
            Ok(()) => self.follow_up(node),
            Err(ended) => self.ended(node, ended),
        }
    }

    /// What a node wants done: messages out, answers to producers, work for its other threads.
    fn follow_up(&mut self, node: usize) {
        let Outbound {
            messages,
            answers,
            journal_waits,
            checkpoint_waits,
        } = self.nodes[node].outbound();
        let life = self.nodes[node].life();
        if journal_waits {
            let slow = ms(if self.nodes[node].is_slow() { 400 } else { 4 });
            self.within(slow, Event::Journal { node, life });
        }
        if checkpoint_waits {
            self.within(ms(30), Event::Checkpoint { node, life });
        }
        messages
            .into_iter()
            .for_each(|message| self.send(node, message));
        answers.into_iter().for_each(|answer| self.answer(answer));
        if let Some((place, fingerprint)) = self.nodes[node].newly_applied() {
            self.applied(node, place, fingerprint);
        }
        self.watch_leadership(node);
    }

    fn applied(&mut self, node: usize, index: EntryIndex, fingerprint: u64) {
        self.history.applied(node, index, fingerprint);
    }

    fn watch_leadership(&mut self, node: usize) {
        if let Some(epoch) = self.nodes[node].newly_leading() {
            self.coverage.count("elections");
            self.history.leads(node, epoch);
        }
    }

    fn send(&mut self, from: usize, message: Message) {
        let Some(to) = self
            .nodes
            .iter()
            .position(|node| node.replica().0 == message.to)
        else {
            return;
        };
        if self.network.is_cut((from, to)) {
            return;
        }
        let trouble = !self.calm;
        if trouble && self.chance.random_bool(0.03) {
            self.coverage.count("messages lost");
            return;
        }
        if trouble && self.chance.random_bool(0.03) {
            self.coverage.count("messages repeated");
            self.within(
                ms(60),
                Event::Deliver {
                    to,
                    message: message.clone(),
                },
            );
        }
        let late = ms(if trouble && self.chance.random_bool(0.03) {
            600
        } else {
            2
        });
        self.within(late, Event::Deliver { to, message });
    }

    fn produce(&mut self, producer: usize) {
        let Some(Wish {
            node,
            command,
            attempt,
        }) = self.producers[producer].next(&mut self.chance, self.calm)
        else {
            return;
        };
        self.history.tries(&self.producers[producer]);
        self.at(REQUEST_TIMEOUT, Event::GiveUp { producer, attempt });
        self.with_node(node, |node| node.propose((producer, attempt), command));
    }

    fn answer(&mut self, mut answer: Answer) {
        if let Some(bug) = self.plan.planted {
            bug.spoil_answer(&mut answer);
        }
        let (producer, attempt) = answer.asker;
        if self.network.loses_answer(&mut self.chance, self.calm) {
            self.coverage.count("answers lost");
            return;
        }
        if self.producers[producer].is_answered(
            attempt,
            &answer.outcome,
            &mut self.history,
            &mut self.coverage,
        ) {
            self.within(ms(40), Event::Produce { producer });
        }
    }

    fn give_up(&mut self, producer: usize, attempt: u64) {
        if self.producers[producer].gives_up(attempt) {
            self.coverage.count("requests timed out");
            self.within(ms(40), Event::Produce { producer });
        }
    }

    fn trouble(&mut self) {
        if self.calm {
            return;
        }
        self.within(self.plan.trouble_within, Event::Trouble);
        let node = self.chance.random_range(0..self.plan.nodes);
        match self.chance.random_range(0..10) {
            0 | 1 => self.cut_power(node),
            2 => self.cut_power_at_an_operation(node),
            3 => self.cut_power_everywhere(),
            4 => self.kill(node),
            5 | 6 => self.cut_link(node),
            7 => self.cut_off(node),
            8 => self.slow_disk(node),
            _ => self.jump_clock(),
        }
    }

    fn cut_power(&mut self, node: usize) {
        self.coverage.count("power cuts");
        self.nodes[node].disk().crash();
        if self.plan.planted == Some(Planted::EmptyDiskUnderAnOldName) {
            self.nodes[node].lose_disk(self.chance.random());
        }
        self.ended(node, Ended::PowerCut);
    }

    fn cut_power_at_an_operation(&mut self, node: usize) {
        let disk = self.nodes[node].disk();
        disk.crash_at(disk.operations() + self.chance.random_range(1..40));
    }

    fn cut_power_everywhere(&mut self) {
        self.coverage.count("power cuts everywhere");
        (0..self.plan.nodes).for_each(|node| self.cut_power(node));
    }

    fn kill(&mut self, node: usize) {
        self.coverage.count("kills");
        self.nodes[node].disk().kill();
        self.ended(node, Ended::Killed);
    }

    fn cut_link(&mut self, from: usize) {
        self.coverage.count("links cut one way");
        let to = self.chance.random_range(0..self.plan.nodes);
        self.network.cut((from, to));
        self.within(ms(3_000), Event::Heal { link: (from, to) });
    }

    fn cut_off(&mut self, node: usize) {
        self.coverage.count("nodes cut off");
        for other in 0..self.plan.nodes {
            for link in [(node, other), (other, node)] {
                self.network.cut(link);
                self.within(ms(3_000), Event::Heal { link });
            }
        }
    }

    fn slow_disk(&mut self, node: usize) {
        self.coverage.count("disks slow");
        self.nodes[node].slow_down();
    }

    fn jump_clock(&mut self) {
        self.coverage.count("clocks jumped");
        let by = self.chance.random_range(-120_000..120_000);
        self.clock.jump_wall(by);
    }

    /// A node has ended. Its disk may have lost power in the middle of something; it comes back in a while.
    fn ended(&mut self, node: usize, ended: Ended) {
        if ended == Ended::PowerCut {
            self.coverage.count("ends by power cut");
        }
        self.nodes[node].end();
        self.within(self.plan.restart_within, Event::Restart { node });
    }

    fn heal(&mut self) {
        self.calm = true;
        self.network.heal_all();
        for node in 0..self.plan.nodes {
            self.nodes[node].speed_up();
            self.nodes[node].disk().crash_at(u64::MAX);
            self.within(ms(100), Event::Restart { node });
        }
    }

    /// Every producer has its last answer, and all nodes have applied the same.
    fn is_settled(&self) -> bool {
        let first = self.nodes[0].applied();
        first.is_some()
            && self.nodes.iter().all(|node| node.applied() == first)
            && self.producers.iter().all(|producer| !producer.is_waiting())
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
