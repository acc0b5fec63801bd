//! What can happen to a node.

use std::time::Duration;

use super::disk_room::RoomReport;
use super::requests::Until;
use super::voter_change::VoterChange;
use crate::consensus::{HeldSnapshot, Message, Quorum};
use crate::group;
use crate::group::Caller;
use crate::ids::{EntryIndex, GroupId, ReplicaId, RequestId};
use crate::state::Command;
use crate::storage::{PendingCheckpoint, Synced};

/// What can happen to a node.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection or the operator asks for something. Answered once, with [`super::Effect::Reply`].
    Request {
        /// Names it; no two have the same.
        id: RequestId,
        /// What is asked for.
        request: NodeRequest,
    },
    /// Another node says how it is.
    Status {
        /// Who.
        from: ReplicaId,
        /// The room on its disk.
        room: RoomReport,
        /// From a leader: who decides and how far they are.
        quorum: Option<Quorum>,
    },
    /// So much is free on this node's own disk; the driver looks once a second.
    DiskFree {
        /// Its reserve included.
        bytes: u64,
    },
    /// A group was deleted: the coordinator forgets it, unless a member has joined meanwhile.
    ForgetGroup(GroupId),
    /// This step and all before it are on disk.
    Persisted {
        /// The step's number.
        number: u64,
    },
    /// Another replica says something.
    Message(Message),
    /// Time passes.
    Tick,
    /// The promise that a checkpoint relies on is on disk, as [`super::Effect::SealCheckpoint`] asked.
    CheckpointSealed(PendingCheckpoint, Synced),
    /// The journal has ended, as [`super::Effect::EndJournal`] asked.
    JournalEnded,
    /// Hand over, answer, take a checkpoint; [`super::Effect::Ended`] follows.
    Stop,
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

/// What is asked of a node.
#[derive(Debug)]
pub(crate) enum NodeRequest {
    /// Apply a command. Replied to with [`super::NodeReply::Outcome`].
    Propose(Command),
    /// Apply a produce. Replied to with [`super::NodeReply::Outcome`], by its deadline at the latest.
    Produce {
        /// The command.
        command: Command,
        /// When it is answered.
        until: Until,
        /// Until when, by the time that has passed.
        deadline: Duration,
    },
    /// Change who votes: all the steps of it, and their proofs. Replied to with [`super::NodeReply::VotersChanged`].
    ChangeVoters {
        /// How.
        change: VoterChange,
        /// Until when, by the time that has passed; the reply says then what was reached.
        deadline: Duration,
    },
    /// Say when what is current may be read. Replied to with [`super::NodeReply::Readable`].
    ReadBarrier,
    /// Something of the coordinator of the consumer groups.
    Group(GroupRequest),
}

/// What is asked of the coordinator of the consumer groups. Where this node does not coordinate, the reply is
/// NOT_COORDINATOR.
#[derive(Debug)]
pub(crate) enum GroupRequest {
    /// A member's request, which names its sender as the request is named. The reply, [`super::NodeReply::Member`], may take
    /// as long as a rebalance does.
    Member {
        /// The member's group.
        group: GroupId,
        /// What the member asks.
        input: group::Input,
    },
    /// May this commit be proposed? Replied to with [`super::NodeReply::Admitted`].
    AdmitCommit {
        /// The group whose offsets are to move.
        group: GroupId,
        /// The member that commits; none for a client that is no member.
        caller: Option<Caller>,
    },
    /// What does a group look like? Replied to with [`super::NodeReply::Described`].
    Describe(GroupId),
    /// Which groups have or had members? Replied to with [`super::NodeReply::Listed`].
    List,
}

/// A snapshot could not be fetched; the leader will tell again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotLost;
