//! The state machine: what is true after each command. Decides only; no I/O, no clock, no dice.
//!
//! Every replica applies the same commands in the same order and so holds the same state: time, ids and chance are in the
//! command, put there by the leader that proposed it. What must happen to files is said in [`Change`]s, which the shell
//! performs in order. Encoding the state gives the same bytes on every replica; decoding them and going on is the same
//! as never having stopped.
//!
//! Every expiry compares command times with command times, and counts no time that no leader lived through
//! ([`ClockJumps`]).
//!
//! Invariants, checked after every command, in release too: log start offset <= last stable offset <= high watermark;
//! leader epochs, producer epochs and the command's time never fall; a partition's offsets only grow.

mod applied;
mod broker_config;
mod checkpoint;
mod clock_jumps;
mod command;
mod command_error;
mod config_bounds;
mod config_change;
mod config_key;
mod config_minimums;
mod epochs;
mod feature_level;
mod group;
mod groups;
pub(crate) mod listener;
mod node;
mod open_transactions;
mod partition;
mod produce;
mod producer;
mod response;
mod topic;
mod topic_config;
mod topics;
mod transaction;
mod transaction_coordinator;
mod transactions;

use std::ops::Bound;

pub use applied::{Applied, Change};
pub use broker_config::BROKER_KEYS;
pub use checkpoint::StateDecodeError;
pub use clock_jumps::ClockJumps;
pub use command::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, AlterTopicConfigs, Command, CommitOffsets,
    CommitTransactionOffsets, Committer, CompleteRebalance, CompletedMember, CreatePartitions,
    CreateTopic, DeleteGroup, DeleteOffsets, DeleteTopic, EndTransaction, Envelope, EnvelopeError,
    ExpireOffsets, ExpireProducers, ExpireTransactionalIds, InitProducerId, JudgeClockJumps,
    JumpVerdict, LogStartCause, MoveLogStart, NewOffset, NoteClockJump, Produce, RaiseFeatureLevel,
    RegisterNode, TransactionOutcome, TransactionalProducer, UnregisterNode,
};
pub use command_error::CommandError;
pub use config_change::{ConfigAction, ConfigChange, ConfigOp};
pub use config_key::{ConfigKey, ConfigType};
pub use config_minimums::AcksMin;
pub use epochs::{Agreement, EpochEnd};
pub use feature_level::FeatureLevel;
pub use group::{CommittedOffset, ConsumerGroup};
pub use listener::Listener;
pub use node::RegisteredNode;
#[cfg(any(test, feature = "testing"))]
pub use open_transactions::AbortedTransaction;
pub use partition::Partition;
pub use producer::ProducerWindow;
pub use response::{Produced, Response};
pub use topic::Topic;
pub use topic_config::{TOPIC_KEYS, TopicConfig, TopicSettings};
pub use transaction::{Transaction, TransactionStatus};

use self::group::{CommitKind, CommitTime};
use self::groups::Groups;
use self::node::Nodes;
use self::producer::ProducerRegistry;
use self::topics::Topics;
use self::transactions::Transactions;
use crate::ids::{
    EntryIndex, GroupId, LeaderEpoch, NodeId, ProducerEpoch, ReplicaId, TimestampMs, TopicId,
    TopicName, TopicPartition, TransactionalId,
};

/// All that is true in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    applied: EntryIndex,
    epoch: LeaderEpoch,
    clock: TimestampMs,
    topics: Topics,
    producers: ProducerRegistry,
    transactions: Transactions,
    groups: Groups,
    nodes: Nodes,
    clock_jumps: ClockJumps,
}

impl State {
    /// Of a cluster in which nothing has happened.
    #[cfg(test)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the command of the entry at `index`, which a leader of `epoch` proposed.
    ///
    /// # Panics
    /// When an invariant is broken: going on could lose or invent a record.
    pub fn apply(&mut self, index: EntryIndex, epoch: LeaderEpoch, envelope: &Envelope) -> Applied {
        assert!(
            self.applied < index,
            "entry {index} applied after {}",
            self.applied
        );
        assert!(
            self.epoch <= epoch,
            "leader epoch fell from {} to {epoch}",
            self.epoch
        );
        self.applied = index;
        self.epoch = epoch;
        let mut changes = Vec::new();
        let outcome = match envelope.proposer == epoch {
            true => self.carry_out(envelope, &mut changes),
            false => Err(CommandError::ProposerDeposed),
        };
        Applied { outcome, changes }
    }

    /// Gives out none of the next `count` producer ids: for a state that is taken up from a backup. The log that went on
    /// after the backup has given ids to producers that still live, and two of one id would be taken for one.
    pub fn skip_producer_ids(&mut self, count: u64) {
        self.producers.skip(count);
    }

    fn carry_out(
        &mut self,
        envelope: &Envelope,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        // A new leader's clock may be behind the old one's: what was later stays later.
        self.clock = self.clock.max(envelope.at);
        match &envelope.command {
            Command::CreateTopic(create) => self.topics.create(create, self.clock, changes),
            Command::DeleteTopic(delete) => self.delete_topic(delete, changes),
            Command::Produce(produce) => self.produce(produce, changes),
            Command::AllocateProducerId => Ok(self.allocate_producer_id()),
            Command::ExpireProducers(expire) => Ok(self.expire_producers(expire)),
            Command::RegisterNode(register) => self.nodes.register(register).map(done),
            Command::UnregisterNode(unregister) => self.nodes.unregister(unregister.node).map(done),
            Command::RaiseFeatureLevel(raise) => self.raise_feature_level(raise, changes),
            Command::AlterTopicConfigs(alter) => self.topics.alter(alter, changes).map(done),
            Command::CreatePartitions(create) => {
                self.topics.create_partitions(create, changes).map(done)
            }
            Command::MoveLogStart(request) => self.topics.move_log_start(request, changes),
            Command::CompleteRebalance(rebalance) => {
                self.groups.complete(rebalance, self.clock).map(done)
            }
            Command::CommitOffsets(commit) => self.commit_offsets(commit),
            Command::DeleteOffsets(delete) => self.groups.delete_offsets(delete).map(done),
            Command::DeleteGroup(delete) => self.groups.delete(delete).map(done),
            Command::ExpireOffsets(expire) => Ok(self.expire_offsets(expire)),
            Command::InitProducerId(init) => self.init_producer_id(init, changes),
            Command::AddPartitionsToTransaction(add) => self.add_partitions(add),
            Command::AddOffsetsToTransaction(add) => self.add_offsets(add),
            Command::CommitTransactionOffsets(commit) => self.commit_transaction_offsets(commit),
            Command::EndTransaction(end) => self.end_transaction(end, changes),
            Command::ExpireTransactions => Ok(self.expire_transactions(changes)),
            Command::ExpireTransactionalIds(expire) => Ok(self.expire_transactional_ids(expire)),
            Command::NoteClockJump(jump) => Ok(self.note_clock_jump(jump)),
            Command::JudgeClockJumps(judge) => Ok(Response::ClockJumpsJudged {
                count: self.clock_jumps.judge(judge.until, judge.verdict),
            }),
        }
    }

    fn raise_feature_level(
        &mut self,
        raise: &RaiseFeatureLevel,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        let knew = self.notes_jumps();
        self.nodes.raise(raise)?;
        if !knew && self.notes_jumps() {
            // What came earlier is not known to have been witnessed: from now on its age counts as of now.
            self.clock_jumps = ClockJumps::known_since(self.clock);
            changes.push(Change::AppendsTimed { since: self.clock });
        }
        Ok(Response::Done)
    }

    /// Leaders note none before the level allows it; checkpoints could not keep it.
    fn note_clock_jump(&mut self, jump: &NoteClockJump) -> Response {
        if self.notes_jumps() {
            self.clock_jumps.note(self.clock, jump.unwitnessed_ms);
        }
        Response::Done
    }

    /// The time that an append's segment is given.
    fn append_time(&self) -> Option<TimestampMs> {
        self.notes_jumps().then_some(self.clock)
    }

    fn allocate_producer_id(&mut self) -> Response {
        let id = self.producers.allocate(self.clock);
        Response::ProducerId {
            id,
            epoch: ProducerEpoch(0),
        }
    }

    fn expire_producers(&mut self, expire: &ExpireProducers) -> Response {
        let keep = |producer| self.transactions.binds(producer);
        let expired = self.producers.expire(expire.used_before, keep);
        self.topics.forget_producers(&expired);
        Response::Expired {
            count: expired.len(),
        }
    }

    fn delete_topic(
        &mut self,
        delete: &DeleteTopic,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        let name = self.topics.delete(delete.id, changes)?;
        self.transactions.forget_topic(&name);
        self.groups.forget_topic(&name);
        Ok(Response::Done)
    }

    fn commit_offsets(&mut self, commit: &CommitOffsets) -> Result<Response, CommandError> {
        self.groups
            .admit(&commit.group, &commit.by, CommitKind::Plain)?;
        let (known, unknown) = self.topics.split_known(&commit.offsets);
        if !known.is_empty() {
            let (at, entry, retention_ms) = (self.clock, self.applied, commit.retention_ms);
            self.groups.commit(
                &commit.group,
                &known,
                CommitTime {
                    at,
                    entry,
                    retention_ms,
                },
            );
        }
        Ok(Response::OffsetsCommitted { unknown })
    }

    fn expire_offsets(&mut self, expire: &ExpireOffsets) -> Response {
        Response::Expired {
            count: self.groups.expire(expire, &self.clock_jumps, self.clock),
        }
    }
}

fn done((): ()) -> Response {
    Response::Done
}

/// What is true.
impl State {
    /// The last entry whose command was applied.
    pub fn applied(&self) -> EntryIndex {
        self.applied
    }

    /// The time of the latest command: a leader proposes none before it.
    pub fn clock(&self) -> TimestampMs {
        self.clock
    }

    /// Whether jumps of command time are noted, and partitions' segments know the command times of their appends.
    pub fn notes_jumps(&self) -> bool {
        FeatureLevel::WITNESSED_TIME <= self.nodes.feature_level
    }

    /// Stretches of command time that no leader lived through.
    pub fn clock_jumps(&self) -> &ClockJumps {
        &self.clock_jumps
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, &Topic)> + '_ {
        self.topics.iter()
    }

    /// A topic by its name.
    pub fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.by_name(name)
    }

    /// A topic and its name by its identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<(&TopicName, &Topic)> {
        self.topics.by_id(id)
    }

    /// One partition.
    pub fn partition(&self, partition: &TopicPartition) -> Option<&Partition> {
        self.topic(&partition.topic)?.partition(partition.partition)
    }

    /// All consumer groups by their id.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &ConsumerGroup)> + '_ {
        self.groups.0.iter()
    }

    /// The consumer groups from a bound on, by id.
    pub fn groups_from(
        &self,
        from: Bound<&GroupId>,
    ) -> impl Iterator<Item = (&GroupId, &ConsumerGroup)> + '_ {
        self.groups.0.range::<GroupId, _>((from, Bound::Unbounded))
    }

    /// One consumer group.
    pub fn group(&self, id: &GroupId) -> Option<&ConsumerGroup> {
        self.groups.0.get(id)
    }

    /// All transactional ids.
    pub fn transactions(&self) -> impl Iterator<Item = (&TransactionalId, &Transaction)> + '_ {
        self.transactions.iter()
    }

    /// One transactional id.
    pub fn transaction(&self, id: &TransactionalId) -> Option<&Transaction> {
        self.transactions.get(id)
    }

    /// When the first open transaction is overdue: time for [`Command::ExpireTransactions`].
    pub fn next_transaction_deadline(&self) -> Option<TimestampMs> {
        self.transactions()
            .filter_map(|(_, transaction)| transaction.deadline(&self.clock_jumps))
            .min()
    }

    /// All registered brokers by their id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &RegisteredNode)> + '_ {
        self.nodes.registered.iter().map(|(id, node)| (*id, node))
    }

    /// The broker with this Raft id.
    pub fn node_of(&self, replica: ReplicaId) -> Option<(NodeId, &RegisteredNode)> {
        self.nodes().find(|(_, node)| node.replica == replica)
    }

    /// What commands and behaviour the cluster may use.
    pub fn feature_level(&self) -> FeatureLevel {
        self.nodes.feature_level
    }

    /// Whether this topic could be made now: the answer to a CreateTopics that only wants to know. Whether so many voters
    /// could store records in it is [`TopicConfig::check_storable`]'s.
    ///
    /// # Errors
    /// What the command would be refused with.
    pub fn check_create_topic(&self, create: &CreateTopic) -> Result<(), CommandError> {
        self.topics.check_create(create).map(|_| ())
    }

    /// The same for more partitions.
    ///
    /// # Errors
    /// What the command would be refused with.
    pub fn check_create_partitions(&self, create: &CreatePartitions) -> Result<(), CommandError> {
        self.topics.check_create_partitions(create)
    }

    /// The same for a higher feature level.
    ///
    /// # Errors
    /// What the command would be refused with.
    pub fn check_raise_feature_level(&self, raise: &RaiseFeatureLevel) -> Result<(), CommandError> {
        self.nodes.check_raise(raise)
    }

    /// The same for a change of settings.
    ///
    /// # Errors
    /// What the command would be refused with.
    #[cfg(test)]
    pub fn check_alter_topic_configs(&self, alter: &AlterTopicConfigs) -> Result<(), CommandError> {
        self.topics.check_alter(alter).map(|_| ())
    }

    /// Whether the topic's changed settings let so many voters store records: asked before the change is proposed.
    ///
    /// # Errors
    /// What the change is refused with.
    pub fn check_alter_storable(
        &self,
        alter: &AlterTopicConfigs,
        voters: usize,
    ) -> Result<(), CommandError> {
        let changed = self.topics.check_alter(alter)?;
        let before = self.topic_by_id(alter.topic_id);
        let before = before.map(|(_, topic)| topic.config());
        Ok(changed.check_storable(before, voters)?)
    }
}

#[cfg(test)]
mod tests;
