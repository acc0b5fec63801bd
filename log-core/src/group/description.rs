//! What an operator sees of a group: DescribeGroups and ListGroups.

use bytes::Bytes;

use crate::ids::{GroupInstanceId, MemberId};

/// A group as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Kafka's word for where the group is in its protocol: `Empty`, `PreparingRebalance`, `CompletingRebalance`,
    /// `Stable` or `Dead`.
    pub state: &'static str,
    /// The type that all members share; empty when there was never a member.
    pub protocol_type: String,
    /// The protocol of the generation; empty unless the group is stable, as in Kafka.
    pub protocol_name: String,
    /// The members, by id.
    pub members: Vec<DescribedMember>,
}

/// One member as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its static identity.
    pub instance_id: Option<GroupInstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// From where it connected.
    pub client_host: String,
    /// Its subscription; empty unless the group is stable, as in Kafka.
    pub metadata: Bytes,
    /// What it owns; empty unless the group is stable.
    pub assignment: Bytes,
}
