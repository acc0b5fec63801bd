//! From one generation to the next: gather the members, vote, name a leader; and who is dropped on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::effect::{Effect, Response};
use super::error::GroupError;
use super::member::{Member, OpenRequest};
use super::phase::{Gathering, InitialDelay, Phase};
use super::record_id::RecordId;
use super::records::Awaited;
use super::{Group, refuse};
use crate::ids::{Generation, MemberId};

impl Group {
    /// Begins to wait for the members to join again, unless that has begun. Assignments that are on their way are void.
    pub(super) fn begin_to_gather(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let gathering = match self.phase {
            Phase::PreparingRebalance(_) | Phase::Dead => return,
            Phase::Empty { .. } => self.first_gathering(now),
            Phase::CompletingRebalance { .. } | Phase::Stable { .. } => Gathering {
                until: now + self.rebalance_timeout(),
                initial_delay: None,
            },
        };
        self.refuse_syncs(now, &GroupError::RebalanceInProgress, effects);
        self.phase = Phase::PreparingRebalance(gathering);
    }

    fn first_gathering(&self, now: Duration) -> Gathering {
        let patience = self.rebalance_timeout();
        let delay = self.config.initial_rebalance_delay.min(patience);
        let initial_delay = InitialDelay {
            newcomers: false,
            remaining: patience - delay,
        };
        Gathering {
            until: now + delay,
            initial_delay: Some(initial_delay),
        }
    }

    /// The slowest member sets the pace.
    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self
            .members
            .values()
            .map(|member| member.profile.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    pub(super) fn refuse_syncs(
        &mut self,
        now: Duration,
        error: &GroupError,
        effects: &mut Vec<Effect>,
    ) {
        for member in self.members.values_mut() {
            if let OpenRequest::Sync(_) = member.waiting {
                refuse(member.stop_waiting(now), error, effects);
            }
        }
    }

    /// An empty group's first generation waits out its delay, 0 by default, and for nobody in particular.
    pub(super) fn finish_gathering_if_all_are_here(
        &mut self,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::PreparingRebalance(gathering) = &self.phase else {
            return;
        };
        let finished = match gathering.initial_delay {
            Some(_) => gathering.until <= now,
            None => self.told.is_empty() && self.members.values().all(Member::is_joining),
        };
        if finished {
            self.gathering_is_over(now, effects);
        }
    }

    fn gathering_is_over(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Phase::PreparingRebalance(gathering) = &self.phase else {
            return;
        };
        if let Some(prolonged) = gathering.prolonged(self.config.initial_rebalance_delay) {
            self.phase = Phase::PreparingRebalance(prolonged);
            return;
        }
        self.drop_the_absent();
        if self.members.is_empty() {
            self.become_empty(effects);
            return;
        }
        match self.leader_among_those_here() {
            Some(leader) => self.begin_generation(now, leader, effects),
            None => self.gather_once_more(now),
        }
    }

    /// Static members stay: they may be back before their session ends.
    fn drop_the_absent(&mut self) {
        self.members
            .retain(|_, member| member.is_joining() || member.profile.instance_id.is_some());
        self.forget_a_leader_that_is_gone();
    }

    /// Only static members are left and none is here: their sessions decide.
    fn gather_once_more(&mut self, now: Duration) {
        let until = now + self.rebalance_timeout();
        self.phase = Phase::PreparingRebalance(Gathering {
            until,
            initial_delay: None,
        });
    }

    /// The leader of the last generation, so that its consumer keeps what it knows; else any.
    fn leader_among_those_here(&self) -> Option<MemberId> {
        let here = |id: &MemberId| self.members.get(id).is_some_and(Member::is_joining);
        let last = self.leader.iter().find(|leader| here(leader));
        last.or_else(|| self.members.keys().find(|id| here(id)))
            .cloned()
    }

    fn begin_generation(&mut self, now: Duration, leader: MemberId, effects: &mut Vec<Effect>) {
        self.generation = Generation(self.generation.0 + 1);
        self.protocol_name = Some(self.vote());
        self.leader = Some(leader);
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            member.synced = false;
        }
        self.phase = Phase::CompletingRebalance {
            sync_by: Some(now + self.rebalance_timeout()),
            recording: None,
        };
        self.answer_joins(now, effects);
    }

    fn answer_joins(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let here = self
            .members
            .iter()
            .filter(|(_, member)| member.is_joining())
            .map(|(id, _)| id.clone());
        for id in here.collect::<Vec<_>>() {
            let joined = self.joined(&id);
            let member = self.members.get_mut(&id).expect("it was just listed");
            if let OpenRequest::Join(to) = member.stop_waiting(now) {
                effects.push(Effect::Reply {
                    to,
                    response: Response::Join(Ok(joined)),
                });
            }
        }
    }

    /// Each member votes for what it prefers among the protocols that all know. A draw goes to the first by name.
    pub(super) fn vote(&self) -> String {
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            let mut names = member
                .profile
                .protocols
                .iter()
                .map(|protocol| protocol.name.as_str());
            let choice = names
                .find(|name| self.all_support(name))
                .expect("a join without a common protocol is refused");
            *votes.entry(choice).or_default() += 1;
        }
        let most = votes.values().max().copied().unwrap_or_default();
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner
            .map(|(name, _)| name.to_owned())
            .expect("somebody votes")
    }

    fn all_support(&self, name: &str) -> bool {
        self.members
            .values()
            .all(|member| member.profile.supports(name))
    }

    /// The last member is gone. That is a generation of its own: who was in the one before may commit no more.
    fn become_empty(&mut self, effects: &mut Vec<Effect>) -> RecordId {
        self.generation = Generation(self.generation.0 + 1);
        self.protocol_name = None;
        self.leader = None;
        self.phase = Phase::Empty {
            record_again_at: None,
        };
        self.record(Awaited::Emptied { leave: None }, effects)
    }

    /// Takes a member out. What it waits for is answered UNKNOWN_MEMBER_ID. To be followed by
    /// [`Self::go_on_without_the_departed`].
    pub(super) fn remove(&mut self, now: Duration, id: &MemberId, effects: &mut Vec<Effect>) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance_id) = &member.profile.instance_id {
            self.instances.remove(instance_id);
        }
        refuse(
            member.stop_waiting(now),
            &GroupError::UnknownMemberId,
            effects,
        );
        self.forget_a_leader_that_is_gone();
    }

    fn forget_a_leader_that_is_gone(&mut self) {
        let members = &self.members;
        self.leader.take_if(|leader| !members.contains_key(leader));
    }

    /// What the departed owned goes to the others. The record that nobody is left, if so.
    pub(super) fn go_on_without_the_departed(
        &mut self,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> Option<RecordId> {
        if matches!(self.phase, Phase::Empty { .. } | Phase::Dead) {
            return None;
        }
        if self.members.is_empty() {
            return Some(self.become_empty(effects));
        }
        self.begin_to_gather(now, effects);
        self.finish_gathering_if_all_are_here(now, effects);
        None
    }

    /// Drops those whose time is up, then does what is due in the phase.
    pub(super) fn tick(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.wake_at = None;
        self.told.retain(|_, until| now < *until);
        let silent = self
            .members
            .iter()
            .filter(|(_, member)| member.expires_at.is_some_and(|at| at <= now));
        let silent = silent.map(|(id, _)| id.clone()).collect();
        self.drop_members(now, silent, effects);
        if self
            .phase
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.phase_is_due(now, effects);
        }
        self.finish_gathering_if_all_are_here(now, effects);
    }

    fn drop_members(&mut self, now: Duration, ids: Vec<MemberId>, effects: &mut Vec<Effect>) {
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            self.remove(now, id, effects);
        }
        self.go_on_without_the_departed(now, effects);
    }

    fn phase_is_due(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Empty { .. } => {
                self.phase = Phase::Empty {
                    record_again_at: None,
                };
                self.record(Awaited::Emptied { leave: None }, effects);
            }
            Phase::PreparingRebalance(_) => self.gathering_is_over(now, effects),
            Phase::CompletingRebalance { .. } | Phase::Stable { .. } => {
                self.drop_those_without_sync(now, effects)
            }
            Phase::Dead => {}
        }
    }

    /// When all have asked, only the record is awaited, and the shell always tells its fate.
    fn drop_those_without_sync(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if let Phase::CompletingRebalance { sync_by, .. } | Phase::Stable { sync_by } =
            &mut self.phase
        {
            *sync_by = None;
        }
        let late = self
            .members
            .iter()
            .filter(|(_, member)| !member.synced)
            .map(|(id, _)| id.clone())
            .collect();
        self.drop_members(now, late, effects);
    }
}
