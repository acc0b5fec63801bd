//! When a checkpoint is due, and which entries may go once it is durable.

use super::Replica;
use crate::consensus::Keep;
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::effect::Effect;
use crate::storage::Checkpoint;

/// When the next checkpoint is due.
pub(super) struct CheckpointPlan {
    pub(super) bytes_between: u64,
    pub(super) bytes_since: u64,
    pub(super) under_way: bool,
    /// The last entry that a durable checkpoint covers.
    pub(super) durable: EntryIndex,
    /// Up to here the entries are gone from memory and journal.
    pub(super) trimmed: EntryIndex,
}

impl CheckpointPlan {
    /// Up to a quarter more, by the replica's name: all replicas apply the same bytes, and if all of them wrote their
    /// checkpoints at once, no quick disk would be left to hold the leader's majority together.
    pub(super) fn spread(bytes: u64, replica: ReplicaId) -> u64 {
        bytes.saturating_add(bytes / 4 / 256 * (replica.0 % 256))
    }
}

impl Replica {
    /// Whether the checkpoint's files are being written or held.
    pub(in crate::node) fn is_checkpointing(&self) -> bool {
        self.checkpoint.under_way || self.snapshot.holding
    }

    /// The one that was under way will not become durable here.
    pub(in crate::node) fn checkpoint_ended(&mut self) {
        self.checkpoint.under_way = false;
    }

    /// Takes a checkpoint of this moment. None may be under way.
    pub(in crate::node) fn capture_checkpoint(&mut self, effects: &mut Vec<Effect>) {
        self.checkpoint.under_way = true;
        self.checkpoint.bytes_since = 0;
        let state = self
            .shared
            .state
            .read()
            .expect("this thread is the only one that writes it");
        let captured = self.shared.partitions().capture(Checkpoint {
            applied: self.applied,
            epoch: self.applied_epoch,
            state: state.encode().into(),
            membership: self.membership.encode().into(),
        });
        effects.push(Effect::SealCheckpoint {
            hard_state: self.driver.hard_state(),
            captured,
        });
    }

    pub(super) fn capture_checkpoint_when_due(&mut self, effects: &mut Vec<Effect>) {
        if self.is_checkpointing() || self.checkpoint.bytes_since < self.checkpoint.bytes_between {
            return;
        }
        self.capture_checkpoint(effects);
    }

    /// Lets go of entries that a durable checkpoint covers, but for those that a follower is about to need.
    pub(super) fn trim(&mut self, effects: &mut Vec<Effect>) {
        if self.checkpoint.durable <= self.checkpoint.trimmed {
            return;
        }
        let trimmed = self.driver.trim(self.checkpoint.durable, &self.keep());
        if self.checkpoint.trimmed < trimmed {
            self.checkpoint.trimmed = trimmed;
            effects.push(Effect::TrimJournal {
                before: EntryIndex(trimmed.0 + 1),
            });
        }
    }

    fn keep(&self) -> Keep {
        if self.is_alone() && self.membership.learners.is_empty() {
            return Keep::NOTHING;
        }
        let followers = self.driver.followers();
        let needed = self.followers.slowest(self.me(), &followers);
        let pinned = self.snapshot.held.as_ref().map(|held| held.applied);
        let bytes = self.checkpoint.bytes_between;
        Keep {
            after: needed
                .into_iter()
                .chain(pinned)
                .min()
                .unwrap_or(EntryIndex(u64::MAX)),
            bytes_min: bytes / 4,
            bytes_max: bytes.saturating_mul(2),
        }
    }
}
