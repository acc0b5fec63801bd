//! The entries since the last checkpoint, in memory: what `raft` reads instead of the journal. A follower that needs
//! older ones gets a checkpoint. Bounded by the bytes between two checkpoints.

use std::collections::VecDeque;

use raft::eraftpb::{
    ConfState, Entry as RaftEntry, EntryType, HardState as RaftHardState, Snapshot,
};
use raft::{Error as RaftError, GetEntriesContext, RaftState, Storage, StorageError};

use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

pub(super) struct Tail {
    /// The place just before the first entry kept: the checkpoint's, or 0.
    before: EntryIndex,
    epoch_before: LeaderEpoch,
    entries: VecDeque<RaftEntry>,
    hard_state: RaftHardState,
    membership: ConfState,
}

impl Tail {
    pub(super) fn restore(
        checkpoint: (EntryIndex, LeaderEpoch),
        hard_state: HardState,
        membership: ConfState,
        entries: Vec<Entry>,
    ) -> Self {
        let mut tail = Self {
            before: checkpoint.0,
            epoch_before: checkpoint.1,
            entries: VecDeque::with_capacity(entries.len()),
            hard_state: hard_state_to_raft(hard_state),
            membership,
        };
        // The trim may lag behind the checkpoint: what the checkpoint covers is not needed.
        let newer = entries
            .into_iter()
            .filter(|entry| checkpoint.0 < entry.index);
        tail.append(newer.map(to_raft));
        tail
    }

    pub(super) fn append(&mut self, entries: impl Iterator<Item = RaftEntry>) {
        for entry in entries {
            let kept = entry
                .index
                .checked_sub(self.before.0 + 1)
                .expect("entries below a checkpoint are committed");
            let kept = usize::try_from(kept).expect("fewer entries than memory holds");
            assert!(
                kept <= self.entries.len(),
                "entry {} leaves a hole after {}",
                entry.index,
                self.last()
            );
            self.entries.truncate(kept);
            self.entries.push_back(entry);
        }
    }

    /// Forgets what the checkpoint at `index` covers.
    pub(super) fn trim_to(&mut self, index: EntryIndex) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.index <= index.0)
        {
            let entry = self.entries.pop_front().expect("just seen");
            self.before = EntryIndex(entry.index);
            self.epoch_before = epoch_of(entry.term);
        }
    }

    pub(super) fn set_membership(&mut self, membership: ConfState) {
        self.membership = membership;
    }

    fn last(&self) -> u64 {
        self.entries
            .back()
            .map_or(self.before.0, |entry| entry.index)
    }

    fn position(&self, index: u64) -> Result<usize, RaftError> {
        let kept = index
            .checked_sub(self.before.0 + 1)
            .ok_or(RaftError::Store(StorageError::Compacted))?;
        usize::try_from(kept).map_err(|_| RaftError::Store(StorageError::Unavailable))
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState {
            hard_state: self.hard_state.clone(),
            conf_state: self.membership.clone(),
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<RaftEntry>> {
        let range = self.position(low)?..self.position(high)?;
        assert!(
            range.end <= self.entries.len(),
            "entries up to {high} were asked for, the last is {}",
            self.last()
        );
        let mut found: Vec<_> = self.entries.range(range).cloned().collect();
        raft::util::limit_size(&mut found, max_size.into());
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(u64::from(self.epoch_before.0));
        }
        let entry = self.entries.get(self.position(index)?);
        entry
            .map(|entry| entry.term)
            .ok_or(RaftError::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(RaftError::Store(
            StorageError::SnapshotTemporarilyUnavailable,
        ))
    }
}

pub(super) fn epoch_of(term: u64) -> LeaderEpoch {
    let epoch = u32::try_from(term)
        .ok()
        .filter(|epoch| *epoch <= i32::MAX.unsigned_abs());
    LeaderEpoch(
        epoch.expect(
            "Kafka's leader epoch has 31 bits: two thousand million elections do not happen",
        ),
    )
}

pub(super) fn to_raft(entry: Entry) -> RaftEntry {
    let mut raft = RaftEntry::default();
    raft.set_index(entry.index.0);
    raft.set_term(u64::from(entry.epoch.0));
    raft.set_entry_type(match entry.kind {
        EntryKind::Command => EntryType::EntryNormal,
        EntryKind::Membership => EntryType::EntryConfChangeV2,
    });
    raft.data = entry.payload;
    raft
}

pub(super) fn from_raft(raft: RaftEntry) -> Entry {
    Entry {
        index: EntryIndex(raft.index),
        epoch: epoch_of(raft.term),
        kind: match raft.get_entry_type() {
            EntryType::EntryNormal => EntryKind::Command,
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Membership,
        },
        payload: raft.data,
    }
}

pub(super) fn hard_state_to_raft(hard_state: HardState) -> RaftHardState {
    let mut raft = RaftHardState::default();
    raft.set_term(u64::from(hard_state.epoch.0));
    raft.set_vote(hard_state.vote.map_or(0, |replica| replica.0));
    raft.set_commit(hard_state.commit.0);
    raft
}

pub(super) fn hard_state_from_raft(raft: &RaftHardState) -> HardState {
    HardState {
        epoch: epoch_of(raft.term),
        vote: (raft.vote != 0).then_some(ReplicaId(raft.vote)),
        commit: EntryIndex(raft.commit),
    }
}
