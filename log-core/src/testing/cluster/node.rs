//! One simulated machine: a disk, a clock, an identity, and the process that runs there while it is up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use journal::JournalConfig;
use journal::disk::Disk;
use journal::sim_disk::{Fault, Operation, SimDisk};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::disks::{RESERVE_BYTES, Status};
use super::failure::Failure;
use super::operator_task::OperatorTask;
use super::planted::LeftOut;
use super::process::{DataFolder, GROUPS, Outbound, Process};
use super::request::{Request, RequestOrigin};
use super::snapshots::ChunkRequest;
use super::view::View;
use super::voters::NewVoters;
use super::{Plan, Planted};
use crate::consensus::Message;
use crate::ids::{EntryIndex, LeaderEpoch, NodeId, ReplicaId, TimestampMs};
use crate::node::{HousekeepingConfig, Limits};
use crate::storage::{ClusterIdentity, Identity, InitialVoter, StorageConfig};
use crate::testing::SimClock;

/// Why a node is no longer up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its disk lost power, perhaps in the middle of an operation.
    PowerCut,
    /// Its process was killed; what it wrote stays.
    Killed,
    /// It was asked to, and ended cleanly.
    Stopped,
    /// Its disk was full, or a sync failed: it stopped, and may be started again.
    DiskFailed,
    /// It found damage in its files, and will not go on with them.
    Damaged,
    /// It failed on a sound disk.
    Broke(String),
}

pub(super) struct SimNode {
    number: usize,
    disk: SimDisk,
    identity: Identity,
    clock: Arc<SimClock>,
    tick: Duration,
    checkpoint_bytes: u64,
    on_disks: usize,
    life: u64,
    /// How long a sync takes at most, where the disk is slow: at least half of it.
    slow: Option<Duration>,
    paused: bool,
    /// Which byte of which file has a flipped bit.
    flipped: Option<(PathBuf, usize)>,
    /// Whether it found damage: it does not start again.
    out: bool,
    seat: NodeRole,
    /// Whether the operator looks after it.
    pub(super) is_looked_after: bool,
    /// Which node the operator has asked about it, in which of its lives.
    pub(super) asked_of: Option<(usize, u64)>,
    /// The latest epoch in which it has voted or taken entries: others count on it.
    promised: LeaderEpoch,
    full: bool,
    failing_sync: Arc<FailingSync>,
    planted: Option<Planted>,
    up: Option<Process>,
}

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeRole {
    /// It votes.
    Votes,
    /// It is to vote, perhaps in the place of another. It starts once it is among the members.
    Joins {
        instead_of: Option<ReplicaId>,
        admitted: bool,
    },
    /// It is to leave, and another machine to come in its place.
    Leaves,
}

impl NodeRole {
    fn joins(instead_of: Option<ReplicaId>) -> Self {
        Self::Joins {
            instead_of,
            admitted: false,
        }
    }
}

/// Counts the syncs down to the one that fails.
#[derive(Default)]
struct FailingSync(AtomicU64);

impl FailingSync {
    const NONE: u64 = 0;
    const COME: u64 = u64::MAX;

    /// Whether the sync that is now asked for is the one.
    fn comes(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            Self::NONE | Self::COME => false,
            left => {
                let left = if left == 1 { Self::COME } else { left - 1 };
                self.0.store(left, Ordering::Relaxed);
                left == Self::COME
            }
        }
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::COME
    }
}

pub(super) const FOLDER: &str = "/data";

/// Small, so that segments of the journal roll and are trimmed in a short life.
const STORAGE: StorageConfig = StorageConfig {
    journal: JournalConfig {
        segment_bytes: 16 << 10,
        record_bytes_max: 4 << 10,
    },
    // Fewer than there are, so that files are closed and opened again.
    open_partition_files_max: 8,
};

/// More than any simulated disk holds.
const PLENTY: u64 = 1 << 40;

/// The nodes of a cluster that was just formed: each disk holds an identity and nothing else.
pub(super) fn form(plan: Plan, chance: &mut ChaCha8Rng) -> Vec<SimNode> {
    let founder = |number: usize| InitialVoter {
        replica: ReplicaId(chance.random_range(1..=u64::MAX)),
        node: NodeId(u32::try_from(number).expect("few nodes")),
        address: None,
    };
    let all: Vec<InitialVoter> = (0..plan.nodes).map(founder).collect();
    let formed = ClusterIdentity {
        cluster_id: "simulated".to_owned(),
        founders: all[..plan.founders].to_vec(),
    };
    let node = |(number, founder): (usize, &InitialVoter)| {
        let identity = Identity {
            replica: founder.replica,
            node: founder.node,
            formed: Some(formed.clone()),
        };
        let mut node = SimNode::new(number, identity, plan, chance);
        if plan.founders <= number {
            node.seat = NodeRole::joins(None);
        }
        node
    };
    all.iter().enumerate().map(node).collect()
}

impl SimNode {
    fn new(number: usize, identity: Identity, plan: Plan, chance: &mut ChaCha8Rng) -> Self {
        let wall = TimestampMs(1_790_000_000_000 + chance.random_range(-5_000..5_000));
        let node = Self {
            number,
            disk: SimDisk::with_seed(chance.random()),
            identity,
            clock: Arc::new(SimClock::at(wall)),
            // No two crystals swing alike.
            tick: Duration::from_micros(chance.random_range(23_000..27_000)),
            checkpoint_bytes: plan.checkpoint_bytes,
            on_disks: plan.on_disks,
            life: 0,
            slow: None,
            paused: false,
            flipped: None,
            out: false,
            seat: NodeRole::Votes,
            is_looked_after: false,
            asked_of: None,
            promised: LeaderEpoch(0),
            full: false,
            failing_sync: Arc::default(),
            planted: plan.planted,
            up: None,
        };
        node.prepare_disk();
        node
    }

    fn prepare_disk(&self) {
        let (disk, folder) = (&self.disk, Path::new(FOLDER));
        disk.create_folder(folder).expect("a new disk works");
        self.identity.keep(disk, folder).expect("a new disk works");
        disk.sync_folder(Path::new("/")).expect("a new disk works");
        let (planted, failing) = (self.planted, Arc::clone(&self.failing_sync));
        let mut left_out = LeftOut::default();
        disk.inject(move |call| {
            let syncs = matches!(call.operation, Operation::SyncFile | Operation::SyncFolder);
            if syncs && failing.comes() {
                return Some(Fault::Fails(std::io::ErrorKind::Other));
            }
            planted.and_then(|bug| left_out.fate(bug, call))
        });
    }

    /// The disk is gone; another one takes its place under the same name.
    pub(super) fn lose_disk(&mut self, seed: u64) {
        self.disk = SimDisk::with_seed(seed);
        self.prepare_disk();
    }

    /// The machine is gone. Another one takes its place: with an empty disk, and so under another replica id.
    pub(super) fn replace(&mut self, chance: &mut ChaCha8Rng) {
        let voted = (self.seat != NodeRole::Leaves).then_some(self.identity.replica);
        self.seat = NodeRole::joins(voted);
        self.identity.replica = ReplicaId(chance.random_range(1..=u64::MAX));
        self.promised = LeaderEpoch(0);
        self.asked_of = None;
        self.lose_disk(chance.random());
        self.full = false;
        self.flipped = None;
        self.out = false;
    }

    /// What the operator has to do about it.
    pub(super) fn operator_task(&self) -> Option<OperatorTask> {
        let replica = self.identity.replica;
        match self.seat {
            NodeRole::Votes => None,
            NodeRole::Joins { instead_of, .. } => Some(OperatorTask::Join {
                node: self.identity.node,
                replica,
                instead_of,
            }),
            NodeRole::Leaves => Some(OperatorTask::Leave { replica }),
        }
    }

    /// It is to leave the cluster.
    pub(super) fn leaves(&mut self) {
        self.seat = NodeRole::Leaves;
    }

    /// The cluster has it among its members: it may start.
    pub(super) fn admit(&mut self) {
        if let NodeRole::Joins { admitted, .. } = &mut self.seat {
            *admitted = true;
        }
    }

    /// It votes.
    pub(super) fn votes(&mut self) {
        self.seat = NodeRole::Votes;
    }

    pub(super) fn may_start(&self) -> bool {
        let admitted = !matches!(
            self.seat,
            NodeRole::Joins {
                admitted: false,
                ..
            }
        );
        !self.out && admitted
    }

    /// Whether the cluster must do without it, or must fear to.
    pub(super) fn is_unfit(&self) -> bool {
        self.out || self.flipped.is_some() || self.seat != NodeRole::Votes
    }

    /// How many snapshots it has installed since it was last asked.
    pub(super) fn newly_installed(&mut self) -> u64 {
        let process = self.up.as_mut();
        process.map_or(0, |process| std::mem::take(&mut process.installed))
    }

    pub(super) fn replica(&self) -> ReplicaId {
        self.identity.replica
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(super) fn clock(&self) -> &SimClock {
        &self.clock
    }

    pub(super) fn tick_length(&self) -> Duration {
        self.tick
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.is_some()
    }

    pub(super) fn is_out(&self) -> bool {
        self.out
    }

    pub(super) fn is_flipped(&self) -> bool {
        self.flipped.is_some()
    }

    /// A bit was flipped, and it has not started since.
    pub(super) fn is_rotten(&self) -> bool {
        self.is_flipped() && !self.is_up()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn lives(&self, life: u64) -> bool {
        self.is_up() && self.life == life
    }

    /// The shortest and the longest that a sync takes.
    pub(super) fn sync_takes(&self) -> (Duration, Duration) {
        match self.slow {
            Some(longest) => (longest / 2, longest),
            None => (Duration::ZERO, Duration::from_millis(4)),
        }
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow.is_some()
    }

    pub(super) fn slow_down(&mut self, longest: Duration) {
        self.slow = Some(longest);
    }

    /// Its disk is as quick as ever.
    pub(super) fn speed_up(&mut self) {
        self.slow = None;
    }

    pub(super) fn leads(&self) -> Option<LeaderEpoch> {
        self.up.as_ref().and_then(Process::leading)
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn fill_disk(&mut self, spare_bytes: u64) {
        self.disk.set_capacity(Some(PLENTY));
        let Ok(free) = self.disk.free_bytes(Path::new(FOLDER)) else {
            return self.disk.set_capacity(None);
        };
        self.full = true;
        self.disk.set_capacity(Some(PLENTY - free + spare_bytes));
    }

    pub(super) fn give_room(&mut self) {
        self.full = false;
        self.disk.set_capacity(None);
    }

    /// Lets one of the next syncs fail.
    pub(super) fn fail_sync(&mut self, which: u64) {
        // One that has failed may be told of later, when a checkpoint relies on it: it is not forgotten before the next start.
        if !self.failing_sync.has_come() {
            self.failing_sync.0.store(which, Ordering::Relaxed);
        }
    }

    /// Turns one bit of one of its files round; which one. It must be down.
    pub(super) fn flip_bit(&mut self, chance: &mut ChaCha8Rng) -> Option<&Path> {
        assert!(!self.is_up());
        let journal_only = self.planted.is_some_and(Planted::is_about_the_journal);
        let files = self.disk.files();
        let fits = |(path, content): &(&PathBuf, &Vec<u8>)| {
            let in_journal = path.extension().is_some_and(|end| end == "journal");
            !content.is_empty() && (in_journal || !journal_only)
        };
        let files: Vec<_> = files.iter().filter(fits).collect();
        if files.is_empty() {
            return None;
        }
        let (path, content) = files[chance.random_range(0..files.len())];
        let byte = chance.random_range(0..content.len());
        self.disk.flip_bit(path, byte, chance.random_range(0..8));
        self.flipped = Some((path.clone(), byte));
        self.flipped.as_ref().map(|(path, _)| path.as_path())
    }

    /// The faults are over; what they have done to its files is not.
    pub(super) fn heal(&mut self) {
        self.paused = false;
        self.give_room();
        self.fail_sync(FailingSync::NONE);
        self.disk.crash_at(u64::MAX);
    }

    /// Its process is gone; who had asked it something.
    pub(super) fn end(&mut self, ended: &Ended) -> Vec<RequestOrigin> {
        if *ended != Ended::PowerCut {
            self.disk.kill();
        }
        self.out |= *ended == Ended::Damaged;
        if self.failing_sync.has_come() {
            self.failing_sync
                .0
                .store(FailingSync::NONE, Ordering::Relaxed);
        }
        self.paused = false;
        self.up.take().map(Process::waiting).unwrap_or_default()
    }

    /// Starts the process on whatever the disk holds.
    pub(super) fn start(&mut self) -> Result<(), Ended> {
        if self.disk.is_down() {
            self.disk.reboot();
        }
        self.life += 1;
        let mut process = self.load();
        if let (Err(_), Some(bug), Some(flipped)) = (&process, self.planted, &self.flipped) {
            bug.mend(&self.disk, flipped);
            process = self.load();
        }
        self.up = Some(process.map_err(|failure| self.why(failure))?);
        self.with(Process::begin)
    }

    fn load(&self) -> Result<Process, Failure> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let folder = Path::new(FOLDER);
        let identity = Identity::read(&*disk, folder).map_err(|error| Failure::of(&error))?;
        let home = DataFolder {
            disk,
            folder: folder.to_owned(),
            storage: STORAGE,
            limits: Limits {
                checkpoint_bytes: self.checkpoint_bytes,
                disk_reserve_bytes: RESERVE_BYTES,
                partition_files_max: usize::MAX,
                groups: GROUPS,
                housekeeping: HousekeepingConfig {
                    retention_every: Duration::from_millis(500),
                    unused_every: Duration::from_secs(2),
                    ..HousekeepingConfig::default()
                },
            },
            identity: identity.ok_or_else(|| Failure("no identity".to_owned()))?,
            on_disks: self.on_disks,
        };
        Process::start(self.number, home, Arc::clone(&self.clock), self.planted)
    }

    pub(super) fn tick(&mut self) -> Result<(), Ended> {
        self.with(Process::tick)
    }

    /// What was on its way to the replica that was here before is refused at the door, as `peers` does.
    pub(super) fn hear(&mut self, message: Message) -> Result<(), Ended> {
        if message.to != self.replica().0 {
            return Ok(());
        }
        self.with(|process| {
            process.hear(message);
            Ok(())
        })
    }

    pub(super) fn hear_status(&mut self, status: Status) -> Result<(), Ended> {
        self.with(|process| process.hear_status(status))
    }

    pub(super) fn asked(&mut self, asker: RequestOrigin, request: Request) -> Result<(), Ended> {
        self.with(|process| {
            process.asked(asker, request);
            Ok(())
        })
    }

    pub(super) fn take_several(&mut self, most: usize) -> Result<(), Ended> {
        self.with(|process| process.take_several(most))
    }

    pub(super) fn write_journal(&mut self) -> Result<(), Ended> {
        self.with(Process::write_journal)
    }

    pub(super) fn complete_checkpoint(&mut self) -> Result<(), Ended> {
        self.with(Process::complete_checkpoint)
    }

    pub(super) fn hold_snapshot(&mut self) -> Result<(), Ended> {
        self.with(Process::hold_snapshot)
    }

    /// The part of a snapshot that it wants next.
    pub(super) fn part(&self) -> Option<ChunkRequest> {
        self.up.as_ref()?.part()
    }

    pub(super) fn fetched(&mut self, part: Option<(ChunkRequest, Bytes)>) -> Result<(), Ended> {
        self.with(|process| process.fetched(part))
    }

    /// A part of the snapshot that it holds for another node.
    pub(super) fn serve(
        &mut self,
        to: ReplicaId,
        part: ChunkRequest,
    ) -> Result<Option<Bytes>, Ended> {
        self.with(|process| Ok(process.serve(to, part)))
    }

    /// Whether it knows the replica as a member.
    pub(super) fn knows(&self, replica: ReplicaId) -> bool {
        self.up
            .as_ref()
            .is_some_and(|process| process.knows(replica))
    }

    pub(super) fn run_task(&mut self, operator_task: OperatorTask) -> Result<(), Ended> {
        self.with(|process| {
            process.run_task(operator_task);
            Ok(())
        })
    }

    pub(super) fn stop(&mut self) -> Result<(), Ended> {
        self.with(Process::stop)
    }

    pub(super) fn hand_over(&mut self) -> Result<(), Ended> {
        self.with(Process::hand_over)
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Process) -> Result<T, Failure>,
    ) -> Result<T, Ended> {
        let process = self.up.as_mut().expect("asked only of a node that is up");
        let done = act(process).map_err(|failure| self.why(failure))?;
        // Its process may not need the disk again for long; the machine is down all the same.
        if self.disk.is_down() {
            return Err(Ended::PowerCut);
        }
        Ok(done)
    }

    /// What a failure means, by what was done to the disk.
    pub(super) fn why(&self, failure: Failure) -> Ended {
        if self.disk.is_down() {
            Ended::PowerCut
        } else if self.full || self.failing_sync.has_come() {
            Ended::DiskFailed
        } else if self.flipped.is_some() {
            Ended::Damaged
        } else {
            Ended::Broke(failure.0)
        }
    }

    pub(super) fn outbound(&mut self) -> Outbound {
        let outbound = self.up.as_mut().map(Process::outbound).unwrap_or_default();
        let promised = outbound.messages.iter().filter_map(promised);
        self.promised = promised.fold(self.promised, LeaderEpoch::max);
        outbound
    }

    /// The epoch that it has gone back to from one in which others count on it, looked at once after its folder was read.
    pub(super) fn newly_forgotten(&mut self) -> Option<(LeaderEpoch, LeaderEpoch)> {
        let promises = self.up.as_mut()?.promises.take()?;
        (promises < self.promised).then_some((self.promised, promises))
    }

    pub(super) fn applied(&self) -> Option<EntryIndex> {
        self.up.as_ref().map(Process::applied)
    }

    pub(super) fn view(&self) -> Option<View<'_>> {
        self.up.as_ref().map(Process::view)
    }

    pub(super) fn newly_applied(&mut self) -> Option<u64> {
        self.up.as_mut()?.newly_applied()
    }

    pub(super) fn newly_voting(&mut self) -> Option<NewVoters> {
        self.up.as_mut()?.newly_voting()
    }

    pub(super) fn newly_leading(&mut self) -> Option<LeaderEpoch> {
        self.up.as_mut()?.newly_leading()
    }
}

/// The epoch in which the sender of a message has voted, or has taken entries: both are on its disk.
fn promised(message: &Message) -> Option<LeaderEpoch> {
    use raft::eraftpb::MessageType::{MsgAppendResponse, MsgRequestVoteResponse};
    let promises = matches!(
        message.get_msg_type(),
        MsgAppendResponse | MsgRequestVoteResponse
    );
    let epoch = u32::try_from(message.term).ok()?;
    (promises && !message.reject).then_some(LeaderEpoch(epoch))
}
