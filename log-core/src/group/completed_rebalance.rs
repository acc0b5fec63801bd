//! What must survive of a group: its latest generation, as it is recorded and as a new coordinator resumes it.

use std::time::Duration;

use bytes::Bytes;

use crate::ids::{Generation, GroupInstanceId, MemberId};

/// A generation that stands. Without members the group is empty, and nobody may commit as a member.
///
/// The same generation is recorded again when a static member returned under a new member id; else the generation
/// has grown since the record before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedRebalance {
    /// The generation.
    pub generation: Generation,
    /// The type that all members share; kept when the group becomes empty.
    pub protocol_type: Option<String>,
    /// The protocol that won the vote; none without members.
    pub protocol_name: Option<String>,
    /// Who assigned; none without members.
    pub leader: Option<MemberId>,
    /// Who is in, by member id, each once.
    pub members: Vec<RecordedMember>,
}

/// One member of a generation that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its static identity.
    pub instance_id: Option<GroupInstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// From where it connected.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long the others wait for it in a rebalance.
    pub rebalance_timeout: Duration,
    /// Its subscription in the winning protocol.
    pub metadata: Bytes,
    /// What it owns.
    pub assignment: Bytes,
}
