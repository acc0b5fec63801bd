//! One consumer group as every replica knows it: its latest completed generation and how far it has come.
//!
//! Who is joining, and whose heart-beat is due, is known to the leader alone (`group`, which this room never sees). Here
//! is what a new leader resumes from, and the fence that an old generation's commit meets when it is applied (rules as in
//! Kafka's `ClassicGroup.validateOffsetCommit`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock_jumps::ClockJumps;
use super::command::{Committer, CompleteRebalance, CompletedMember, NewOffset};
use super::command_error::CommandError;
use crate::ids::{
    EntryIndex, Generation, GroupId, LeaderEpoch, MemberId, Offset, ProducerId, TimestampMs,
    TopicName, TopicPartition,
};

/// One consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    generation: Generation,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, CompletedMember>,
    changed_at: TimestampMs,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    pending: BTreeMap<ProducerId, BTreeMap<TopicPartition, CommittedOffset>>,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The next record it will read.
    pub offset: Offset,
    /// Epoch of the last record it has read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the consumer noted.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it goes, where the client has said so.
    pub expires_at: Option<TimestampMs>,
    /// The entry that brought it. A transaction's offset gives way to one that was committed after it, though the
    /// transaction ends later.
    entry: EntryIndex,
}

/// When and by what command offsets come.
#[derive(Clone, Copy)]
pub(super) struct CommitTime {
    pub(super) at: TimestampMs,
    pub(super) entry: EntryIndex,
    pub(super) retention_ms: Option<u64>,
}

/// Whether offsets count at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitKind {
    /// They do.
    Plain,
    /// When their transaction commits.
    Transactional,
}

impl CommittedOffset {
    fn new(offset: &NewOffset, time: CommitTime) -> Self {
        let expires_at =
            |retention_ms: u64| TimestampMs(time.at.0.saturating_add_unsigned(retention_ms));
        Self {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.clone(),
            committed_at: time.at,
            expires_at: time.retention_ms.map(expires_at),
            entry: time.entry,
        }
    }

    fn is_due(&self, expires_at: TimestampMs, jumps: &ClockJumps, now: TimestampMs) -> bool {
        let kept_ms = expires_at.0.saturating_sub(self.committed_at.0);
        let kept_ms = u64::try_from(kept_ms).unwrap_or(0);
        jumps.due_at(self.committed_at, kept_ms) <= now
    }
}

/// What is true.
impl ConsumerGroup {
    /// Its latest completed generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What kind of group it is; `None` while only offsets were committed under its name.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The assignor of the generation.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The member that assigned.
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// The members of the generation, by id.
    pub fn members(&self) -> impl Iterator<Item = &CompletedMember> + '_ {
        self.members.values()
    }

    /// Whether the generation has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether it has neither members nor offsets, committed or on their way.
    pub fn is_unused(&self) -> bool {
        self.is_empty() && self.offsets.is_empty() && self.pending.is_empty()
    }

    /// All committed offsets.
    pub fn offsets(&self) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> + '_ {
        self.offsets.iter()
    }

    /// How far it has come in one partition.
    pub fn offset(&self, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.offsets.get(partition)
    }

    /// Whether an open transaction may move the partition's offset: UNSTABLE_OFFSET_COMMIT to those who ask for stable ones.
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending
            .values()
            .any(|offsets| offsets.contains_key(partition))
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl ConsumerGroup {
    /// Takes over a completed rebalance.
    pub(super) fn complete(
        &mut self,
        rebalance: &CompleteRebalance,
        at: TimestampMs,
    ) -> Result<(), CommandError> {
        let CompleteRebalance {
            group,
            generation,
            protocol_type,
            protocol,
            leader,
            members,
        } = rebalance.clone();
        if generation < self.generation {
            let (found, current) = (Some(generation), Some(self.generation));
            return Err(CommandError::IllegalGeneration {
                group,
                found,
                current,
            });
        }
        self.generation = generation;
        self.protocol_type = protocol_type;
        self.protocol = protocol;
        self.leader = leader;
        self.members = members
            .into_iter()
            .map(|member| (member.id.clone(), member))
            .collect();
        self.changed_at = at;
        Ok(())
    }

    /// Whether this committer may commit now.
    pub(super) fn admit(
        &self,
        id: &GroupId,
        by: &Committer,
        kind: CommitKind,
    ) -> Result<(), CommandError> {
        // A consumer without a group's protocol, or a tool: fine while no members could be contradicted.
        if by.generation.is_none() && self.is_empty() {
            return Ok(());
        }
        if by.is_nobody() {
            return match kind {
                CommitKind::Transactional => Ok(()),
                CommitKind::Plain => Err(CommandError::UnknownMember { group: id.clone() }),
            };
        }
        self.check_member(id, by)?;
        if by.generation != Some(self.generation) {
            let (found, current) = (by.generation, Some(self.generation));
            return Err(CommandError::IllegalGeneration {
                group: id.clone(),
                found,
                current,
            });
        }
        Ok(())
    }

    fn check_member(&self, id: &GroupId, by: &Committer) -> Result<(), CommandError> {
        let unknown = || CommandError::UnknownMember { group: id.clone() };
        if let Some(instance) = &by.instance {
            let holder = self
                .members()
                .find(|member| member.instance_id.as_ref() == Some(instance));
            if Some(&holder.ok_or_else(unknown)?.id) != by.member.as_ref() {
                return Err(CommandError::FencedInstance {
                    group: id.clone(),
                    instance: instance.clone(),
                });
            }
        }
        let member = by.member.as_ref().ok_or_else(unknown)?;
        self.members.get(member).map(|_| ()).ok_or_else(unknown)
    }

    /// Commits offsets.
    pub(super) fn commit(&mut self, offsets: &[NewOffset], time: CommitTime) {
        for offset in offsets {
            self.offsets
                .insert(offset.partition.clone(), CommittedOffset::new(offset, time));
        }
    }

    /// Notes offsets of an open transaction.
    pub(super) fn hold(&mut self, producer: ProducerId, offsets: &[NewOffset], time: CommitTime) {
        let held = self.pending.entry(producer).or_default();
        for offset in offsets {
            held.insert(offset.partition.clone(), CommittedOffset::new(offset, time));
        }
    }

    /// The transaction was committed: what it held counts, where nothing later does.
    pub(super) fn release(&mut self, producer: ProducerId) {
        for (partition, held) in self.pending.remove(&producer).unwrap_or_default() {
            let later = self
                .offsets
                .get(&partition)
                .is_some_and(|committed| held.entry < committed.entry);
            if !later {
                self.offsets.insert(partition, held);
            }
        }
    }

    /// The transaction was aborted.
    pub(super) fn drop_held(&mut self, producer: ProducerId) {
        self.pending.remove(&producer);
    }

    pub(super) fn delete_offsets(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| {
            self.offsets.remove(partition);
        });
    }

    /// A topic is gone, and its offsets with it.
    pub(super) fn forget_topic(&mut self, topic: &TopicName) {
        self.offsets
            .retain(|partition, _| partition.topic != *topic);
        for held in self.pending.values_mut() {
            held.retain(|partition, _| partition.topic != *topic);
        }
        self.pending.retain(|_, held| !held.is_empty());
    }

    /// Forgets old offsets; answers how many. A group with members keeps all: which topics they still want is not known
    /// here, and keeping too much loses nothing.
    pub(super) fn expire(
        &mut self,
        committed_before: TimestampMs,
        jumps: &ClockJumps,
        now: TimestampMs,
    ) -> usize {
        if !self.is_empty() {
            return 0;
        }
        let idle_since = self.changed_at;
        let pending = &self.pending;
        let is_old = |partition: &TopicPartition, committed: &CommittedOffset| {
            let unstable = pending.values().any(|held| held.contains_key(partition));
            let old = match committed.expires_at {
                Some(expires_at) => committed.is_due(expires_at, jumps, now),
                None => committed.committed_at.max(idle_since) < committed_before,
            };
            old && !unstable
        };
        let before = self.offsets.len();
        self.offsets
            .retain(|partition, committed| !is_old(partition, committed));
        before - self.offsets.len()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_idle(&self, since: TimestampMs) -> bool {
        self.is_unused() && self.changed_at < since
    }
}
