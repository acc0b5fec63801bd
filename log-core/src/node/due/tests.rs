//! A node alone, with the real replica, journal and partitions, through starts and hours with wrong clocks: nothing that
//! was acknowledged goes before its time, and what is due goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::JournalConfig;
use journal::disk::Disk;
use journal::sim_disk::SimDisk;
use uuid::Uuid;

use super::*;
use crate::consensus::Persist;
use crate::group::GroupConfig;
use crate::ids::{
    EntryIndex, Generation, GroupId, NodeId, Offset, PartitionIndex, ReplicaId, RequestId,
    TimestampMs, TopicName, TransactionalId,
};
use crate::node::group_commit::{JournalEvent, JournalLine, JournalWrite};
use crate::node::{
    Effect, HousekeepingConfig, Input, Limits, Node, NodeReply, NodeRequest, ProposeError, assemble,
};
use crate::record::{BatchBuilder, NewRecord};
use crate::state::{
    AddOffsetsToTransaction, CompleteRebalance, CreateTopic, FeatureLevel, InitProducerId,
    JudgeClockJumps, JumpVerdict, Produce, RaiseFeatureLevel, RegisterNode, Response,
    TransactionalProducer,
};
use crate::storage::{EntryLog, Identity, StorageConfig, recover};
use crate::testing::SimClock;

const FOLDER: &str = "/data";
const STORAGE: StorageConfig = StorageConfig {
    journal: JournalConfig {
        segment_bytes: 64 << 10,
        record_bytes_max: 16 << 10,
    },
    open_partition_files_max: 64,
};
const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: i64 = 86_400_000;
const RETENTION_MS: i64 = 400 * DAY_MS;
/// The true time.
const TODAY: TimestampMs = TimestampMs(1_800_000_000_000);

fn propose(id: u64, command: Command) -> Input {
    Input::Request {
        id: RequestId(id),
        request: NodeRequest::Propose(command),
    }
}

struct Alone {
    disk: SimDisk,
    clock: SimClock,
    shared: Arc<SharedView>,
    node: Node,
    log: EntryLog,
    proposed: u64,
    /// The last entry that others were shown.
    published: Option<EntryIndex>,
    /// What housekeeping has done since the test looked last.
    housekept: Vec<Response>,
}

impl Alone {
    /// A new node that works at the latest level and has a topic whose records are kept for 400 days.
    fn founded(wall: TimestampMs) -> Self {
        let mut alone = Self::founded_at_the_first_level(wall);
        alone.raise();
        alone
    }

    fn founded_at_the_first_level(wall: TimestampMs) -> Self {
        let disk = SimDisk::with_seed(1);
        disk.create_folder(Path::new(FOLDER)).unwrap();
        let identity = Identity::founder_alone(NodeId(1), Uuid::from_u128(1), Uuid::from_u128(2));
        identity.keep(&disk, Path::new(FOLDER)).unwrap();
        disk.sync_folder(Path::new("/")).unwrap();
        let mut alone = Self::start(disk, wall);
        alone.tell(Command::RegisterNode(RegisterNode {
            node: NodeId(1),
            replica: ReplicaId(2),
            listeners: Vec::new(),
            rack: None,
            feature_level_max: FeatureLevel::LATEST,
        }));
        alone.tell(Command::CreateTopic(CreateTopic {
            name: place().topic,
            id: topic_id(),
            partitions: 1,
            replication_factor: 1,
            configs: [("retention.ms".to_owned(), RETENTION_MS.to_string())].into(),
        }));
        alone
    }

    fn raise(&mut self) {
        let level = FeatureLevel::LATEST;
        self.tell(Command::RaiseFeatureLevel(RaiseFeatureLevel { level }));
    }

    fn start(disk: SimDisk, wall: TimestampMs) -> Self {
        let mut alone = Self::elected(disk, wall);
        alone.work(Vec::new());
        alone
    }

    /// It leads, and has not applied its epoch's first entry.
    fn elected(disk: SimDisk, wall: TimestampMs) -> Self {
        let shared_disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let recovered = recover(&shared_disk, Path::new(FOLDER), &STORAGE).unwrap();
        let identity = Identity::read(&disk, Path::new(FOLDER)).unwrap().unwrap();
        let clock = SimClock::at(wall);
        let limits = Limits {
            checkpoint_bytes: u64::MAX,
            disk_reserve_bytes: 0,
            partition_files_max: 1_000,
            groups: GroupConfig::default(),
            housekeeping: HousekeepingConfig {
                retention_every: Duration::ZERO,
                unused_every: Duration::ZERO,
                ..HousekeepingConfig::default()
            },
        };
        let (mut node, shared, log) =
            assemble(Path::new(FOLDER), limits, &identity, recovered, clock.now()).unwrap();
        node.campaign();
        Self {
            disk,
            clock,
            shared,
            node,
            log,
            proposed: 0,
            published: None,
            housekept: Vec::new(),
        }
    }

    /// Stops, after a checkpoint, and starts with its clock set to this time.
    fn restarted_at(self, wall: TimestampMs) -> Self {
        Self::start(self.stopped(), wall)
    }

    fn stopped(mut self) -> SimDisk {
        let mut effects = Vec::new();
        self.node.take(self.clock.now(), Input::Stop, &mut effects);
        self.work(effects);
        let Self {
            disk, shared, log, ..
        } = self;
        drop((shared, log));
        disk.kill();
        disk
    }

    fn wall(&self) -> TimestampMs {
        self.clock.now().wall
    }

    fn tell(&mut self, command: Command) -> Response {
        self.proposed += 1;
        let propose = propose(self.proposed, command);
        let mut effects = Vec::new();
        self.node.take(self.clock.now(), propose, &mut effects);
        let answers = self.work(effects);
        let [outcome] = &answers[..] else {
            panic!("{answers:?}")
        };
        outcome.clone().expect("not refused")
    }

    /// Does all there is to do; answers the outcomes.
    fn work(
        &mut self,
        mut effects: Vec<Effect>,
    ) -> Vec<Result<Response, crate::state::CommandError>> {
        let mut outcomes = Vec::new();
        loop {
            self.node.work(self.clock.now(), &mut effects).unwrap();
            if effects.is_empty() {
                return outcomes;
            }
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Persist(step) => self.persist(step, &mut effects),
                    Effect::SealCheckpoint {
                        hard_state,
                        captured,
                    } => self.complete(JournalWrite::Seal(hard_state, captured), &mut effects),
                    Effect::Publish(published) => {
                        let applied = published.applied.map(|(applied, _)| applied);
                        self.published = self.published.max(applied);
                    }
                    Effect::Reply {
                        reply: NodeReply::Outcome(outcome),
                        ..
                    } => {
                        let (index, outcome) = outcome.unwrap();
                        assert!(Some(index) <= self.published, "answered before it is shown");
                        outcomes.push(outcome);
                    }
                    Effect::Housekept(housekept) => self.housekept.push(housekept.response),
                    _ => {}
                }
            }
        }
    }

    fn persist(&mut self, step: Persist, effects: &mut Vec<Effect>) {
        self.complete(JournalWrite::Persist(step), effects);
    }

    fn complete(&mut self, job: JournalWrite, effects: &mut Vec<Effect>) {
        let mut words = Vec::new();
        let mut line = JournalLine::default();
        line.join(job);
        let group = line.next().expect("just joined");
        group
            .write(&mut self.log, &mut |word| words.push(word))
            .unwrap();
        for word in words {
            let input = match word {
                JournalEvent::Persisted { number, .. } => Input::Persisted { number },
                JournalEvent::Sealed(captured, synced) => Input::CheckpointDurable {
                    index: captured.complete(synced).unwrap(),
                },
                _ => unreachable!("said by the thread"),
            };
            self.node.take(self.clock.now(), input, effects);
        }
    }

    /// A call, which says of itself that it is of this time.
    fn call_stamped(&mut self, timestamp: TimestampMs) {
        let mut batch = BatchBuilder::plain();
        batch.push(NewRecord {
            timestamp,
            value: Some("fire".into()),
            ..NewRecord::default()
        });
        self.tell(Command::Produce(Produce {
            topic_id: topic_id(),
            partition: place(),
            batch: batch.build(),
        }));
    }

    fn call(&mut self) {
        self.call_stamped(self.wall());
    }

    fn begin_transaction(&mut self) {
        let id = TransactionalId::new("copier");
        let begun = self.tell(Command::InitProducerId(InitProducerId {
            id: id.clone(),
            timeout_ms: 60_000,
            expected: None,
        }));
        let Response::ProducerId {
            id: producer,
            epoch,
        } = begun
        else {
            panic!("{begun:?}")
        };
        let by = TransactionalProducer {
            id,
            producer,
            epoch,
        };
        let group = GroupId::new("copied");
        self.tell(Command::AddOffsetsToTransaction(AddOffsetsToTransaction {
            by,
            group,
        }));
    }

    /// Does what is due, as the leader does from time to time. Answers the first offset that is left, and how many
    /// producers, offsets and ids were forgotten.
    fn keep_house(&mut self) -> (Offset, usize) {
        let mut effects = Vec::new();
        self.node.take(self.clock.now(), Input::Tick, &mut effects);
        self.work(effects);
        let count = |response| match response {
            Response::Expired { count } => count,
            _ => 0,
        };
        let forgotten = self.housekept.drain(..).map(count).sum();
        let state = self.shared.state.read().unwrap();
        let start = state.partition(&place()).unwrap().log_start_offset();
        (start, forgotten)
    }

    fn waits_for_a_word(&self) -> bool {
        due::records(&self.shared, self.clock.now())
            .waiting
            .is_some()
    }

    fn is_overdue(&self) -> bool {
        due::transactions(&self.shared, self.clock.now()).is_some()
    }

    fn judge(&mut self, verdict: JumpVerdict) {
        let (until, _) = self.shared.command_time(self.clock.now().elapsed);
        self.tell(Command::JudgeClockJumps(JudgeClockJumps { until, verdict }));
    }
}

use crate::node::due;

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(7))
}

fn place() -> TopicPartition {
    let topic = TopicName::parse("an-alert").unwrap();
    TopicPartition::new(topic, PartitionIndex(0))
}

fn days(number: i64) -> TimestampMs {
    TimestampMs(TODAY.0 + number * DAY_MS)
}

const NOTHING: (Offset, usize) = (Offset(0), 0);

#[test]
fn one_start_with_the_clock_401_days_ahead_deletes_and_forgets_nothing() {
    let mut node = Alone::founded(TODAY);
    node.call();
    node.tell(Command::AllocateProducerId);
    node.clock.advance(Duration::from_secs(600));

    let mut node = node.restarted_at(days(401));
    assert_eq!(node.keep_house(), NOTHING);
    node.clock.advance(Duration::from_secs(600));
    node.call();
    assert_eq!(node.keep_house(), NOTHING);
    assert!(node.waits_for_a_word());

    let mut node = node.restarted_at(TODAY);
    assert_eq!(node.keep_house(), NOTHING);
    node.judge(JumpVerdict::ClockWasWrong);
    assert!(!node.waits_for_a_word());
    assert_eq!(node.keep_house(), NOTHING);
}

#[test]
fn what_was_due_before_its_clock_was_wrong_goes_when_its_time_has_passed() {
    let mut node = Alone::founded(TODAY);
    node.call();
    let mut node = node.restarted_at(days(401));
    node.call();
    let mut node = node.restarted_at(TODAY);
    node.clock.advance(399 * DAY);
    assert_eq!(node.keep_house().0, Offset(0));
    node.clock.advance(2 * DAY);
    assert_eq!(node.keep_house().0, Offset(2), "by elapsed time alone");
}

#[test]
fn a_log_that_did_stand_still_for_401_days_deletes_once_an_operator_has_said_so() {
    let mut node = Alone::founded(TODAY);
    node.call();
    let mut node = node.restarted_at(days(401));
    assert_eq!(node.keep_house(), NOTHING);
    node.judge(JumpVerdict::TimePassed);
    assert_eq!(node.keep_house().0, Offset(1));
    assert!(!node.waits_for_a_word());
}

#[test]
fn a_call_taken_by_a_node_whose_clock_was_400_days_behind_outlives_its_being_set_right() {
    let mut node = Alone::founded(days(-401));
    node.call();
    node.clock.advance(Duration::from_secs(5));
    node.clock.jump_wall(401 * DAY_MS);
    node.clock.advance(Duration::from_secs(13));
    assert_eq!(node.keep_house(), NOTHING);
    let mut node = node.restarted_at(TODAY);
    assert_eq!(node.keep_house(), NOTHING);
}

#[test]
fn a_minute_with_the_clock_401_days_ahead_makes_nothing_due_and_leaves_no_transaction_open() {
    let mut node = Alone::founded(TODAY);
    node.call();
    node.tell(Command::AllocateProducerId);
    node.begin_transaction();
    node.clock.advance(Duration::from_secs(10));
    node.clock.jump_wall(401 * DAY_MS);
    assert_eq!(node.keep_house(), NOTHING);
    assert!(!node.is_overdue(), "open for ten seconds");
    node.clock.advance(Duration::from_secs(50));
    assert!(node.is_overdue(), "open for a minute");
    node.tell(Command::ExpireTransactions);
    node.begin_transaction();

    node.clock.jump_wall(-401 * DAY_MS);
    assert!(!node.is_overdue());
    node.clock.advance(Duration::from_secs(60));
    assert!(node.is_overdue(), "command time goes on");
    assert_eq!(node.keep_house(), NOTHING);
}

#[test]
fn a_record_stamped_ten_years_ahead_stops_no_retention_and_one_from_long_ago_is_kept() {
    let mut node = Alone::founded(TODAY);
    node.call_stamped(days(3_650));
    node.call_stamped(days(-3_650));
    assert_eq!(node.keep_house(), NOTHING);
    node.clock.advance(399 * DAY);
    assert_eq!(node.keep_house().0, Offset(0));
    node.clock.advance(2 * DAY);
    assert_eq!(node.keep_house().0, Offset(2));
}

#[test]
fn a_jump_whose_note_is_still_under_way_makes_nothing_due() {
    let mut node = Alone::founded(TODAY);
    node.call();
    node.begin_transaction();
    node.clock.jump_wall(401 * DAY_MS);
    // Proposed, and not yet on disk: the note before it is neither.
    let propose = propose(u64::MAX, Command::AllocateProducerId);
    node.node.take(node.clock.now(), propose, &mut Vec::new());
    assert!(
        due::records(&node.shared, node.clock.now())
            .moves
            .is_empty()
    );
    assert!(!node.is_overdue());
    let forgotten_before = TODAY;
    let remembered = HousekeepingConfig::default().remembered;
    for command in due::unused(&node.shared, remembered, node.clock.now()) {
        let before = match command {
            Command::ExpireProducers(expire) => expire.used_before,
            Command::ExpireOffsets(expire) => expire.committed_before,
            Command::ExpireTransactionalIds(expire) => expire.used_before,
            other => panic!("{other:?}"),
        };
        assert!(before < forgotten_before, "{before:?}");
    }
}

#[test]
fn a_leader_that_has_not_applied_its_epochs_first_entry_stamps_nothing() {
    let mut node = Alone::founded(TODAY);
    node.call();
    let mut node = Alone::elected(node.stopped(), days(401));
    let propose = propose(1, Command::AllocateProducerId);
    let mut effects = Vec::new();
    node.node.take(node.clock.now(), propose, &mut effects);
    let dropped = NodeReply::Outcome(Err(ProposeError::Dropped));
    assert!(
        matches!(&effects[..], [Effect::Reply { reply, .. }] if *reply == dropped),
        "{effects:?}"
    );
}

#[test]
fn a_year_without_wrong_clocks_notes_no_jump() {
    let mut node = Alone::founded(TODAY);
    for _ in 0..365 {
        node.clock.advance(DAY);
        node.clock.jump_wall(-200);
        node.call();
        node.clock.jump_wall(200);
        node.call();
    }
    let (_, jumps) = node.shared.command_time(node.clock.now().elapsed);
    assert_eq!(jumps.iter().count(), 0);
    assert_eq!(node.keep_house().0, Offset(0));
}

#[test]
fn a_wall_that_runs_twice_as_fast_ages_nothing_twice_as_fast() {
    let mut node = Alone::founded(TODAY);
    node.call();
    node.clock.drift_wall(1_000_000);
    for _ in 0..399 {
        node.clock.advance(DAY);
        node.call();
    }
    assert_eq!(node.keep_house().0, Offset(0));
}

#[test]
fn before_the_level_is_raised_nothing_is_deleted_and_nothing_is_older_than_the_process() {
    let mut node = Alone::founded_at_the_first_level(TODAY);
    node.call();
    node.tell(Command::AllocateProducerId);
    let mut node = node.restarted_at(days(401));
    assert_eq!(node.keep_house(), NOTHING);
    node.clock.advance(Duration::from_secs(600));
    assert_eq!(node.keep_house(), NOTHING);

    node.raise();
    assert_eq!(node.keep_house(), NOTHING);
    node.clock.advance(401 * DAY);
    assert_eq!(node.keep_house().0, Offset(1));
}

#[test]
fn retention_proposes_each_move_of_a_log_start_once() {
    let mut node = Alone::founded(TODAY);
    node.call();
    node.clock.advance(401 * DAY);
    assert_eq!(node.keep_house().0, Offset(1));
    let moved = node.published;
    node.clock.advance(Duration::from_millis(10));
    node.keep_house();
    let unused = due::unused(
        &node.shared,
        HousekeepingConfig::default().remembered,
        node.clock.now(),
    );
    let asked_every_time = u64::try_from(unused.len()).unwrap();
    let entries = node.published.unwrap().0 - moved.unwrap().0;
    assert_eq!(entries, asked_every_time, "there is nothing more to delete");
}

#[test]
fn a_group_of_which_nothing_is_left_is_forgotten() {
    let mut node = Alone::founded(TODAY);
    let group = GroupId::new("gone");
    node.tell(Command::CompleteRebalance(CompleteRebalance {
        group: group.clone(),
        generation: Generation(1),
        protocol_type: Some("consumer".to_owned()),
        protocol: None,
        leader: None,
        members: Vec::new(),
    }));
    let is_known = |node: &Alone| node.shared.state().group(&group).is_some();
    assert!(is_known(&node), "with its generation");
    node.keep_house();
    assert!(!is_known(&node));
}
