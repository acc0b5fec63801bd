//! What the journal keeps: entries, and the hard state that Raft must not forget (Raft thesis, figure 3.1).

use bytes::Bytes;

use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A command of the state machine; an empty payload is a new leader's first entry, which changes nothing.
    Command,
    /// A change of the voter set: a `ConfChangeV2` in its protobuf encoding.
    Membership,
}

/// One place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place. Writing an entry at a place that is taken drops what stood there and everything after.
    pub index: EntryIndex,
    /// The epoch of the leader that proposed it.
    pub epoch: LeaderEpoch,
    /// How to read the payload.
    pub kind: EntryKind,
    /// The command or membership change.
    pub payload: Bytes,
}

/// What a replica has promised: synced before any message that relies on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest epoch seen.
    pub epoch: LeaderEpoch,
    /// Who got this replica's vote in that epoch.
    pub vote: Option<ReplicaId>,
    /// Up to where entries are known to be committed (inclusive; 0 for none). May lag, needs no sync of its own.
    pub commit: EntryIndex,
}
