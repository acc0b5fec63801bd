//! What a group is told: requests of its members, the fate of its records, and the passing of time.

use bytes::Bytes;
use uuid::Uuid;

use super::member::Profile;
use super::record_id::RecordId;
use crate::ids::{Generation, GroupInstanceId, MemberId, RequestId};

/// One thing that happened. Each request is answered exactly once, perhaps much later.
#[derive(Clone, Debug)]
pub enum Input {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Leave),
    /// The record is applied: what waited for it may be answered.
    Recorded(RecordId),
    /// The record was not, or perhaps not, applied, and its proposer still coordinates the group.
    RecordFailed(RecordId),
    /// Time passed: what is due happens. Harmless at any time.
    Tick,
    /// This node coordinates the group no longer: everything is answered NOT_COORDINATOR, now and later.
    Retire,
}

/// What the version of a JoinGroup says about the client's abilities; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JoinAbility {
    /// v0 to v3: a newcomer is admitted with its first request.
    OneStep,
    /// v4 to v8: a newcomer is first told its id and joins with that (KIP-394).
    TwoSteps,
    /// v9: a static leader that returns can be told not to assign again (KIP-814).
    SkipAssignment,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct Join {
    /// Whom to answer.
    pub from: RequestId,
    /// What the client understands.
    pub ability: JoinAbility,
    /// The member, or none for a newcomer and for a static member that comes back.
    pub member_id: Option<MemberId>,
    /// Makes the id of a newcomer unique: dice thrown by the shell.
    pub fresh: Uuid,
    /// `consumer`, `connect`, ...: all members of a group have the same.
    pub protocol_type: String,
    /// The rest of what the member says about itself.
    pub profile: Profile,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct Sync {
    /// Whom to answer.
    pub from: RequestId,
    /// Who asks.
    pub caller: Caller,
    /// Checked when given (v5, KIP-559).
    pub protocol_type: Option<String>,
    /// Checked when given (v5, KIP-559).
    pub protocol_name: Option<String>,
    /// From the leader: what each member gets. Ignored from anybody else.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Whom to answer.
    pub from: RequestId,
    /// Who lives.
    pub caller: Caller,
}

/// A member as it names itself in SyncGroup, Heartbeat and OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its id.
    pub member_id: MemberId,
    /// Its static identity, if it has one and the version of the request tells.
    pub instance_id: Option<GroupInstanceId>,
    /// The generation it believes in; None where the wire says -1.
    pub generation: Option<Generation>,
}

/// LeaveGroup: one member before v3, several from then on.
#[derive(Clone, Debug)]
pub struct Leave {
    /// Whom to answer.
    pub from: RequestId,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// One that leaves, or is made to leave by an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; None when only the static identity is known.
    pub member_id: Option<MemberId>,
    /// Its static identity.
    pub instance_id: Option<GroupInstanceId>,
}
