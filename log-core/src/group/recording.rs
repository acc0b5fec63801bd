//! What must survive goes out as a record, comes back as its fate, and is resumed from by the next coordinator.

use std::time::Duration;

use super::completed_rebalance::{CompletedRebalance, RecordedMember};
use super::config::GroupConfig;
use super::effect::{Effect, Response};
use super::error::GroupError;
use super::member::{Member, OpenRequest, Profile, Protocol};
use super::phase::Phase;
use super::record_id::RecordId;
use super::records::Awaited;
use super::{Group, refuse_awaited};
use crate::ids::MemberId;

/// How long after a failed record it is tried again that a group is empty.
pub(super) const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Group {
    /// The group that was recorded last, on a new coordinator: everybody has a whole session timeout to be heard.
    /// Give it an [`Input::Tick`](super::Input::Tick) to learn when to wake it.
    pub fn resume(config: GroupConfig, recorded: CompletedRebalance, now: Duration) -> Self {
        let mut group = Self::new(config);
        group.generation = recorded.generation;
        group.protocol_type = recorded.protocol_type;
        group.leader = recorded.leader;
        if !recorded.members.is_empty() {
            group.phase = Phase::Stable { sync_by: None };
        }
        let protocol_name = recorded.protocol_name.unwrap_or_default();
        for member in recorded.members {
            group.resume_member(member, &protocol_name, now);
        }
        group.protocol_name = (!group.members.is_empty()).then_some(protocol_name);
        group.assert_invariants();
        group
    }

    fn resume_member(&mut self, recorded: RecordedMember, protocol_name: &str, now: Duration) {
        let profile = Profile {
            instance_id: recorded.instance_id.clone(),
            client_id: recorded.client_id,
            client_host: recorded.client_host,
            session_timeout: recorded.session_timeout,
            rebalance_timeout: recorded.rebalance_timeout,
            protocols: vec![Protocol {
                name: protocol_name.to_owned(),
                metadata: recorded.metadata,
            }],
        };
        let expires_at = Some(now + profile.session_timeout);
        let assignment = recorded.assignment;
        let member = Member {
            profile,
            assignment,
            waiting: OpenRequest::Nothing,
            synced: true,
            expires_at,
        };
        self.members.insert(recorded.member_id.clone(), member);
        if let Some(instance_id) = recorded.instance_id {
            self.instances.insert(instance_id, recorded.member_id);
        }
    }

    /// Asks for the group's state to be recorded, together with what waits for that.
    pub(super) fn record(&mut self, awaited: Awaited, effects: &mut Vec<Effect>) -> RecordId {
        let id = self.records.open(awaited);
        effects.push(Effect::Record {
            id,
            rebalance: self.to_be_recorded(),
        });
        id
    }

    fn to_be_recorded(&self) -> CompletedRebalance {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| RecordedMember {
            member_id: id.clone(),
            instance_id: member.profile.instance_id.clone(),
            client_id: member.profile.client_id.clone(),
            client_host: member.profile.client_host.clone(),
            session_timeout: member.profile.session_timeout,
            rebalance_timeout: member.profile.rebalance_timeout,
            metadata: member.profile.metadata(protocol_name),
            assignment: member.assignment.clone(),
        });
        CompletedRebalance {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }

    pub(super) fn recorded(&mut self, now: Duration, id: RecordId, effects: &mut Vec<Effect>) {
        match self.records.close(id) {
            Some(Awaited::Assignment) => self.assignment_recorded(now, id, effects),
            Some(Awaited::StaticReturn { to, joined }) => {
                let result = self
                    .check_identity_still_stands(&joined.member_id)
                    .map(|()| *joined);
                effects.push(Effect::Reply {
                    to,
                    response: Response::Join(result),
                });
            }
            Some(Awaited::Emptied {
                leave: Some((to, left)),
            }) => {
                effects.push(Effect::Reply {
                    to,
                    response: Response::Leave(Ok(left)),
                });
            }
            Some(Awaited::Emptied { leave: None }) | None => {}
        }
    }

    /// A static member that returned may have been replaced once more before its return was recorded.
    fn check_identity_still_stands(&self, id: &MemberId) -> Result<(), GroupError> {
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(GroupError::FencedInstanceId)
        }
    }

    /// The record may still be applied, so its generation is not used again: the members gather for the next one.
    pub(super) fn record_failed(&mut self, now: Duration, id: RecordId, effects: &mut Vec<Effect>) {
        let Some(awaited) = self.records.close(id) else {
            return;
        };
        match awaited {
            Awaited::Assignment => self.assignment_not_recorded(now, id, effects),
            Awaited::StaticReturn { .. } => {}
            Awaited::Emptied { .. } => self.record_that_it_is_empty_later(now),
        }
        refuse_awaited(awaited, &GroupError::CoordinatorNotAvailable, effects);
    }

    fn record_that_it_is_empty_later(&mut self, now: Duration) {
        if let Phase::Empty { record_again_at } = &mut self.phase {
            *record_again_at = Some(now + RECORD_AGAIN_AFTER);
        }
    }
}
