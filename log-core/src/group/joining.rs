//! JoinGroup: who comes in, under which id, and whether that makes the group rebalance.

use std::time::Duration;

use bytes::Bytes;

use super::effect::{Effect, Joined, JoinedMember, Response};
use super::error::GroupError;
use super::input::{Join, JoinAbility};
use super::member::{Member, OpenRequest, Profile};
use super::phase::Phase;
use super::records::Awaited;
use super::{Group, refuse};
use crate::ids::{GroupInstanceId, MemberId, RequestId};

/// A newcomer cannot be told from a dead one while its JoinGroup waits: it cannot beat before it has joined. After this
/// it is dropped, and comes again if it lives (Kafka's `NewMemberJoinTimeoutMs`).
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Group {
    pub(super) fn join(&mut self, now: Duration, join: Join, effects: &mut Vec<Effect>) {
        let from = join.from;
        if let Err(error) = self.admit(now, join, effects) {
            effects.push(Effect::Reply {
                to: from,
                response: Response::Join(Err(error)),
            });
        }
    }

    fn admit(
        &mut self,
        now: Duration,
        join: Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        if matches!(self.phase, Phase::Dead) {
            return Err(GroupError::NotCoordinator);
        }
        self.check_session_timeout(&join.profile)?;
        match (join.member_id.clone(), join.profile.instance_id.clone()) {
            (None, None) => self.admit_newcomer(now, join, effects),
            (None, Some(instance_id)) => self.admit_static(now, instance_id, join, effects),
            (Some(id), None) if self.told.contains_key(&id) => {
                self.admit_told(now, id, join, effects)
            }
            (Some(id), _) => self.rejoin(now, &id, join, effects),
        }
    }

    fn check_session_timeout(&self, profile: &Profile) -> Result<(), GroupError> {
        let allowed = self.config.session_timeout_min..=self.config.session_timeout_max;
        if allowed.contains(&profile.session_timeout) {
            Ok(())
        } else {
            Err(GroupError::InvalidSessionTimeout)
        }
    }

    fn check_room(&self) -> Result<(), GroupError> {
        let taken = self.members.len() + self.told.len();
        if taken < self.config.size_max {
            Ok(())
        } else {
            Err(GroupError::GroupMaxSizeReached)
        }
    }

    /// There must be a protocol that this member and all others know. Its own earlier offer does not count.
    fn check_protocols(&self, join: &Join, own: Option<&MemberId>) -> Result<(), GroupError> {
        let others = || {
            self.members
                .iter()
                .filter(|(id, _)| Some(*id) != own)
                .map(|(_, member)| &member.profile)
        };
        let known_to_all = |name: &str| others().all(|profile| profile.supports(name));
        let of_the_type = match &self.protocol_type {
            Some(protocol_type) if !self.members.is_empty() => *protocol_type == join.protocol_type,
            _ => !join.protocol_type.is_empty(),
        };
        if of_the_type
            && join
                .profile
                .protocols
                .iter()
                .any(|protocol| known_to_all(&protocol.name))
        {
            return Ok(());
        }
        Err(GroupError::InconsistentGroupProtocol)
    }

    fn admit_newcomer(
        &mut self,
        now: Duration,
        join: Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        self.check_room()?;
        self.check_protocols(&join, None)?;
        let id = MemberId::new(format!("{}-{}", join.profile.client_id, join.fresh));
        if JoinAbility::TwoSteps <= join.ability {
            self.told
                .insert(id.clone(), now + join.profile.session_timeout);
            return Err(GroupError::MemberIdRequired { member_id: id });
        }
        self.add(now, id, join, effects);
        Ok(())
    }

    fn admit_told(
        &mut self,
        now: Duration,
        id: MemberId,
        join: Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        self.check_protocols(&join, None)?;
        self.told.remove(&id);
        self.add(now, id, join, effects);
        Ok(())
    }

    fn admit_static(
        &mut self,
        now: Duration,
        instance_id: GroupInstanceId,
        join: Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        let id = MemberId::new(format!("{instance_id}-{}", join.fresh));
        let Some(old) = self.instances.get(&instance_id).cloned() else {
            self.check_room()?;
            self.check_protocols(&join, None)?;
            self.add(now, id, join, effects);
            return Ok(());
        };
        self.check_protocols(&join, Some(&old))?;
        self.take_back(now, &old, id, join, effects);
        Ok(())
    }

    fn add(&mut self, now: Duration, id: MemberId, join: Join, effects: &mut Vec<Effect>) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        if let Some(instance_id) = &join.profile.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        let member = Member {
            profile: join.profile,
            assignment: Bytes::new(),
            waiting: OpenRequest::Join(join.from),
            synced: false,
            expires_at: Some(now + NEWCOMER_PATIENCE),
        };
        self.members.insert(id, member);
        self.note_a_newcomer();
        self.begin_to_gather(now, effects);
        self.finish_gathering_if_all_are_here(now, effects);
    }

    /// The first one begins the delay, and does not prolong it.
    fn note_a_newcomer(&mut self) {
        if let Phase::PreparingRebalance(gathering) = &mut self.phase
            && let Some(delay) = &mut gathering.initial_delay
        {
            delay.newcomers = true;
        }
    }

    /// A static member is back, under a new id. In a stable group whose protocol stays the same it finds its
    /// assignment as it left it and nobody else notices (KIP-345).
    fn take_back(
        &mut self,
        now: Duration,
        old: &MemberId,
        id: MemberId,
        join: Join,
        effects: &mut Vec<Effect>,
    ) {
        let (from, ability) = (join.from, join.ability);
        let led_by = self.leader.clone();
        self.replace(now, old, &id, join.profile, effects);
        let stands =
            matches!(self.phase, Phase::Stable { .. }) && self.protocol_name == Some(self.vote());
        if !stands {
            return self.gather_with(now, &id, from, effects);
        }
        let mut joined = self.joined(&id);
        joined.skip_assignment =
            self.leader.as_ref() == Some(&id) && JoinAbility::SkipAssignment <= ability;
        if !joined.skip_assignment {
            joined.leader = led_by.expect("a stable group has a leader");
            joined.members.clear();
        }
        self.record(
            Awaited::StaticReturn {
                to: from,
                joined: Box::new(joined),
            },
            effects,
        );
    }

    fn replace(
        &mut self,
        now: Duration,
        old: &MemberId,
        id: &MemberId,
        profile: Profile,
        effects: &mut Vec<Effect>,
    ) {
        let mut member = self
            .members
            .remove(old)
            .expect("a static identity belongs to a member");
        refuse(
            member.stop_waiting(now),
            &GroupError::FencedInstanceId,
            effects,
        );
        if let Some(instance_id) = &profile.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        member.profile = profile;
        member.touch(now);
        self.members.insert(id.clone(), member);
    }

    fn rejoin(
        &mut self,
        now: Duration,
        id: &MemberId,
        join: Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        self.check_identity(id, join.profile.instance_id.as_ref())?;
        self.check_protocols(&join, Some(id))?;
        if self.has_news(id, &join.profile) {
            self.renew(id, join.profile);
            self.gather_with(now, id, join.from, effects);
            return Ok(());
        }
        self.touch(id, now);
        let joined = Box::new(self.joined(id));
        effects.push(Effect::Reply {
            to: join.from,
            response: Response::Join(Ok(*joined)),
        });
        Ok(())
    }

    /// Whether a member that joins again wants a new generation, rather than to hear once more of this one. A leader
    /// does: this is how it tells of topics that changed.
    fn has_news(&self, id: &MemberId, profile: &Profile) -> bool {
        let changed = self
            .members
            .get(id)
            .is_none_or(|member| member.profile.protocols != profile.protocols);
        match self.phase {
            Phase::CompletingRebalance { .. } => changed,
            Phase::Stable { .. } => changed || self.leader.as_ref() == Some(id),
            Phase::PreparingRebalance(_) | Phase::Empty { .. } | Phase::Dead => true,
        }
    }

    /// Takes over what a member now says of itself. An old client may leave out its static identity: that stays.
    fn renew(&mut self, id: &MemberId, mut profile: Profile) {
        let member = self.members.get_mut(id).expect("its identity was checked");
        profile.instance_id = member.profile.instance_id.take();
        member.profile = profile;
    }

    /// Gathers, if that has not begun, with this member waiting. What it had open before is superseded.
    fn gather_with(
        &mut self,
        now: Duration,
        id: &MemberId,
        from: RequestId,
        effects: &mut Vec<Effect>,
    ) {
        self.begin_to_gather(now, effects);
        let member = self.members.get_mut(id).expect("a member joins");
        let newcomer_until = member.expires_at.filter(|_| member.is_joining());
        refuse(
            member.stop_waiting(now),
            &GroupError::RebalanceInProgress,
            effects,
        );
        member.wait(OpenRequest::Join(from));
        member.expires_at = newcomer_until;
        self.finish_gathering_if_all_are_here(now, effects);
    }

    /// What a member is told of the generation.
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let leader = self.leader.clone().expect("a generation has a leader");
        let members = if leader == *id {
            self.members_for_the_leader()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol_name.clone().unwrap_or_default(),
            leader,
            member_id: id.clone(),
            members,
            skip_assignment: false,
        }
    }

    fn members_for_the_leader(&self) -> Vec<JoinedMember> {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.profile.instance_id.clone(),
            metadata: member.profile.metadata(protocol_name),
        });
        members.collect()
    }
}
