//! One simulated node: the real replica, journal and partitions on a simulated disk. What its threads would do waits
//! here until the seed says that it happens.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Plan, Planted};
use crate::broker::Leadership;
use crate::broker::simulated::{
    Answer, Effect, Input, Job, JournalGroup, Limits, Outbound, Replica, Shared, Ticket, Written,
    assemble,
};
use crate::clock::Clock;
use crate::consensus::{Message, Persist};
use crate::disk::Disk;
use crate::ids::{EntryIndex, LeaderEpoch, NodeId, Offset, ReplicaId, TopicPartition};
use crate::record::{BatchHeader, Records};
use crate::state::Command;
use crate::storage::{
    Captured, EntryLog, Formed, Founder, Identity, JournalConfig, StorageConfig, Synced, recover,
};
use crate::testing::{SimClock, SimDisk};

/// Why a node is no longer up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its disk lost power, perhaps in the middle of an operation.
    PowerCut,
    /// Its process was killed; what it wrote stays.
    Killed,
}

pub(super) struct SimNode {
    disk: SimDisk,
    identity: Identity,
    clock: Arc<SimClock>,
    checkpoint_bytes: u64,
    alone: bool,
    life: u64,
    slow: bool,
    planted: Option<Planted>,
    up: Option<Up>,
}

/// What is in memory.
struct Up {
    replica: Replica,
    shared: Arc<Shared>,
    log: EntryLog,
    jobs: VecDeque<Job>,
    journal_is_due: bool,
    sealed: VecDeque<(Captured, Synced)>,
    tickets: BTreeMap<Ticket, (usize, u64)>,
    issued: u64,
    outbound: Outbound,
    shown: Option<EntryIndex>,
    led: Option<LeaderEpoch>,
    planted: Option<Planted>,
    /// The step that a planted bug confirms before its time.
    told_early: Option<u64>,
}

const FOLDER: &str = "/data";

/// Small, so that segments of the journal roll and are trimmed in a short life.
const STORAGE: StorageConfig = StorageConfig {
    journal: JournalConfig {
        segment_bytes: 16 << 10,
        record_bytes_max: 4 << 10,
    },
};

/// The nodes of a cluster that was just formed: each disk holds an identity and nothing else.
pub(super) fn form(plan: Plan, chance: &mut ChaCha8Rng, clock: &Arc<SimClock>) -> Vec<SimNode> {
    let founders: Vec<ReplicaId> = (0..plan.nodes)
        .map(|_| ReplicaId(chance.random_range(1..=u64::MAX)))
        .collect();
    let founder = |(id, replica): (usize, &ReplicaId)| Founder {
        replica: *replica,
        node: NodeId(u32::try_from(id).expect("few nodes")),
        address: None,
    };
    let founders: Vec<Founder> = founders.iter().enumerate().map(founder).collect();
    let node = |founder: &Founder| {
        let disk = SimDisk::with_seed(chance.random());
        let identity = Identity {
            replica: founder.replica,
            node: founder.node,
            formed: Some(Formed {
                cluster_id: "simulated".to_owned(),
                founders: founders.clone(),
            }),
        };
        prepare(&disk, &identity, plan.planted);
        SimNode {
            disk,
            identity,
            clock: Arc::clone(clock),
            checkpoint_bytes: plan.checkpoint_bytes,
            alone: plan.nodes == 1,
            life: 0,
            slow: false,
            planted: plan.planted,
            up: None,
        }
    };
    founders.iter().map(node).collect()
}

fn prepare(disk: &SimDisk, identity: &Identity, planted: Option<Planted>) {
    disk.create_folder(Path::new(FOLDER))
        .expect("a new disk works");
    identity
        .keep(disk, Path::new(FOLDER))
        .expect("a new disk works");
    disk.sync_folder(Path::new("/")).expect("a new disk works");
    if let Some(bug) = planted {
        bug.spoil_disk(disk);
    }
}

impl SimNode {
    /// The disk is gone; another one takes its place under the same name.
    pub(super) fn lose_disk(&mut self, seed: u64) {
        self.disk = SimDisk::with_seed(seed);
        prepare(&self.disk, &self.identity, self.planted);
    }

    pub(super) fn replica(&self) -> ReplicaId {
        self.identity.replica
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.is_some()
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn lives(&self, life: u64) -> bool {
        self.is_up() && self.life == life
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow
    }

    pub(super) fn slow_down(&mut self) {
        self.slow = true;
    }

    pub(super) fn speed_up(&mut self) {
        self.slow = false;
    }

    pub(super) fn end(&mut self) {
        self.up = None;
        self.slow = false;
    }

    /// Starts the process on whatever the disk holds.
    pub(super) fn start(&mut self) -> Result<u64, Ended> {
        if self.disk.is_down() {
            self.disk.reboot();
        }
        self.life += 1;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let recovered = match recover(&disk, Path::new(FOLDER), &STORAGE) {
            Ok(recovered) => recovered,
            Err(_) if self.disk.is_down() => return Err(Ended::PowerCut),
            Err(error) => panic!(
                "node {} does not recover: {}",
                self.identity.node,
                chain(&error)
            ),
        };
        let limits = Limits {
            checkpoint_bytes: self.checkpoint_bytes,
            disk_reserve_bytes: 0,
        };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let assembled = assemble(Path::new(FOLDER), limits, &self.identity, recovered, clock);
        let (replica, shared, log) = assembled.expect("what recovery accepted can be read");
        self.up = Some(Up {
            replica,
            shared,
            log,
            jobs: VecDeque::new(),
            journal_is_due: false,
            sealed: VecDeque::new(),
            tickets: BTreeMap::new(),
            issued: 0,
            outbound: Outbound::default(),
            shown: None,
            led: None,
            planted: self.planted,
            told_early: None,
        });
        if self.alone {
            self.running().replica.campaign();
        }
        self.work().map(|()| self.life)
    }

    pub(super) fn tick(&mut self) -> Result<(), Ended> {
        self.take(Input::Tick)
    }

    pub(super) fn hear(&mut self, message: Message) -> Result<(), Ended> {
        self.take(Input::Message(message))
    }

    pub(super) fn propose(&mut self, asker: (usize, u64), command: Command) -> Result<(), Ended> {
        let up = self.running();
        up.issued += 1;
        let ticket = Ticket(up.issued);
        up.tickets.insert(ticket, asker);
        let only_in = None;
        self.take(Input::Propose {
            ticket,
            command,
            only_in,
        })
    }

    /// What the journal's thread does in one round.
    pub(super) fn write_journal(&mut self) -> Result<(), Ended> {
        let up = self.running();
        up.journal_is_due = false;
        let Some(first) = up.jobs.pop_front() else {
            return Ok(());
        };
        let group = JournalGroup::gather(first, || up.jobs.pop_front());
        let mut said = Vec::new();
        let written = group.write(&mut up.log, &mut |word| said.push(word));
        if let Err(error) = written {
            return Err(self.failed(&error));
        }
        for word in said {
            match word {
                Written::Persisted { .. } if self.planted == Some(Planted::ToldBeforeSynced) => {}
                Written::Persisted { number, then_send } => {
                    self.running().outbound.messages.extend(then_send);
                    self.take(Input::Persisted { number })?;
                }
                Written::Sealed(captured, synced) => {
                    self.running().sealed.push_back((captured, synced));
                    self.running().outbound.checkpoint_waits = true;
                }
                Written::Broken(_) | Written::Ended => {
                    unreachable!("the thread says so, not the group")
                }
            }
        }
        Ok(())
    }

    /// What the checkpoint's thread does.
    pub(super) fn complete_checkpoint(&mut self) -> Result<(), Ended> {
        let Some((captured, synced)) = self.running().sealed.pop_front() else {
            return Ok(());
        };
        match captured.complete(synced) {
            Ok(index) => self.take(Input::CheckpointDurable { index }),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Ended> {
        let wall = self.clock.wall();
        let up = self.running();
        let mut effects = Vec::new();
        up.replica.take(wall, input, &mut effects);
        effects.into_iter().for_each(|effect| up.perform(effect));
        self.work()
    }

    fn work(&mut self) -> Result<(), Ended> {
        let up = self.running();
        let mut effects = Vec::new();
        let worked = up.replica.work(&mut effects);
        effects.into_iter().for_each(|effect| up.perform(effect));
        if let Err(error) = worked {
            return Err(self.failed(&error));
        }
        match self.running().told_early.take() {
            Some(number) => self.take(Input::Persisted { number }),
            None => Ok(()),
        }
    }

    /// A disk may fail only because its power was cut: everything else is a bug of ours.
    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Ended {
        assert!(
            self.disk.is_down(),
            "node {}: {}",
            self.identity.node,
            chain(error)
        );
        Ended::PowerCut
    }

    fn running(&mut self) -> &mut Up {
        self.up.as_mut().expect("asked only of a node that is up")
    }

    pub(super) fn outbound(&mut self) -> Outbound {
        self.up
            .as_mut()
            .map(|up| std::mem::take(&mut up.outbound))
            .unwrap_or_default()
    }

    pub(super) fn applied(&self) -> Option<EntryIndex> {
        self.up.as_ref().map(|up| *up.shared.applied.borrow())
    }

    /// How far the node has applied, and a fingerprint of its state there, once per change.
    pub(super) fn newly_applied(&mut self) -> Option<(EntryIndex, u64)> {
        let up = self.up.as_mut()?;
        let applied = *up.shared.applied.borrow();
        if up.shown.replace(applied) == Some(applied) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        up.shared
            .state
            .read()
            .expect("nobody panicked")
            .encode()
            .hash(&mut hasher);
        Some((applied, hasher.finish()))
    }

    /// The epoch that this node leads, once per epoch.
    pub(super) fn newly_leading(&mut self) -> Option<LeaderEpoch> {
        let up = self.up.as_mut()?;
        let Leadership::Leader { epoch } = *up.shared.leadership.borrow() else {
            return None;
        };
        (up.led.replace(epoch) != Some(epoch)).then_some(epoch)
    }

    /// Every value in a partition, by its offset.
    pub(super) fn values(&self, partition: &TopicPartition) -> BTreeMap<Offset, u64> {
        let up = self.up.as_ref().expect("the calm has come");
        let end = up
            .shared
            .state
            .read()
            .expect("nobody panicked")
            .partition(partition)
            .map(|p| p.high_watermark());
        let (Some(end), Some(reader)) = (end, up.shared.partitions().reader(partition)) else {
            return BTreeMap::new();
        };
        let mut values = BTreeMap::new();
        let mut next = Offset(0);
        while next < end {
            let batches = reader.read(next, end, 1 << 20).expect("a sound disk reads");
            let (header, batch, _) = BatchHeader::split_first(&batches).expect("whole batches");
            for record in Records::new(header, &batch) {
                let record = record.expect("records of ours");
                let value = record
                    .value
                    .as_deref()
                    .expect("a value")
                    .try_into()
                    .expect("eight bytes");
                values.insert(record.offset, u64::from_be_bytes(value));
            }
            next = header.last_offset().plus(1);
        }
        values
    }
}

impl Up {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(step) => self.persist(step),
            Effect::CompleteCheckpoint {
                hard_state,
                captured,
            } => self.journal(Job::Seal(hard_state, captured)),
            Effect::TrimJournal { before } => self.journal(Job::TrimBefore(before)),
            Effect::Send(message) => self.outbound.messages.push(message),
            Effect::Answer { ticket, outcome } => {
                let asker = self
                    .tickets
                    .remove(&ticket)
                    .expect("each ticket is answered once");
                let outcome = outcome.map(|(_, outcome)| outcome);
                self.outbound.answers.push(Answer { asker, outcome });
            }
            Effect::Readable { .. }
            | Effect::HoldSnapshot
            | Effect::ReleaseSnapshot
            | Effect::FetchSnapshot { .. }
            | Effect::InstallSnapshot { .. }
            | Effect::DropFetched => {}
        }
    }

    fn persist(&mut self, mut step: Persist) {
        if let Some(bug) = self.planted {
            bug.spoil_step(&mut step);
        }
        if self.planted == Some(Planted::ToldBeforeSynced) {
            self.told_early = Some(step.number);
            self.outbound.messages.append(&mut step.then_send);
        }
        self.journal(Job::Persist(step));
    }

    fn journal(&mut self, job: Job) {
        self.jobs.push_back(job);
        if !std::mem::replace(&mut self.journal_is_due, true) {
            self.outbound.journal_waits = true;
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
