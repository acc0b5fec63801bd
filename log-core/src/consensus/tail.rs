//! The newest entries, in memory: what `raft` reads instead of the journal. A follower that needs older ones gets a
//! checkpoint as a snapshot, once the shell holds one for it.

use std::cell::Cell;
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
    /// Bytes of the entries' payloads.
    bytes: u64,
    hard_state: RaftHardState,
    membership: ConfState,
    /// What a follower too far behind is given.
    snapshot: Option<Snapshot>,
    /// Whether one was asked for and could not be given.
    snapshot_wanted: Cell<bool>,
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
            bytes: 0,
            hard_state: hard_state_to_raft(hard_state),
            membership,
            snapshot: None,
            snapshot_wanted: Cell::new(false),
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
            self.truncate(kept);
            self.bytes += entry.data.len() as u64;
            self.entries.push_back(entry);
        }
    }

    /// Forgets the entries up to `covered`, oldest first, that `keep` does not ask for. Says up to where they are gone.
    pub(super) fn trim(&mut self, covered: EntryIndex, keep: &Keep) -> EntryIndex {
        while let Some(entry) = self.entries.front()
            && entry.index <= covered.0
            && !keep.asks_for(EntryIndex(entry.index), self.bytes)
        {
            let entry = self.entries.pop_front().expect("just seen");
            self.bytes -= entry.data.len() as u64;
            self.before = EntryIndex(entry.index);
            self.epoch_before = epoch_of(entry.term);
        }
        self.before
    }

    /// Gives followers that need older entries this snapshot; none takes the last one back.
    pub(super) fn offer(&mut self, snapshot: Option<Snapshot>) {
        self.snapshot = snapshot;
    }

    /// Whether a snapshot was asked for since the last call and could not be given.
    pub(super) fn take_snapshot_wanted(&self) -> bool {
        self.snapshot_wanted.take()
    }

    fn truncate(&mut self, kept: usize) {
        for dropped in self.entries.drain(kept..) {
            self.bytes -= dropped.data.len() as u64;
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

    /// One that ends before the first entry kept would leave a hole.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let reaches = |snapshot: &&Snapshot| {
            let index = snapshot.get_metadata().index;
            self.before.0 <= index && request_index <= index
        };
        self.snapshot
            .as_ref()
            .filter(reaches)
            .cloned()
            .ok_or_else(|| {
                self.snapshot_wanted.set(true);
                RaftError::Store(StorageError::SnapshotTemporarilyUnavailable)
            })
    }
}

/// Which entries stay although a checkpoint covers them.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Those after this index: a follower is about to need them.
    pub after: EntryIndex,
    /// The newest, up to so many bytes: a follower that is a moment behind should not need a snapshot.
    pub bytes_min: u64,
    /// Never more than so many bytes.
    pub bytes_max: u64,
}

impl Keep {
    /// Nothing but what no checkpoint covers.
    pub const NOTHING: Self = Self {
        after: EntryIndex(u64::MAX),
        bytes_min: 0,
        bytes_max: 0,
    };

    /// Whether the oldest entry should stay, where all of them together have so many bytes.
    fn asks_for(&self, oldest: EntryIndex, bytes: u64) -> bool {
        bytes <= self.bytes_max && (self.after < oldest || bytes < self.bytes_min)
    }
}

pub(super) fn epoch_of(term: u64) -> LeaderEpoch {
    let epoch = u32::try_from(term)
        .ok()
        .filter(|epoch| *epoch <= LeaderEpoch::MAX.0);
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
