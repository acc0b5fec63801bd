//! What can happen to a replica.

use crate::consensus::{HeldSnapshot, MembershipChange, Message};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};
use crate::state::Command;

/// Names a question, so that its answer finds the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What can happen to a replica.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection or the operator wants a command applied. Answered with [`super::Effect::Answer`].
    Propose {
        /// Who asks.
        ticket: Ticket,
        /// What.
        command: Command,
        /// Only if this is still the epoch: what was decided in another is stale.
        only_in: Option<LeaderEpoch>,
    },
    /// The operator wants the members changed. Answered with [`super::Effect::Answer`].
    ChangeMembership {
        /// Who asks.
        ticket: Ticket,
        /// How.
        change: MembershipChange,
    },
    /// Another voter shall lead, if this one does.
    HandOver {
        /// Whom.
        to: ReplicaId,
    },
    /// A connection wants to read what is current. Answered with [`super::Effect::Readable`].
    Read {
        /// Who asks.
        ticket: Ticket,
    },
    /// This step and all before it are on disk.
    Persisted {
        /// The step's number.
        number: u64,
    },
    /// Another replica says something.
    Message(Message),
    /// Time passes.
    Tick,
    /// The checkpoint at this index is durable.
    CheckpointDurable {
        /// The last entry it covers.
        index: EntryIndex,
    },
    /// The newest checkpoint's files are held for followers, as [`super::Effect::HoldSnapshot`] asked; none when there is no
    /// checkpoint yet.
    SnapshotHeld(Option<HeldSnapshot>),
    /// A follower has fetched another part of the held snapshot.
    SnapshotServed {
        /// Who.
        to: ReplicaId,
    },
    /// The snapshot that [`super::Effect::FetchSnapshot`] asked for is here, whole and synced, or will not come.
    SnapshotFetched(Result<EntryIndex, SnapshotLost>),
}

/// A snapshot could not be fetched; the leader will tell again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotLost;
