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

mod completed_rebalance;
mod config;
mod description;
mod effect;
mod error;
mod input;
mod invariants;
mod joining;
mod leaving;
mod member;
mod phase;
mod rebalance;
mod record_id;
mod recording;
mod records;
mod size;
mod syncing;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use completed_rebalance::{CompletedRebalance, RecordedMember};
pub use config::GroupConfig;
pub use description::{DescribedMember, Description, Overview};
pub use effect::{Effect, Joined, JoinedMember, LeaveResult, Response, Synced};
pub use error::GroupError;
pub use input::{Caller, Heartbeat, Input, Join, JoinAbility, Leave, LeavingMember, Sync};
pub use member::{Profile, Protocol};
pub use record_id::RecordId;

use crate::ids::{Generation, GroupInstanceId, MemberId};
use member::{Member, OpenRequest};
use phase::Phase;
use records::{Awaited, Records};

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
    #[cfg(test)]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether nobody was ever here and nobody is on the way: such a group need not be kept.
    pub fn is_unused(&self) -> bool {
        self.generation == Generation(0) && self.is_forgettable()
    }

    /// Whether nobody is here, nobody is on the way, and no record is open, whose fate would otherwise reach another
    /// group of the same name: such a group may be forgotten when it is deleted.
    pub fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.told.is_empty() && self.records.are_all_closed()
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
}

/// Answers the request that a member has open, if any, with an error.
fn refuse(waiting: OpenRequest, error: &GroupError, effects: &mut Vec<Effect>) {
    let (to, response) = match waiting {
        OpenRequest::Nothing => return,
        OpenRequest::Join(to) => (to, Response::Join(Err(error.clone()))),
        OpenRequest::Sync(to) => (to, Response::Sync(Err(error.clone()))),
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
