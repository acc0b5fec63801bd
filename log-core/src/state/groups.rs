//! All consumer groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock_jumps::ClockJumps;
use super::command::{
    Committer, CompleteRebalance, DeleteGroup, DeleteOffsets, ExpireOffsets, NewOffset,
};
use super::command_error::CommandError;
use super::group::{CommitKind, CommitTime, ConsumerGroup};
use crate::ids::{GroupId, ProducerId, TimestampMs, TopicName};

/// All consumer groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Groups(pub(super) BTreeMap<GroupId, ConsumerGroup>);

impl Groups {
    pub(super) fn complete(
        &mut self,
        rebalance: &CompleteRebalance,
        at: TimestampMs,
    ) -> Result<(), CommandError> {
        self.0
            .entry(rebalance.group.clone())
            .or_default()
            .complete(rebalance, at)
    }

    /// Whether this committer may commit. A group that nobody knows is made by the first commit from outside any generation.
    pub(super) fn admit(
        &self,
        group: &GroupId,
        by: &Committer,
        kind: CommitKind,
    ) -> Result<(), CommandError> {
        if let Some(known) = self.0.get(group) {
            return known.admit(group, by, kind);
        }
        match by.generation {
            None => Ok(()),
            found => Err(CommandError::IllegalGeneration {
                group: group.clone(),
                found,
                current: None,
            }),
        }
    }

    pub(super) fn commit(&mut self, group: &GroupId, offsets: &[NewOffset], time: CommitTime) {
        self.0
            .entry(group.clone())
            .or_default()
            .commit(offsets, time);
    }

    pub(super) fn hold(
        &mut self,
        group: &GroupId,
        producer: ProducerId,
        offsets: &[NewOffset],
        time: CommitTime,
    ) {
        self.0
            .entry(group.clone())
            .or_default()
            .hold(producer, offsets, time);
    }

    pub(super) fn release(&mut self, group: &GroupId, producer: ProducerId) {
        if let Some(group) = self.0.get_mut(group) {
            group.release(producer);
        }
    }

    pub(super) fn drop_held(&mut self, group: &GroupId, producer: ProducerId) {
        if let Some(group) = self.0.get_mut(group) {
            group.drop_held(producer);
        }
    }

    pub(super) fn delete_offsets(&mut self, delete: &DeleteOffsets) -> Result<(), CommandError> {
        let not_found = || CommandError::GroupNotFound {
            group: delete.group.clone(),
        };
        self.0
            .get_mut(&delete.group)
            .ok_or_else(not_found)?
            .delete_offsets(&delete.partitions);
        Ok(())
    }

    pub(super) fn delete(&mut self, delete: &DeleteGroup) -> Result<(), CommandError> {
        let DeleteGroup { group } = delete.clone();
        let Some(known) = self.0.get(&group) else {
            return Err(CommandError::GroupNotFound { group });
        };
        if !known.is_empty() || known.has_pending() {
            return Err(CommandError::GroupNotEmpty { group });
        }
        self.0.remove(&group);
        Ok(())
    }

    /// Forgets old offsets, then the groups that have nothing left; answers how many offsets.
    pub(super) fn expire(
        &mut self,
        expire: &ExpireOffsets,
        jumps: &ClockJumps,
        now: TimestampMs,
    ) -> usize {
        let count = self
            .0
            .values_mut()
            .map(|group| group.expire(expire.committed_before, jumps, now))
            .sum();
        self.0
            .retain(|_, group| !group.is_idle(expire.committed_before));
        count
    }

    pub(super) fn forget_topic(&mut self, topic: &TopicName) {
        self.0
            .values_mut()
            .for_each(|group| group.forget_topic(topic));
    }
}
