//! A whole cluster with its clients in one thread, from one seed.
//!
//! Each node is the real replica, the real journal, partitions and group deciders on a disk that loses what was not
//! synced. Only the threads and the sockets are missing: their work is an event at a moment that the seed chooses. Faults
//! come for a while, then everything heals, and the cluster must serve again and hold what it acknowledged.
//!
//! - [`mod@plan`] says what a run is made of; `trouble` what goes wrong in it.
//! - `client` and its kinds (`producer`, `transactor`, `reader`, `member`, `sensor`) are the outside world.
//! - `node` is a machine, `process` what runs on it.
//! - `history` knows what was told and shown, and names the [`Violation`].
//! - `planted` puts old bugs back.

mod client;
mod coverage;
mod disks;
mod event;
mod failure;
mod history;
mod inboxes;
mod isolation;
mod member;
mod network;
mod node;
mod operator;
mod operator_task;
pub mod plan;
mod planted;
mod process;
mod producer;
mod reader;
mod request;
mod sensor;
mod snapshots;
mod topic;
mod transactor;
mod trouble;
mod view;
mod voters;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::client::{Client, Role, Wish};
pub use self::coverage::Coverage;
use self::disks::Status;
use self::event::{Event, Trace};
use self::failure::Failure;
pub use self::failure::Untimely;
use self::history::History;
pub use self::history::{Bounds, Violation};
use self::member::Member;
use self::network::Network;
use self::node::{Ended, SimNode};
pub use self::plan::Plan;
pub use self::planted::Planted;
use self::process::Outbound;
use self::producer::Producer;
use self::reader::Reader;
use self::request::{FaultPhase, Reply, ReplyContext, Request, RequestOrigin};
use self::sensor::Sensor;
use self::snapshots::ChunkRequest;
use self::transactor::Transactor;
use crate::consensus::Message;

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A fingerprint of everything that happened, in order: the same seed gives the same.
    pub trace: u64,
    /// What happened how often.
    pub coverage: Coverage,
}

/// As many as the replica's thread takes before it works.
const TAKEN_PER_ROUND_MAX: usize = 256;

/// The cluster and its world.
pub struct Cluster {
    plan: Plan,
    chance: ChaCha8Rng,
    now: Duration,
    agenda: BTreeMap<(Duration, u64), Event>,
    planned: u64,
    nodes: Vec<SimNode>,
    /// What waits for a process that stands still.
    paused: Vec<Vec<Event>>,
    network: Network,
    clients: Vec<Client>,
    history: History,
    coverage: Coverage,
    trace: Trace,
    prints: bool,
    phase: FaultPhase,
}

impl Cluster {
    /// Lives through a plan.
    ///
    /// # Errors
    /// The first [`Violation`] of a promise.
    pub fn run(plan: Plan) -> Result<Report, Violation> {
        let mut cluster = Self::form(plan);
        while cluster.now < plan.trouble {
            cluster.step()?;
        }
        cluster.phase = FaultPhase::Calm;
        cluster.heal();
        let deadline = plan.trouble + plan.recovery;
        while !cluster.is_settled() {
            if deadline < cluster.now {
                return Err(cluster.no_recovery());
            }
            cluster.step()?;
        }
        let views: Vec<_> = cluster.nodes.iter().filter_map(SimNode::view).collect();
        cluster.history.check(&views)?;
        drop(views);
        Ok(Report {
            trace: cluster.trace.0,
            coverage: cluster.coverage,
        })
    }

    fn form(plan: Plan) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut cluster = Self {
            plan,
            nodes: node::form(plan, &mut chance),
            paused: (0..plan.nodes).map(|_| Vec::new()).collect(),
            network: Network::between(plan.nodes),
            clients: clients(plan),
            history: History::default(),
            coverage: Coverage::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            trace: Trace::default(),
            prints: std::env::var_os("SIM_TRACE").is_some(),
            phase: FaultPhase::Trouble,
            now: Duration::ZERO,
            chance,
        };
        (0..plan.nodes).for_each(|node| cluster.start(node));
        (0..cluster.clients.len())
            .for_each(|client| cluster.within(ms(500), Event::Act { client }));
        (plan.founders..plan.nodes).for_each(|node| cluster.call_operator(node));
        cluster.within(plan.trouble_within, Event::Trouble);
        cluster
    }

    /// Lets the next event happen.
    fn step(&mut self) -> Result<(), Violation> {
        let ((at, _), event) = self.agenda.pop_first().expect("ticks never end");
        self.pass_time_until(at);
        self.note(&event);
        match event.needs().filter(|node| self.nodes[*node].is_paused()) {
            Some(node) => self.paused[node].push(event),
            None => self.happen(event),
        }
        self.history.take_violation().map_or(Ok(()), Err)
    }

    fn pass_time_until(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.now);
        for node in &self.nodes {
            node.clock().advance(passed);
        }
        self.now = at.max(self.now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Round { node, life } => self.round(node, life),
            Event::Journal { node, life } => self.journal(node, life),
            Event::Checkpoint { node, life } => self.checkpoint(node, life),
            Event::Deliver { to, message } => self.with_node(to, |node| node.hear(message)),
            Event::Status { to, status } => self.with_node(to, |node| node.hear_status(status)),
            Event::Act { client } => self.act(client),
            Event::Arrive {
                node,
                asker,
                request,
            } => self.arrive(node, asker, request),
            Event::GiveUp { asker } => self.give_up(asker),
            Event::Trouble => self.trouble(),
            Event::Restart { node } => self.start(node),
            Event::Resume { node } => self.resume(node),
            Event::Room { node } => self.nodes[node].give_room(),
            Event::Quick { node } => self.nodes[node].speed_up(),
            Event::Overdue { node, epoch } => self.overdue(node, epoch),
            Event::Heal { link } => self.network.heal(link),
            Event::Hold { node, life } => self.hold(node, life),
            Event::Fetch { node, life } => self.fetch(node, life),
            Event::Operate { node } => self.operate(node),
        }
    }

    /// Everything that happens leaves its mark, so that two runs of one seed can be compared.
    fn note(&mut self, event: &Event) {
        if self.prints {
            println!("{:?} {event:?}", self.now);
        }
        let at_ns = u64::try_from(self.now.as_nanos()).expect("a life is short");
        self.trace.note_event(at_ns, event);
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.agenda.insert((self.now + after, self.planned), event);
    }

    fn within(&mut self, most: Duration, event: Event) {
        let after = self.chance.random_range(Duration::ZERO..=most);
        self.at(after, event);
    }

    fn is_calm(&self) -> bool {
        self.phase != FaultPhase::Trouble
    }
}

/// Nodes.
impl Cluster {
    fn start(&mut self, node: usize) {
        if self.nodes[node].is_up() || !self.nodes[node].may_start() {
            return;
        }
        match self.nodes[node].start() {
            Ok(()) => {
                self.coverage.count("starts");
                let life = self.nodes[node].life();
                self.within(ms(25), Event::Tick { node, life });
                self.follow_up(node);
            }
            Err(ended) => self.ended(node, ended),
        }
    }

    fn resume(&mut self, node: usize) {
        self.nodes[node].resume();
        for event in std::mem::take(&mut self.paused[node]) {
            self.at(ms(0), event);
        }
    }

    fn tick(&mut self, node: usize, life: u64) {
        if self.nodes[node].lives(life) {
            self.at(self.nodes[node].tick_length(), Event::Tick { node, life });
            self.with_node(node, SimNode::tick);
        }
    }

    /// Now and then a node is about something else, and more comes meanwhile; or it takes but a few at a time.
    fn plan_round(&mut self, node: usize, life: u64) {
        let is_busy = self.chance.random_bool(0.2);
        let within = Duration::from_micros(if is_busy { 10_000 } else { 200 });
        self.within(within, Event::Round { node, life });
    }

    fn round(&mut self, node: usize, life: u64) {
        if !self.nodes[node].lives(life) {
            return;
        }
        let most = if self.chance.random_bool(0.1) {
            self.chance.random_range(1..=4)
        } else {
            TAKEN_PER_ROUND_MAX
        };
        self.with_node(node, |node| node.take_several(most));
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

    fn hold(&mut self, node: usize, life: u64) {
        if self.nodes[node].lives(life) {
            self.coverage.count("snapshots held");
            self.with_node(node, SimNode::hold_snapshot);
        }
    }

    /// One part of a snapshot comes from the leader that told of it, or does not.
    fn fetch(&mut self, node: usize, life: u64) {
        if !self.nodes[node].lives(life) {
            return;
        }
        let part = self.nodes[node].part();
        let bytes = part.and_then(|part| Some((part, self.fetch_part(node, part)?)));
        if bytes.is_some() {
            self.coverage.count("snapshot parts fetched");
        }
        self.with_node(node, |node| node.fetched(bytes));
    }

    fn fetch_part(&mut self, node: usize, part: ChunkRequest) -> Option<Bytes> {
        let from = |other: &SimNode| other.replica() == part.from;
        let from = self.nodes.iter().position(from)?;
        let reachable = self.nodes[from].is_up() && !self.nodes[from].is_paused();
        let cut = self.network.is_cut((node, from)) || self.network.is_cut((from, node));
        if !reachable || cut || (!self.is_calm() && self.chance.random_bool(0.05)) {
            return None;
        }
        let to = self.nodes[node].replica();
        match self.nodes[from].serve(to, part) {
            Ok(bytes) => {
                self.follow_up(from);
                bytes.map(|bytes| self.garbled(bytes))
            }
            Err(ended) => {
                self.ended(from, ended);
                None
            }
        }
    }

    /// Now and then a bit turns round on its way.
    fn garbled(&mut self, bytes: Bytes) -> Bytes {
        if self.is_calm() || !self.chance.random_bool(0.02) {
            return bytes;
        }
        self.coverage.count("snapshot parts garbled");
        let mut garbled = bytes.to_vec();
        let at = self.chance.random_range(0..garbled.len());
        garbled[at] ^= 1;
        garbled.into()
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

    /// What a node wants done: messages out, answers to clients, work for its other threads.
    fn follow_up(&mut self, node: usize) {
        let Outbound {
            messages,
            answers,
            inputs_wait,
            taken_together,
            journal_waits,
            checkpoint_waits,
            hold_waits,
            fetch_waits,
            ended,
            status,
            on_disks,
            overdue,
            operator,
            untimely,
        } = self.nodes[node].outbound();
        for what in untimely {
            self.history.violated(Violation::Untimely { node, what });
        }
        for id in overdue {
            self.coverage.count("transactions overdue");
            self.history.overdue(&id, self.now);
        }
        let life = self.nodes[node].life();
        if 1 < taken_together {
            self.coverage.count("rounds of several");
        }
        if inputs_wait {
            self.plan_round(node, life);
        }
        if journal_waits {
            let (shortest, longest) = self.nodes[node].sync_takes();
            let takes = self.chance.random_range(shortest..=longest);
            self.at(takes, Event::Journal { node, life });
        }
        if checkpoint_waits {
            self.within(ms(30), Event::Checkpoint { node, life });
        }
        if hold_waits {
            self.within(ms(30), Event::Hold { node, life });
        }
        if fetch_waits {
            self.within(ms(30), Event::Fetch { node, life });
        }
        for message in messages {
            self.history.sent(&message);
            self.send(node, message);
        }
        for acknowledged in on_disks {
            let me = self.nodes[node].replica();
            self.history.on_disks(node, me, &acknowledged);
        }
        if let Some(status) = status {
            self.tell_status(node, &status);
        }
        for (asker, said) in answers {
            self.answer(node, asker, said);
        }
        self.watch(node);
        for (operator_task, changed) in operator {
            self.hear_operator(node, operator_task, changed);
        }
        if ended {
            self.ended(node, Ended::Stopped);
        }
    }

    fn watch(&mut self, node: usize) {
        if let Some(fingerprint) = self.nodes[node].newly_applied() {
            let view = self.nodes[node].view().expect("it has just applied");
            if self.history.applied(&view, fingerprint, self.now) {
                self.coverage.count("records beyond their retention");
            }
        }
        if let Some((promised, found)) = self.nodes[node].newly_forgotten() {
            self.history.forgot(node, promised, found);
        }
        for _ in 0..self.nodes[node].newly_installed() {
            self.coverage.count("snapshots installed");
        }
        if let Some(new) = self.nodes[node].newly_voting() {
            self.coverage.count("changes of voters");
            self.history.voters_changed(node, &new);
        }
        if let Some(epoch) = self.nodes[node].newly_leading() {
            self.coverage.count("elections");
            self.history.leads(node, epoch);
        }
    }

    fn tell_status(&mut self, from: usize, status: &Status) {
        for to in 0..self.plan.nodes {
            let is_lost = self.network.is_cut((from, to))
                || (!self.is_calm() && self.chance.random_bool(0.03));
            if to != from && !is_lost {
                let status = status.clone();
                self.within(ms(2), Event::Status { to, status });
            }
        }
    }

    fn send(&mut self, from: usize, message: Message) {
        let to = |node: &SimNode| node.replica().0 == message.to;
        let Some(to) = self.nodes.iter().position(to) else {
            return;
        };
        if self.network.is_cut((from, to)) {
            return;
        }
        let trouble = !self.is_calm();
        if trouble && self.chance.random_bool(0.03) {
            self.coverage.count("messages lost");
            return;
        }
        if trouble && self.chance.random_bool(0.03) {
            self.coverage.count("messages repeated");
            let message = message.clone();
            self.within(ms(60), Event::Deliver { to, message });
        }
        let is_late = trouble && self.chance.random_bool(0.03);
        let late = ms(if is_late { 600 } else { 2 });
        self.within(late, Event::Deliver { to, message });
    }
}

/// Clients.
impl Cluster {
    fn act(&mut self, client: usize) {
        let wish = self.clients[client].next(self.phase, &mut self.chance, &mut self.history);
        let Some(wish) = wish else {
            return;
        };
        let Wish {
            node,
            asker,
            request,
            patience,
        } = wish;
        self.at(patience, Event::GiveUp { asker });
        let arrives = Event::Arrive {
            node,
            asker,
            request,
        };
        if !self.is_calm() && self.chance.random_bool(0.03) {
            self.coverage.count("requests late");
            return self.within(ms(2_500), arrives);
        }
        self.within(ms(1), arrives);
    }

    fn arrive(&mut self, node: usize, asker: RequestOrigin, request: Request) {
        if !self.nodes[node].is_up() {
            // Nobody listens there: the connection is refused.
            self.within(ms(20), Event::GiveUp { asker });
        } else if self.clients[asker.client].still_asks(asker.attempt) {
            self.with_node(node, |node| node.asked(asker, request));
        }
    }

    fn answer(&mut self, node: usize, asker: RequestOrigin, said: Reply) {
        let said = match self.plan.planted {
            Some(bug) => bug.spoil_answer(said),
            None => said,
        };
        let calm = self.is_calm();
        if self.network.loses_answer(&mut self.chance, calm) {
            self.coverage.count("answers lost");
            return;
        }
        let Some(view) = self.nodes[node].view() else {
            return;
        };
        let mut context = ReplyContext {
            client: asker.client,
            phase: self.phase,
            view,
            history: &mut self.history,
            coverage: &mut self.coverage,
            damage: None,
        };
        let client = &mut self.clients[asker.client];
        if !client.hear(asker.attempt, said, &mut context) {
            return;
        }
        let damage = context.damage.take();
        drop(context);
        if let Some(failure) = damage {
            self.found_damage(node, failure);
        }
        self.act_again(asker.client);
    }

    /// A node that cannot read its own files is taken out by its operator.
    fn found_damage(&mut self, node: usize, failure: Failure) {
        let ended = self.nodes[node].why(failure);
        self.ended(node, ended);
    }

    fn give_up(&mut self, asker: RequestOrigin) {
        if self.clients[asker.client].gives_up(asker.attempt) {
            self.coverage.count("requests given up");
            self.within(
                ms(200),
                Event::Act {
                    client: asker.client,
                },
            );
        }
    }

    fn act_again(&mut self, client: usize) {
        let rest = self.clients[client].rest(self.phase, &mut self.chance);
        self.at(rest, Event::Act { client });
        let writes = |client: &Client| client.is_writer() && !client.is_done();
        if self.phase == FaultPhase::Calm && !self.clients.iter().any(writes) {
            self.phase = FaultPhase::Quiet;
        }
    }
}

/// The end.
impl Cluster {
    /// Every client has its last answer, and all nodes have applied the same.
    fn is_settled(&self) -> bool {
        let first = self.nodes[0].applied();
        let same = |node: &SimNode| node.applied() == first && node.operator_task().is_none();
        first.is_some() && self.nodes.iter().all(same) && self.clients.iter().all(Client::is_done)
    }

    fn no_recovery(&self) -> Violation {
        let waiting: Vec<usize> = (0..self.clients.len())
            .filter(|client| !self.clients[*client].is_done())
            .collect();
        let applied: Vec<_> = self.nodes.iter().map(SimNode::applied).collect();
        Violation::NoRecovery {
            what: format!("clients {waiting:?} still wait, nodes have applied {applied:?}"),
            within: self.plan.recovery,
        }
    }
}

fn clients(plan: Plan) -> Vec<Client> {
    let counts = plan.clients;
    let (transactors, readers) = (counts.producers, counts.producers + counts.transactors);
    let members = readers + counts.readers;
    let sensors = members + counts.members;
    let role = |client: usize| match client {
        _ if client < transactors => Role::Producer(Producer::new(client)),
        _ if client < readers => Role::Transactor(Transactor::new(client - transactors)),
        _ if client < members => Role::Reader(Reader::new(client - readers)),
        _ if client < sensors => Role::Member(Member::new(client, client - members)),
        _ => Role::Sensor(Sensor::default()),
    };
    (0..sensors + counts.sensors)
        .map(|client| Client::new(client, plan.nodes, role(client)))
        .collect()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
