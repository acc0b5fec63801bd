//! What an operator sees of a group: DescribeGroups and ListGroups.

use bytes::Bytes;

use super::Group;
use super::phase::Phase;
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

impl Group {
    /// What an operator sees.
    pub fn describe(&self) -> Description {
        let settled = matches!(self.phase, Phase::Stable { .. });
        let protocol_name = self
            .protocol_name
            .clone()
            .filter(|_| settled)
            .unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            member_id: id.clone(),
            instance_id: member.profile.instance_id.clone(),
            client_id: member.profile.client_id.clone(),
            client_host: member.profile.client_host.clone(),
            metadata: member.profile.metadata(&protocol_name),
            assignment: if settled {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        Description {
            state: self.phase.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol_name,
        }
    }
}
