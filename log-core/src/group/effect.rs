//! What must happen next, in the order in which it must happen.

use std::time::Duration;

use bytes::Bytes;

use super::completed_rebalance::CompletedRebalance;
use super::error::GroupError;
use super::input::{Input, LeavingMember};
use super::record_id::RecordId;
use crate::ids::{Generation, GroupInstanceId, MemberId, RequestId};

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Propose this as a command, in order, and report [`super::Input::Recorded`] or [`super::Input::RecordFailed`].
    Record {
        /// To be named in the report.
        id: RecordId,
        /// What is to be true from then on.
        rebalance: CompletedRebalance,
    },
    /// Answer a request.
    Reply {
        /// The request.
        to: RequestId,
        /// The answer.
        response: Response,
    },
    /// Give [`super::Input::Tick`] at this time. Replaces the time given before.
    WakeAt(Duration),
}

/// An answer, of the kind of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To JoinGroup.
    Join(Result<Joined, GroupError>),
    /// To SyncGroup.
    Sync(Result<Synced, GroupError>),
    /// To Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To LeaveGroup.
    Leave(Result<Vec<LeaveResult>, GroupError>),
}

impl Response {
    /// The answer to a member whose request is refused; none to what is no request.
    pub fn refusing(input: &Input, error: GroupError) -> Option<Self> {
        match input {
            Input::Join(_) => Some(Self::Join(Err(error))),
            Input::Sync(_) => Some(Self::Sync(Err(error))),
            Input::Heartbeat(_) => Some(Self::Heartbeat(Err(error))),
            Input::Leave(_) => Some(Self::Leave(Err(error))),
            Input::Recorded(_) | Input::RecordFailed(_) | Input::Tick | Input::Retire => None,
        }
    }
}

/// A member is part of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: Generation,
    /// The type that all members share.
    pub protocol_type: String,
    /// The protocol that won the vote.
    pub protocol_name: String,
    /// Who assigns. A static leader that returns with a version below 9 is shown its own old id, so that it does not.
    pub leader: MemberId,
    /// The id of the member that is answered.
    pub member_id: MemberId,
    /// All members, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
    /// The leader must not assign again: the assignment stands (KIP-814).
    pub skip_assignment: bool,
}

/// What the leader learns about one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its static identity.
    pub instance_id: Option<GroupInstanceId>,
    /// Its subscription in the winning protocol.
    pub metadata: Bytes,
}

/// A member has its assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The type that all members share.
    pub protocol_type: String,
    /// The protocol of the generation.
    pub protocol_name: String,
    /// What it owns: bytes between the consumers.
    pub assignment: Bytes,
}

/// What became of one of those that were to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveResult {
    /// As it was named.
    pub leaver: LeavingMember,
    /// Gone, or why not.
    pub result: Result<(), GroupError>,
}
