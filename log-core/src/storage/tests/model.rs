//! Journal, checkpoints and partitions together, living through crashes at any operation, against plain lists.
//!
//! One life: start, check what is there, then write, apply, checkpoint and trim at random until the power goes. Beside
//! it run the oracle (what was acknowledged, in vectors) and a twin that never crashes: whatever was committed must be
//! there after every start, nothing else may be, and the partitions' files must equal the twin's byte for byte. In some
//! lives a call goes wrong besides: a full disk, a failed sync, a read that ends early.
//!
//! `STORAGE_SEEDS=100000` runs more seeds, `STORAGE_SEED=0x2a` a single one.

use std::collections::BTreeMap;
use std::env;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use journal::sim_disk::{DiskCall, Fault, Operation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::*;
use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::ReplicaId;
use crate::storage::layout::{partition_folder, segment_paths};

/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
/// Within so many seeds an omitted sync must be noticed.
const SEEDS_TO_NOTICE: u64 = 300;

/// What an entry says, for a state machine of a few lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Command {
    Create { topic: u8, id: u128 },
    Delete { topic: u8 },
    Append { topic: u8, timestamps: Vec<i64> },
    MoveLogStart { topic: u8, by: u64 },
    Configure { topic: u8, segment_bytes: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Topic {
    id: u128,
    start: u64,
    end: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    topics: BTreeMap<u8, Topic>,
}

impl State {
    /// Applies an entry, to the files as well. What makes no sense when its turn comes changes nothing.
    fn apply(&mut self, entry: &Entry, partitions: &Partitions) -> Result<(), PartitionsError> {
        match postcard::from_bytes(&entry.payload).unwrap() {
            Command::Create { topic, id } if !self.topics.contains_key(&topic) => {
                self.topics.insert(
                    topic,
                    Topic {
                        id,
                        start: 0,
                        end: 0,
                    },
                );
                partitions.create(&name_of(topic), topic_id(id), SMALL_SEGMENTS)
            }
            Command::Delete { topic } if self.topics.remove(&topic).is_some() => {
                partitions.delete(&name_of(topic))
            }
            Command::Append { topic, timestamps } => {
                self.append(topic, entry.epoch, &timestamps, partitions)
            }
            Command::MoveLogStart { topic, by } => self.move_log_start(topic, by, partitions),
            Command::Configure {
                topic,
                segment_bytes,
            } if self.topics.contains_key(&topic) => partitions.configure(
                &name_of(topic),
                SegmentSettings {
                    segment_bytes,
                    ..SMALL_SEGMENTS
                },
            ),
            Command::Create { .. } | Command::Delete { .. } | Command::Configure { .. } => Ok(()),
        }
    }

    fn append(
        &mut self,
        topic: u8,
        epoch: LeaderEpoch,
        timestamps: &[i64],
        partitions: &Partitions,
    ) -> Result<(), PartitionsError> {
        let Some(found) = self.topics.get_mut(&topic) else {
            return Ok(());
        };
        let base_offset = found.end;
        found.end += timestamps.len() as u64;
        partitions.append(
            &name_of(topic),
            Offset(base_offset),
            &batch_of(epoch, base_offset, timestamps, Compression::None),
            None,
        )
    }

    fn move_log_start(
        &mut self,
        topic: u8,
        by: u64,
        partitions: &Partitions,
    ) -> Result<(), PartitionsError> {
        let Some(found) = self.topics.get_mut(&topic) else {
            return Ok(());
        };
        found.start = (found.start + by).min(found.end);
        partitions.move_log_start(&name_of(topic), Offset(found.start))
    }

    fn encode(&self) -> Bytes {
        postcard::to_allocvec(self).unwrap().into()
    }
}

fn name_of(topic: u8) -> TopicPartition {
    partition(&format!("topic-{topic}"))
}

/// A node that applies what it is told, on whatever disk.
struct Twin {
    disk: SimDisk,
    partitions: Partitions,
    state: State,
    applied: u64,
}

impl Twin {
    fn apply(&mut self, entry: &Entry) -> Result<(), PartitionsError> {
        assert_eq!(entry.index.0, self.applied + 1);
        self.state.apply(entry, &self.partitions)?;
        self.applied += 1;
        Ok(())
    }

    /// The files of a topic that readers see.
    fn files(&self, topic: u8) -> BTreeMap<PathBuf, Vec<u8>> {
        let name = name_of(topic);
        let folder = partition_folder(
            Path::new(DATA),
            topic_id(self.state.topics[&topic].id),
            &name,
        );
        let segments = self
            .partitions
            .reader(&name)
            .expect("it was created")
            .segments();
        let paths = segments
            .iter()
            .flat_map(|segment| segment_paths(&folder, segment.base_offset));
        paths
            .map(|path| (path.clone(), self.disk.file(&path).unwrap_or_default()))
            .collect()
    }

    fn assert_equals(&self, other: &Self) {
        assert_eq!(self.applied, other.applied);
        assert_eq!(self.state, other.state, "states at entry {}", self.applied);
        for &topic in self.state.topics.keys() {
            let (ours, theirs) = (self.files(topic), other.files(topic));
            assert_eq!(
                ours.keys().collect::<Vec<_>>(),
                theirs.keys().collect::<Vec<_>>(),
                "files at {}",
                self.applied
            );
            for (path, content) in &ours {
                assert!(
                    *content == theirs[path],
                    "{} at entry {}",
                    path.display(),
                    self.applied
                );
            }
        }
    }
}

/// What must be true, in plain lists.
#[derive(Default)]
struct Oracle {
    /// Every entry that was synced and not replaced since; the one of index 1 first.
    entries: Vec<Entry>,
    hard_state: HardState,
    /// What was being synced when the power went: any number of the entries, and the hard state only with all of them.
    in_doubt: Option<(Vec<Entry>, HardState)>,
    /// Entries up to here never change.
    committed: u64,
    checkpoint: u64,
    checkpoint_in_doubt: Option<u64>,
    /// The state after each committed entry; the one before the first first.
    states: Vec<Bytes>,
}

impl Oracle {
    /// The entries with the first `count` of those in doubt written over them.
    fn entries_with(&self, count: usize) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        let doubted = self
            .in_doubt
            .as_ref()
            .map_or(&[][..], |(doubted, _)| doubted);
        for entry in &doubted[..count] {
            entries.truncate(usize::try_from(entry.index.0 - 1).unwrap());
            entries.push(entry.clone());
        }
        entries
    }

    /// Compares what a start found, and believes it from then on.
    fn judge(&mut self, found: &Recovered) {
        self.judge_checkpoint(found.checkpoint.as_ref());
        let covered = usize::try_from(self.checkpoint).unwrap();
        let doubted = self
            .in_doubt
            .as_ref()
            .map_or(0, |(doubted, _)| doubted.len());
        let count = (0..=doubted)
            .rev()
            .find(|count| self.entries_with(*count)[covered..] == found.entries);
        let Some(count) = count else {
            panic!(
                "entries {:?} after the checkpoint of {covered}, acknowledged were {:?}",
                found.entries, self.entries
            );
        };
        self.judge_hard_state(found.hard_state, count == doubted);
        self.entries = self.entries_with(count);
        self.hard_state = found.hard_state;
        self.in_doubt = None;
        assert!(self.committed <= self.entries.len() as u64);
    }

    fn judge_checkpoint(&mut self, found: Option<&Checkpoint>) {
        let applied = found.map_or(0, |checkpoint| checkpoint.applied.0);
        let known = applied == self.checkpoint || Some(applied) == self.checkpoint_in_doubt;
        assert!(
            known,
            "checkpoint of {applied}, completed was that of {}",
            self.checkpoint
        );
        self.checkpoint = applied;
        self.checkpoint_in_doubt = None;
        if let Some(checkpoint) = found {
            assert_eq!(*checkpoint, self.checkpoint_at(applied));
        }
    }

    fn judge_hard_state(&self, found: HardState, all_entries: bool) {
        let doubted = self
            .in_doubt
            .as_ref()
            .filter(|_| all_entries)
            .map(|(_, hard_state)| *hard_state);
        // Its own, or the older one with the epoch that its entries are of.
        let raised = HardState {
            epoch: found.epoch,
            vote: None,
            ..self.hard_state
        };
        let known = found == self.hard_state || Some(found) == doubted || found == raised;
        assert!(
            known,
            "hard state {found:?}, acknowledged was {:?}",
            self.hard_state
        );
    }

    fn checkpoint_at(&self, applied: u64) -> Checkpoint {
        let at = usize::try_from(applied).unwrap();
        Checkpoint {
            applied: EntryIndex(applied),
            epoch: self.entries[at - 1].epoch,
            state: self.states[at].clone(),
            membership: format!("voters at {applied}").into(),
        }
    }
}

/// What the model is doing: which syncs are which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Start,
    Append,
    Apply,
    /// A checkpoint, until its rename.
    Checkpoint,
    /// And after it.
    CheckpointRenamed,
    Trim,
}

/// A mistake made on purpose.
#[derive(Clone, Copy)]
enum Slip {
    /// The disk leaves out the syncs that this names.
    LeavesOut(fn(Doing, &DiskCall<'_>) -> bool),
    /// The journal is trimmed before the checkpoint is durable.
    TrimsFirst,
}

struct Life {
    log: EntryLog,
    twin: Twin,
    /// Captured, and not completed yet.
    captured: Option<(PendingCheckpoint, Synced)>,
}

struct Model {
    chance: ChaCha8Rng,
    disk: SimDisk,
    doing: Arc<Mutex<Doing>>,
    slip: Option<Slip>,
    oracle: Oracle,
    steady: Twin,
    life: Option<Life>,
    topics_made: u128,
    faults: Faults,
    fault_came: Arc<AtomicBool>,
}

/// Whether calls may go wrong besides the power going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faults {
    MayCome,
    AreOver,
}

/// What may go wrong with one call.
const FAULTS: [(Operation, Fault); 7] = [
    (Operation::SyncFile, Fault::Fails(ErrorKind::Other)),
    (Operation::SyncFile, Fault::Fails(ErrorKind::Other)),
    (Operation::SyncFolder, Fault::Fails(ErrorKind::Other)),
    (Operation::Write, Fault::Fails(ErrorKind::StorageFull)),
    (Operation::Create, Fault::Fails(ErrorKind::StorageFull)),
    (Operation::Read, Fault::Fails(ErrorKind::Other)),
    (Operation::Read, Fault::Short),
];

impl Model {
    fn new(seed: u64, slip: Option<Slip>) -> Self {
        let disk = SimDisk::with_seed(seed);
        // Of no cluster: the journal's folder is still to be made, and its name could be lost.
        let folder = Path::new(DATA);
        disk.create_folder(folder).unwrap();
        disk.sync_folder(Path::new("/")).unwrap();
        let identity = Identity::unformed(NodeId(1), Uuid::from_u128(2));
        identity.keep(&disk, folder).unwrap();
        let doing = Arc::new(Mutex::new(Doing::Start));
        if let Some(Slip::LeavesOut(left_out)) = slip {
            leave_out(&disk, doing.clone(), left_out);
        }
        let quiet = SimDisk::with_seed(seed);
        let partitions = recover_from(&quiet).unwrap().partitions;
        let steady = Twin {
            disk: quiet,
            partitions,
            state: State::default(),
            applied: 0,
        };
        Self {
            chance: ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9),
            disk,
            doing,
            slip,
            oracle: Oracle {
                states: vec![State::default().encode()],
                ..Oracle::default()
            },
            steady,
            life: None,
            topics_made: 0,
            faults: Faults::MayCome,
            fault_came: Arc::default(),
        }
    }

    fn run(mut self) {
        for _ in 0..8 {
            if self.chance.random_bool(0.8) {
                let operations = self.chance.random_range(1..80);
                self.disk.crash_at(self.disk.operations() + operations);
            }
            self.start();
            for _ in 0..self.chance.random_range(1..30) {
                self.step();
            }
            self.end_the_life();
        }
        self.faults = Faults::AreOver;
        self.start();
        self.complete_a_checkpoint_on_a_quiet_disk();
    }

    fn start(&mut self) {
        self.doing(Doing::Start);
        self.end_the_fault();
        let report = verify(&self.disk, Path::new(DATA));
        assert!(report.is_sound(), "{:?}", report.findings);
        self.plan_a_fault();
        let found = match recover_from(&self.disk) {
            Ok(found) => found,
            Err(error) => {
                assert!(self.may_fail(), "{error}");
                return;
            }
        };
        assert!(
            found.mended.is_empty() || self.may_fail(),
            "{:?}: an index that was synced does not change in a crash",
            found.mended
        );
        self.oracle.judge(&found);
        let applied = self.oracle.checkpoint;
        let state =
            postcard::from_bytes(&self.oracle.states[usize::try_from(applied).unwrap()]).unwrap();
        let twin = Twin {
            disk: self.disk.clone(),
            partitions: found.partitions,
            state,
            applied,
        };
        assert_eq!(
            files_of_topics(&self.disk),
            live_files(&twin),
            "files that no checkpoint lists"
        );
        self.life = Some(Life {
            log: found.log,
            twin,
            captured: None,
        });
        self.apply_committed();
        if let Some(life) = &self.life {
            life.twin.assert_equals(&self.steady);
        }
    }

    fn step(&mut self) {
        match self.chance.random_range(0..10) {
            0..6 => self.append(),
            6..8 => self.capture(),
            _ => self.complete(),
        }
    }

    fn end_the_life(&mut self) {
        self.life = None;
        match self.chance.random_range(0..4) {
            0 if !self.disk.is_down() => self.disk.kill(),
            _ => self.disk.crash(),
        }
        self.disk.reboot();
    }

    /// Writes entries behind the others, or over some that are not committed; then some more become committed.
    fn append(&mut self) {
        let (entries, hard_state) = self.some_entries();
        self.doing(Doing::Append);
        let Some(life) = &mut self.life else {
            return;
        };
        life.log.write(&entries, Some(&hard_state)).unwrap();
        self.oracle.in_doubt = Some((entries.clone(), hard_state));
        if life.log.sync().is_err() {
            return self.go_down();
        }
        self.oracle.entries = self.oracle.entries_with(entries.len());
        self.oracle.hard_state = hard_state;
        self.oracle.in_doubt = None;
        let last = self.oracle.entries.len() as u64;
        self.oracle.committed = self.chance.random_range(self.oracle.committed..=last);
        self.apply_committed();
    }

    fn some_entries(&mut self) -> (Vec<Entry>, HardState) {
        let last = self.oracle.entries.len() as u64;
        let over = self.chance.random_bool(0.2);
        let first = if over {
            self.chance.random_range(self.oracle.committed..=last)
        } else {
            last
        } + 1;
        let mut hard_state = HardState {
            commit: EntryIndex(self.oracle.committed),
            ..self.oracle.hard_state
        };
        if over {
            hard_state.epoch.0 += 1;
            hard_state.vote = Some(ReplicaId(self.chance.random_range(1..4)));
        }
        let count = self.chance.random_range(1..6);
        let entries = (first..first + count)
            .map(|index| self.some_entry(index, hard_state.epoch))
            .collect();
        (entries, hard_state)
    }

    fn some_entry(&mut self, index: u64, epoch: LeaderEpoch) -> Entry {
        let topic = self.chance.random_range(0..3);
        let command = match self.chance.random_range(0..20) {
            0..3 => Command::Create {
                topic,
                id: self.topics_made,
            },
            3 => Command::Delete { topic },
            4 => Command::MoveLogStart {
                topic,
                by: self.chance.random_range(1..20),
            },
            5 => Command::Configure {
                topic,
                segment_bytes: self.chance.random_range(300..2_000),
            },
            _ => Command::Append {
                topic,
                timestamps: self.some_timestamps(),
            },
        };
        self.topics_made += 1;
        let payload = postcard::to_allocvec(&command).unwrap().into();
        Entry {
            index: EntryIndex(index),
            epoch,
            kind: EntryKind::Command,
            payload,
        }
    }

    fn some_timestamps(&mut self) -> Vec<i64> {
        let count = self.chance.random_range(1..8);
        (0..count)
            .map(|_| self.chance.random_range(0..100_000))
            .collect()
    }

    fn apply_committed(&mut self) {
        self.doing(Doing::Apply);
        let committed = usize::try_from(self.oracle.committed).unwrap();
        for entry in &self.oracle.entries[usize::try_from(self.steady.applied).unwrap()..committed]
        {
            self.steady.apply(entry).unwrap();
            self.oracle.states.push(self.steady.state.encode());
        }
        let Some(life) = &mut self.life else {
            return;
        };
        for entry in &self.oracle.entries[usize::try_from(life.twin.applied).unwrap()..committed] {
            if life.twin.apply(entry).is_err() {
                return self.go_down();
            }
        }
    }

    /// Captures a checkpoint of what is applied, and makes the journal's commit index durable that far.
    fn capture(&mut self) {
        self.doing(Doing::Append);
        let Some(life) = self
            .life
            .as_mut()
            .filter(|life| life.captured.is_none() && 0 < life.twin.applied)
        else {
            return;
        };
        let checkpoint = self.oracle.checkpoint_at(life.twin.applied);
        let hard_state = HardState {
            commit: EntryIndex(self.oracle.committed),
            ..self.oracle.hard_state
        };
        life.log.write(&[], Some(&hard_state)).unwrap();
        self.oracle.in_doubt = Some((Vec::new(), hard_state));
        let captured = life.twin.partitions.capture(checkpoint);
        match life.log.sync() {
            Ok(synced) => life.captured = Some((captured, synced)),
            Err(_) => return self.go_down(),
        }
        self.oracle.hard_state = hard_state;
        self.oracle.in_doubt = None;
    }

    /// Completes a captured checkpoint, perhaps long after, and trims the journal.
    fn complete(&mut self) {
        let Some((captured, synced)) = self.life.as_mut().and_then(|life| life.captured.take())
        else {
            return;
        };
        let applied = captured.applied().0;
        if matches!(self.slip, Some(Slip::TrimsFirst)) {
            self.trim(applied);
        }
        self.doing(Doing::Checkpoint);
        self.oracle.checkpoint_in_doubt = Some(applied);
        if captured.complete(synced).is_err() {
            return self.go_down();
        }
        self.oracle.checkpoint = applied;
        self.oracle.checkpoint_in_doubt = None;
        self.trim(applied);
    }

    fn trim(&mut self, applied: u64) {
        self.doing(Doing::Trim);
        let Some(life) = &mut self.life else {
            return;
        };
        if life.log.trim_before(EntryIndex(applied + 1)).is_err() {
            self.go_down();
        }
    }

    /// In the end nothing is left lying about: the files are those that the last checkpoint lists.
    fn complete_a_checkpoint_on_a_quiet_disk(&mut self) {
        self.complete();
        self.capture();
        self.complete();
        let life = self
            .life
            .as_ref()
            .expect("nothing goes wrong on a quiet disk");
        life.twin.assert_equals(&self.steady);
        assert_eq!(files_of_topics(&self.disk), live_files(&life.twin));
    }

    /// Now and then one call goes wrong: a full disk, a failed sync, a bad sector.
    fn plan_a_fault(&mut self) {
        if self.slip.is_some() {
            return;
        }
        if self.faults == Faults::AreOver || self.chance.random_bool(0.6) {
            return;
        }
        let (operation, fault) = FAULTS[self.chance.random_range(0..FAULTS.len())];
        let mut calls_before = self.chance.random_range(0..30);
        let came = self.fault_came.clone();
        self.disk.inject(move |call| {
            if call.operation != operation || came.load(Ordering::Relaxed) {
                return None;
            }
            if 0 < calls_before {
                calls_before -= 1;
                return None;
            }
            came.store(true, Ordering::Relaxed);
            Some(fault)
        });
    }

    fn end_the_fault(&mut self) {
        if self.slip.is_none() {
            self.fault_came.store(false, Ordering::Relaxed);
            self.disk.heal();
        }
    }

    fn may_fail(&self) -> bool {
        self.disk.is_down() || self.fault_came.load(Ordering::Relaxed)
    }

    /// The node stops at the first thing that goes wrong, and nothing does without a reason.
    fn go_down(&mut self) {
        assert!(
            self.may_fail(),
            "an operation failed though nothing is wrong with the machine"
        );
        self.life = None;
    }

    fn doing(&self, doing: Doing) {
        *self.doing.lock().unwrap() = doing;
    }
}

fn leave_out(disk: &SimDisk, doing: Arc<Mutex<Doing>>, left_out: fn(Doing, &DiskCall<'_>) -> bool) {
    disk.inject(move |call| {
        let mut doing = doing.lock().unwrap();
        if call.operation == Operation::Rename && *doing == Doing::Checkpoint {
            *doing = Doing::CheckpointRenamed;
        }
        let sync = matches!(call.operation, Operation::SyncFile | Operation::SyncFolder);
        (sync && left_out(*doing, call)).then_some(Fault::Ignored)
    });
}

fn files_of_topics(disk: &SimDisk) -> Vec<PathBuf> {
    let topics = Path::new(DATA).join("topics");
    disk.files()
        .into_keys()
        .filter(|path| path.starts_with(&topics))
        .collect()
}

fn live_files(twin: &Twin) -> Vec<PathBuf> {
    let mut paths: Vec<_> = twin
        .state
        .topics
        .keys()
        .flat_map(|&topic| twin.files(topic).into_keys())
        .collect();
    paths.sort();
    paths
}

/// Says on a panic how to see it again.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "again: STORAGE_SEED={:#x} cargo test -p log-core --lib storage::tests::model -- --nocapture",
                self.0
            );
        }
    }
}

fn run(seed: u64, slip: Option<Slip>) {
    let _seed = Seed(seed);
    Model::new(seed, slip).run();
}

fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn everything_acknowledged_is_there_after_any_crash_and_the_files_are_those_of_a_node_that_never_crashed()
 {
    match number_from("STORAGE_SEED") {
        Some(seed) => run(seed, None),
        None => (0..number_from("STORAGE_SEEDS").unwrap_or(SEEDS)).for_each(|seed| run(seed, None)),
    }
}

#[test]
fn the_same_seed_leaves_the_same_files() {
    let files = |seed| {
        let model = Model::new(seed, None);
        let disk = model.disk.clone();
        model.run();
        disk.files()
    };
    assert_eq!(files(5), files(5));
}

fn is_noticed(slip: Slip) -> bool {
    (0..SEEDS_TO_NOTICE)
        .any(|seed| catch_unwind(AssertUnwindSafe(|| run(seed, Some(slip)))).is_err())
}

fn has_extension(call: &DiskCall<'_>, extension: &str) -> bool {
    call.path
        .extension()
        .is_some_and(|found| found == extension)
}

/// How far below the data folder: 1 `topics`, 2 a topic, 3 a partition.
fn depth(call: &DiskCall<'_>) -> usize {
    call.path
        .strip_prefix(DATA)
        .map_or(0, |below| below.components().count())
}

fn is_topics(call: &DiskCall<'_>) -> bool {
    call.path.starts_with(Path::new(DATA).join("topics"))
}

/// One test per sync that is left out.
macro_rules! leaving_out_is_noticed {
    ($($name:ident: $left_out:expr;)+) => {
        $(#[test]
        fn $name() {
            assert!(is_noticed(Slip::LeavesOut($left_out)));
        })+
    };
}

leaving_out_is_noticed! {
    leaving_out_the_sync_of_the_journal_is_noticed:
        |doing, call| doing == Doing::Append && has_extension(call, "journal");
    leaving_out_the_sync_of_the_journals_folder_after_a_new_segment_is_noticed:
        |doing, call| doing == Doing::Append && call.operation == Operation::SyncFolder;
    leaving_out_the_sync_of_a_log_before_a_checkpoint_is_noticed:
        |_, call| has_extension(call, "log");
    leaving_out_the_sync_of_an_index_before_a_checkpoint_is_noticed:
        |_, call| has_extension(call, "index");
    leaving_out_the_sync_of_a_time_index_before_a_checkpoint_is_noticed:
        |_, call| has_extension(call, "timeindex");
    leaving_out_the_sync_of_a_partitions_folder_is_noticed:
        |_, call| is_topics(call) && depth(call) == 3;
    leaving_out_the_sync_of_a_topics_folder_is_noticed:
        |_, call| is_topics(call) && depth(call) == 2;
    leaving_out_the_sync_of_the_folder_of_all_topics_is_noticed:
        |_, call| is_topics(call) && depth(call) == 1;
    leaving_out_the_sync_of_the_data_folder_before_a_checkpoint_is_noticed:
        |doing, call| matches!(doing, Doing::Checkpoint | Doing::Start) && call.path == Path::new(DATA);
    leaving_out_the_sync_of_a_checkpoint_is_noticed:
        |_, call| call.operation == Operation::SyncFile && call.path.ends_with("checkpoint.new");
    leaving_out_the_sync_of_the_data_folder_after_a_checkpoints_rename_is_noticed:
        |doing, call| doing == Doing::CheckpointRenamed && call.path == Path::new(DATA);
    leaving_out_the_sync_of_the_data_folder_at_a_start_is_noticed:
        |doing, call| doing == Doing::Start && call.path == Path::new(DATA);
}

#[test]
fn leaving_out_nothing_is_not_noticed() {
    assert!(!is_noticed(Slip::LeavesOut(|_, _| false)));
}

#[test]
fn trimming_the_journal_before_the_checkpoint_is_durable_is_noticed() {
    assert!(is_noticed(Slip::TrimsFirst));
}
