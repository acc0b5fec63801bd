//! One consumer group: its members, its generations, who owns what. Kafka's classic protocol, complete; eager and
//! cooperative consumers look the same from here.
//!
//! Decides only: no I/O, no clock, no dice, no await. The shell gives each input with the time, and performs the
//! effects in their order. What a member may rely on is recorded first: the answers that carry an assignment, the
//! return of a static member, and the leave of the last one wait until [`Input::Recorded`].
//!
//! Not here: committed offsets and their fencing, which the state machine does when it applies a commit. What the
//! bytes between consumers mean.
//!
//! Invariants: one member per static identity; a generation never comes back to another set of owners; each request
//! is answered exactly once; nobody waits without a deadline.
//!
//! Source: Kafka's `GroupCoordinator`; KIP-62 (rebalance timeout), KIP-345 (static members), KIP-394 (member ids in
//! two steps), KIP-559 (protocol in SyncGroup), KIP-814 (static leader skips the assignment).
//!
//! ```
//! use std::time::Duration;
//! use log_core::ids::MemberId;
//! use log_core::group::{Effect, Group, GroupConfig, Heartbeat, Caller, GroupError, Input, RequestId, Response};
//!
//! let mut group = Group::new(GroupConfig::default());
//! let mut effects = Vec::new();
//! let caller = Caller { member_id: MemberId::new("kim-1"), instance_id: None, generation: None };
//! group.handle(Duration::ZERO, Input::Heartbeat(Heartbeat { from: RequestId(7), caller }), &mut effects);
//! let response = Response::Heartbeat(Err(GroupError::UnknownMemberId));
//! assert_eq!(effects, [Effect::Reply { to: RequestId(7), response }]);
//! ```

mod completed_rebalance;
mod config;
mod description;
mod effect;
mod error;
mod input;
mod joining;
mod leaving;
mod member;
mod phase;
mod rebalance;
mod records;
mod syncing;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

pub use completed_rebalance::{CompletedRebalance, RecordedMember};
pub use config::GroupConfig;
pub use description::{DescribedMember, Description};
pub use effect::{Effect, Joined, JoinedMember, Left, RecordId, RequestId, Response, Synced};
pub use error::GroupError;
pub use input::{Caller, Heartbeat, Input, Join, JoinAbility, Leave, Leaver, Sync};
pub use member::{Profile, Protocol};

use crate::ids::{Generation, GroupInstanceId, MemberId};
use member::{Member, Waiting};
use phase::Phase;
use records::{Awaited, Records};

/// How long after a failed record it is tried again that a group is empty.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One consumer group on the node that coordinates it.
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    phase: Phase,
    generation: Generation,
    /// None until the first member came; kept when the last one goes.
    protocol_type: Option<String>,
    /// What won the vote of the generation. None while there is none.
    protocol_name: Option<String>,
    /// Who assigns in the generation. None when it is gone.
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Which member has each static identity.
    instances: BTreeMap<GroupInstanceId, MemberId>,
    /// Ids that were told and not used yet (KIP-394), and until when they may be.
    told: BTreeMap<MemberId, Duration>,
    records: Records,
    /// The latest [`Effect::WakeAt`], until that time came.
    wake_at: Option<Duration>,
}

impl Group {
    /// A group that never had a member.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            phase: Phase::Empty {
                record_again_at: None,
            },
            generation: Generation(0),
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            told: BTreeMap::new(),
            records: Records::default(),
            wake_at: None,
        }
    }

    /// The group that was recorded last, on a new coordinator: everybody has a whole session timeout to be heard.
    /// Give it an [`Input::Tick`] to learn when to wake it.
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
            waiting: Waiting::Nothing,
            synced: true,
            expires_at,
        };
        self.members.insert(recorded.member_id.clone(), member);
        if let Some(instance_id) = recorded.instance_id {
            self.instances.insert(instance_id, recorded.member_id);
        }
    }

    /// Applies one input and pushes what must now happen, in the order it must happen. `now` never falls.
    pub fn handle(&mut self, now: Duration, input: Input, effects: &mut Vec<Effect>) {
        let generation_before = self.generation;
        match input {
            Input::Join(join) => self.join(now, join, effects),
            Input::Sync(sync) => self.sync(now, sync, effects),
            Input::Heartbeat(beat) => self.heartbeat(now, &beat, effects),
            Input::Leave(leave) => self.leave(now, leave, effects),
            Input::Recorded(id) => self.recorded(now, id, effects),
            Input::RecordFailed(id) => self.record_failed(now, id, effects),
            Input::Tick => self.tick(now, effects),
            Input::Retire => self.retire(now, effects),
        }
        self.ask_to_be_woken(effects);
        assert!(generation_before <= self.generation, "the generation fell");
        self.assert_invariants();
    }

    /// Whether an offset commit may be proposed, with the finer answers of Kafka; what is recorded when the commit is
    /// applied still judges it. A commit is a sign of life. None commits for nobody: no member id, no generation.
    ///
    /// # Errors
    /// The commit must not be proposed, for the reason given.
    pub fn admit_commit(
        &mut self,
        now: Duration,
        caller: Option<&Caller>,
    ) -> Result<(), GroupError> {
        let generation = caller.and_then(|caller| caller.generation);
        match (&self.phase, caller) {
            (Phase::Dead, _) => Err(GroupError::NotCoordinator),
            (_, _) if self.members.is_empty() && generation.is_none() => Ok(()),
            (_, None) => Err(GroupError::UnknownMemberId),
            (phase, Some(caller)) => {
                let completing = matches!(phase, Phase::CompletingRebalance { .. });
                self.check_caller(caller)?;
                self.touch(&caller.member_id, now);
                if completing {
                    Err(GroupError::RebalanceInProgress)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The current generation; 0 before the first.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether nobody was ever here and nobody is on the way: such a group need not be kept.
    pub fn is_unused(&self) -> bool {
        self.generation == Generation(0)
            && self.members.is_empty()
            && self.told.is_empty()
            && self.records.are_all_closed()
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

    fn heartbeat(&mut self, now: Duration, beat: &Heartbeat, effects: &mut Vec<Effect>) {
        let result = self.check_caller(&beat.caller).and_then(|()| {
            self.touch(&beat.caller.member_id, now);
            match self.phase {
                Phase::PreparingRebalance(_) => Err(GroupError::RebalanceInProgress),
                _ => Ok(()),
            }
        });
        effects.push(Effect::Reply {
            to: beat.from,
            response: Response::Heartbeat(result),
        });
    }

    fn touch(&mut self, id: &MemberId, now: Duration) {
        if let Some(member) = self.members.get_mut(id) {
            member.touch(now);
        }
    }

    fn check_caller(&self, caller: &Caller) -> Result<(), GroupError> {
        let identity = self.check_identity(&caller.member_id, caller.instance_id.as_ref());
        identity.map_err(|error| self.softened_for_one_ahead_of_us(caller, error))?;
        if caller.generation != Some(self.generation) {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(())
    }

    /// A generation above ours was announced by a coordinator that died before it was recorded. Its static member may
    /// have taken the place of the one we know: it shall come again, not stop for good.
    fn softened_for_one_ahead_of_us(&self, caller: &Caller, error: GroupError) -> GroupError {
        let ahead = caller
            .generation
            .is_some_and(|generation| self.generation < generation);
        match error {
            GroupError::FencedInstanceId if ahead => GroupError::UnknownMemberId,
            error => error,
        }
    }

    fn check_identity(
        &self,
        id: &MemberId,
        instance_id: Option<&GroupInstanceId>,
    ) -> Result<(), GroupError> {
        if matches!(self.phase, Phase::Dead) {
            return Err(GroupError::NotCoordinator);
        }
        if let Some(instance_id) = instance_id {
            let current = self
                .instances
                .get(instance_id)
                .ok_or(GroupError::UnknownMemberId)?;
            if current != id {
                return Err(GroupError::FencedInstanceId);
            }
        }
        if !self.members.contains_key(id) {
            return Err(GroupError::UnknownMemberId);
        }
        Ok(())
    }

    /// Asks for the group's state to be recorded, together with what waits for that.
    fn record(&mut self, awaited: Awaited, effects: &mut Vec<Effect>) -> RecordId {
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

    fn recorded(&mut self, now: Duration, id: RecordId, effects: &mut Vec<Effect>) {
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
    fn record_failed(&mut self, now: Duration, id: RecordId, effects: &mut Vec<Effect>) {
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

    fn retire(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for member in self.members.values_mut() {
            refuse(
                member.stop_waiting(now),
                &GroupError::NotCoordinator,
                effects,
            );
        }
        for awaited in self.records.close_all() {
            refuse_awaited(awaited, &GroupError::NotCoordinator, effects);
        }
        self.members.clear();
        self.instances.clear();
        self.told.clear();
        self.leader = None;
        self.phase = Phase::Dead;
    }

    /// A later deadline than the one that was asked for needs no word: the tick then asks again.
    fn ask_to_be_woken(&mut self, effects: &mut Vec<Effect>) {
        let Some(deadline) = self.deadline() else {
            return;
        };
        if self.wake_at.is_none_or(|wake_at| deadline < wake_at) {
            self.wake_at = Some(deadline);
            effects.push(Effect::WakeAt(deadline));
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let told = self.told.values().copied();
        let sessions = self.members.values().filter_map(|member| member.expires_at);
        told.chain(sessions).chain(self.phase.deadline()).min()
    }

    fn assert_invariants(&self) {
        let nobody = self.members.is_empty();
        let settled = matches!(
            self.phase,
            Phase::CompletingRebalance { .. } | Phase::Stable { .. }
        );
        assert_eq!(
            nobody,
            matches!(self.phase, Phase::Empty { .. } | Phase::Dead),
            "{} has {} members",
            self.phase.name(),
            self.members.len()
        );
        assert!(
            self.leader
                .as_ref()
                .is_none_or(|leader| self.members.contains_key(leader)),
            "the leader is no member"
        );
        assert!(
            !settled || self.leader.is_some(),
            "a generation without a leader"
        );
        assert!(
            !settled || self.protocol_name.is_some(),
            "a generation without a protocol"
        );
        let awaits_a_record = !self.records.are_all_closed();
        assert!(
            nobody || awaits_a_record || self.deadline().is_some(),
            "somebody waits without a deadline"
        );
        debug_assert!(self.identities_agree());
        debug_assert!(self.requests_fit_the_phase());
        debug_assert!(
            self.told.keys().all(|id| !self.members.contains_key(id)),
            "told again to a member"
        );
    }

    fn identities_agree(&self) -> bool {
        let back = |id: &MemberId| {
            self.members
                .get(id)
                .and_then(|member| member.profile.instance_id.as_ref())
        };
        let static_members = self
            .members
            .values()
            .filter(|member| member.profile.instance_id.is_some())
            .count();
        static_members == self.instances.len()
            && self
                .instances
                .iter()
                .all(|(instance_id, id)| back(id) == Some(instance_id))
    }

    fn requests_fit_the_phase(&self) -> bool {
        self.members.values().all(|member| match member.waiting {
            Waiting::Nothing => true,
            Waiting::Join(_) => matches!(self.phase, Phase::PreparingRebalance(_)),
            Waiting::Sync(_) => matches!(self.phase, Phase::CompletingRebalance { .. }),
        })
    }
}

/// Answers the request that a member has open, if any, with an error.
fn refuse(waiting: Waiting, error: &GroupError, effects: &mut Vec<Effect>) {
    let (to, response) = match waiting {
        Waiting::Nothing => return,
        Waiting::Join(to) => (to, Response::Join(Err(error.clone()))),
        Waiting::Sync(to) => (to, Response::Sync(Err(error.clone()))),
    };
    effects.push(Effect::Reply { to, response });
}

/// Answers what waits for a record, if anything, with an error.
fn refuse_awaited(awaited: Awaited, error: &GroupError, effects: &mut Vec<Effect>) {
    let (to, response) = match awaited {
        Awaited::Assignment | Awaited::Emptied { leave: None } => return,
        Awaited::StaticReturn { to, .. } => (to, Response::Join(Err(error.clone()))),
        Awaited::Emptied {
            leave: Some((to, _)),
        } => (to, Response::Leave(Err(error.clone()))),
    };
    effects.push(Effect::Reply { to, response });
}
