//! LeaveGroup: members that say goodbye, or are sent away by an administrator.

use std::time::Duration;

use super::Group;
use super::effect::{Effect, LeaveResult, Response};
use super::error::GroupError;
use super::input::{Leave, LeavingMember};
use super::phase::Phase;
use super::record_id::RecordId;

impl Group {
    pub(super) fn leave(&mut self, now: Duration, leave: Leave, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Dead) {
            let response = Response::Leave(Err(GroupError::NotCoordinator));
            effects.push(Effect::Reply {
                to: leave.from,
                response,
            });
            return;
        }
        let members_before = self.members.len();
        let mut left = Vec::with_capacity(leave.members.len());
        for leaver in leave.members {
            let result = self.leave_one(now, &leaver, effects);
            left.push(LeaveResult { leaver, result });
        }
        match self.go_on_after_leave(now, members_before, effects) {
            Some(record) => self.records.leave_waits_for(record, leave.from, left),
            None => effects.push(Effect::Reply {
                to: leave.from,
                response: Response::Leave(Ok(left)),
            }),
        }
    }

    /// The record that nobody is left, if so. One that was only told an id owned nothing; others may have waited for it.
    fn go_on_after_leave(
        &mut self,
        now: Duration,
        members_before: usize,
        effects: &mut Vec<Effect>,
    ) -> Option<RecordId> {
        if self.members.len() < members_before {
            return self.go_on_without_the_departed(now, effects);
        }
        self.finish_gathering_if_all_are_here(now, effects);
        None
    }

    fn leave_one(
        &mut self,
        now: Duration,
        leaver: &LeavingMember,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        let id = match (&leaver.member_id, &leaver.instance_id) {
            (Some(id), None) if self.told.remove(id).is_some() => return Ok(()),
            (Some(id), _) => id.clone(),
            (None, Some(instance_id)) => self
                .instances
                .get(instance_id)
                .cloned()
                .ok_or(GroupError::UnknownMemberId)?,
            (None, None) => return Err(GroupError::UnknownMemberId),
        };
        self.check_identity(&id, leaver.instance_id.as_ref())?;
        self.remove(now, &id, effects);
        Ok(())
    }
}
