//! SyncGroup: the leader's assignment comes in, is recorded, and goes out to its owners.

use std::time::Duration;

use bytes::Bytes;

use super::effect::{Effect, Response, Synced};
use super::error::GroupError;
use super::input::Sync;
use super::member::{Member, OpenRequest};
use super::phase::Phase;
use super::record_id::RecordId;
use super::records::Awaited;
use super::{Group, refuse};
use crate::ids::{MemberId, RequestId};

impl Group {
    pub(super) fn sync(&mut self, now: Duration, sync: Sync, effects: &mut Vec<Effect>) {
        let from = sync.from;
        if let Err(error) = self
            .check_sync(&sync)
            .and_then(|()| self.take_sync(now, sync, effects))
        {
            effects.push(Effect::Reply {
                to: from,
                response: Response::Sync(Err(error)),
            });
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_caller(&sync.caller)?;
        let agrees =
            |given: &Option<String>, ours: &Option<String>| given.is_none() || given == ours;
        if agrees(&sync.protocol_type, &self.protocol_type)
            && agrees(&sync.protocol_name, &self.protocol_name)
        {
            return Ok(());
        }
        Err(GroupError::InconsistentGroupProtocol)
    }

    fn take_sync(
        &mut self,
        now: Duration,
        sync: Sync,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        match self.phase {
            Phase::CompletingRebalance { recording, .. } => {
                self.wait_for_assignment(now, &sync.caller.member_id, sync.from, effects);
                let leads = self.leader.as_ref() == Some(&sync.caller.member_id);
                if leads && recording.is_none() {
                    self.assign(sync.assignments, effects);
                }
                Ok(())
            }
            Phase::Stable { .. } => {
                self.tell_assignment(now, &sync.caller.member_id, sync.from, effects);
                Ok(())
            }
            Phase::PreparingRebalance(_) => Err(GroupError::RebalanceInProgress),
            Phase::Empty { .. } => Err(GroupError::UnknownMemberId),
            Phase::Dead => Err(GroupError::NotCoordinator),
        }
    }

    fn wait_for_assignment(
        &mut self,
        now: Duration,
        id: &MemberId,
        from: RequestId,
        effects: &mut Vec<Effect>,
    ) {
        let member = self.members.get_mut(id).expect("the caller was checked");
        refuse(
            member.stop_waiting(now),
            &GroupError::RebalanceInProgress,
            effects,
        );
        member.wait(OpenRequest::Sync(from));
        member.synced = true;
    }

    /// Whom the leader gives nothing owns nothing; what it gives to strangers is nobody's.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>, effects: &mut Vec<Effect>) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        let id = self.record(Awaited::Assignment, effects);
        if let Phase::CompletingRebalance { recording, .. } = &mut self.phase {
            *recording = Some(id);
        }
    }

    fn tell_assignment(
        &mut self,
        now: Duration,
        id: &MemberId,
        from: RequestId,
        effects: &mut Vec<Effect>,
    ) {
        let member = self.members.get_mut(id).expect("the caller was checked");
        member.synced = true;
        member.touch(now);
        let synced = self.synced(id);
        effects.push(Effect::Reply {
            to: from,
            response: Response::Sync(Ok(synced)),
        });
        self.phase = Phase::Stable {
            sync_by: self.phase.deadline().filter(|_| !self.all_have_synced()),
        };
    }

    /// A generation that was left behind meanwhile has nobody waiting any more.
    pub(super) fn assignment_recorded(
        &mut self,
        now: Duration,
        id: RecordId,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::CompletingRebalance { sync_by, recording } = self.phase else {
            return;
        };
        if recording != Some(id) {
            return;
        }
        self.phase = Phase::Stable {
            sync_by: sync_by.filter(|_| !self.all_have_synced()),
        };
        self.answer_syncs(now, effects);
    }

    pub(super) fn assignment_not_recorded(
        &mut self,
        now: Duration,
        id: RecordId,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::CompletingRebalance { recording, .. } = self.phase else {
            return;
        };
        if recording != Some(id) {
            return;
        }
        self.refuse_syncs(now, &GroupError::CoordinatorNotAvailable, effects);
        self.begin_to_gather(now, effects);
    }

    fn answer_syncs(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let synced = self.synced(&id);
            let waiting = self
                .members
                .get_mut(&id)
                .map(|member| member.stop_waiting(now));
            if let Some(OpenRequest::Sync(to)) = waiting {
                effects.push(Effect::Reply {
                    to,
                    response: Response::Sync(Ok(synced)),
                });
            }
        }
    }

    fn all_have_synced(&self) -> bool {
        self.members.values().all(|member: &Member| member.synced)
    }

    fn synced(&self, id: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol_name.clone().unwrap_or_default(),
            assignment: self
                .members
                .get(id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
