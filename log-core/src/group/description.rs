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

/// A group in a list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// As in [`Description::state`].
    pub state: &'static str,
    /// As in [`Description::protocol_type`].
    pub protocol_type: String,
}

impl Overview {
    /// A group that a new coordinator has not resumed yet: what it will look like.
    pub fn of_recorded(has_members: bool, protocol_type: Option<&str>) -> Self {
        let phase = if has_members {
            Phase::Stable { sync_by: None }
        } else {
            Phase::Empty {
                record_again_at: None,
            }
        };
        Self {
            state: phase.name(),
            protocol_type: protocol_type.unwrap_or_default().to_owned(),
        }
    }
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
    /// What an operator sees of it in a list of all.
    pub fn overview(&self) -> Overview {
        Overview {
            state: self.phase.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
        }
    }

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
