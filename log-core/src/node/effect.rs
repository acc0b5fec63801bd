//! What must happen, in the order given.

use bytes::Bytes;

use super::housework::Housekept;
use super::published::Published;
use super::reply::NodeReply;
use crate::consensus::{Message, Persist};
use crate::entry::HardState;
use crate::ids::{EntryIndex, ReplicaId, RequestId};
use crate::storage::{PendingCheckpoint, Synced};

/// What must happen, in the order given.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Show this to those who watch. In a round it comes before every reply: a client that has one must not find an older
    /// leader, quorum or member list.
    Publish(Published),
    /// Write and sync.
    Persist(Persist),
    /// Tell another replica.
    Send(Message),
    /// Answer a request.
    Reply {
        /// Which.
        to: RequestId,
        /// The reply, of the request's kind.
        reply: NodeReply,
    },
    /// Write this promise; [`super::Input::CheckpointSealed`] follows.
    SealCheckpoint {
        /// Covers the checkpoint.
        hard_state: HardState,
        /// What the checkpoint keeps.
        captured: PendingCheckpoint,
    },
    /// Complete the checkpoint, away from the node's own thread; [`super::Input::CheckpointDurable`] follows.
    CompleteCheckpoint(PendingCheckpoint, Synced),
    /// The journal is no longer needed up to here (exclusive).
    TrimJournal {
        /// The first entry that stays.
        before: EntryIndex,
    },
    /// Hold the newest durable checkpoint's files. No checkpoint is written until [`super::Input::SnapshotHeld`].
    HoldSnapshot,
    /// The files held may go.
    ReleaseSnapshot,
    /// Fetch a snapshot's files; [`super::Input::SnapshotFetched`] says what came of it.
    FetchSnapshot {
        /// From whom.
        from: ReplicaId,
        /// The last entry that it covers.
        applied: EntryIndex,
        /// Which files.
        manifest: Bytes,
    },
    /// Let the journal finish: what was promised goes to disk first, a vote stays promised. From here on feed nothing but
    /// what other threads say, until [`super::Input::JournalEnded`] has let [`Effect::Install`] follow.
    EndJournal,
    /// Install what was fetched (`install`), and have the node go on from the folder ([`super::Node::go_on_from`]).
    Install {
        /// The last entry that it covers.
        applied: EntryIndex,
    },
    /// What was fetched is no longer needed.
    DropFetched,
    /// The operator may want to know of it.
    Housekept(Housekept),
    /// The clean end, which [`super::Input::Stop`] asked for.
    Ended,
}
