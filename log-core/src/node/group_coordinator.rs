//! The coordinator of the consumer groups: it owns them all while this node leads.
//!
//! The groups decide ([`crate::group`]). Here their answers become replies, their records proposals, and the times at which
//! they want to be woken stand in one sorted set. A new leader resumes every group from what is recorded, with fresh timers:
//! some in each round, and one that is asked for at once. An old one answers everybody NOT_COORDINATOR and forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use tracing::warn;

use super::effect::Effect;
use super::input::GroupRequest;
use super::propose_error::{Outcome, ProposeError};
use super::recorded_group;
use super::reply::NodeReply;
use super::view::SharedView;
use crate::group::{
    self, Caller, Group, GroupConfig, GroupError, Input, Overview, RecordId, Response,
};
use crate::ids::{GroupId, LeaderEpoch, RequestId};
use crate::state::{Command, ConsumerGroup};

/// Recorded groups that a new leader looks at in a round: with 10,000 of them no input waits for long.
const RESUMED_PER_ROUND_MAX: usize = 1_000;

/// Names a record that a group asked for, among those of all groups and epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupRecord {
    /// In which it was decided.
    pub(super) epoch: LeaderEpoch,
    group: GroupId,
    id: RecordId,
}

/// See the module.
pub(crate) struct GroupCoordinator {
    config: GroupConfig,
    /// The epoch in which the groups were resumed; none while another node leads.
    epoch: Option<LeaderEpoch>,
    groups: BTreeMap<GroupId, KnownGroup>,
    /// What all groups take together.
    bytes: usize,
    /// When which group wants to be woken.
    due: BTreeSet<(Duration, GroupId)>,
    /// From here on recorded groups may not be resumed yet; none once all are.
    unresumed: Option<Bound<GroupId>>,
    /// What is to be proposed, in this order.
    records: Vec<(GroupRecord, Command)>,
    /// Empty between two inputs; kept for its room.
    effects: Vec<group::Effect>,
}

/// A group, and what is to be known of it without asking it.
struct KnownGroup {
    group: Group,
    due: Option<Duration>,
    bytes: usize,
}

impl KnownGroup {
    fn new(group: Group) -> Self {
        Self {
            group,
            due: None,
            bytes: 0,
        }
    }
}

impl GroupCoordinator {
    pub(crate) fn new(config: GroupConfig) -> Self {
        Self {
            config,
            epoch: None,
            groups: BTreeMap::new(),
            bytes: 0,
            due: BTreeSet::new(),
            unresumed: None,
            records: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Begins to coordinate where this node has begun to lead, and retires all groups where it has ceased to. Called before
    /// every request, so that none meets groups of another epoch.
    pub(crate) fn follow(
        &mut self,
        now: Duration,
        leading: Option<LeaderEpoch>,
        effects: &mut Vec<Effect>,
    ) {
        if self.epoch == leading {
            return;
        }
        self.retire(now, effects);
        self.epoch = leading;
        self.unresumed = leading.map(|_| Bound::Unbounded);
    }

    fn retire(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        for group in groups {
            self.input(now, &group, Input::Retire, effects);
        }
        *self = Self::new(self.config);
    }

    /// Resumes the next of the recorded groups, where some are left.
    pub(crate) fn resume_some(
        &mut self,
        now: Duration,
        shared: &SharedView,
        effects: &mut Vec<Effect>,
    ) {
        let Some(from) = self.unresumed.take() else {
            return;
        };
        let next: Vec<_> = {
            let state = shared.state();
            let recorded = state.groups_from(from.as_ref()).take(RESUMED_PER_ROUND_MAX);
            let resumed = |(id, group): (&GroupId, &ConsumerGroup)| {
                let is_new = !self.groups.contains_key(id);
                let rebalance = had_members(group).then(|| recorded_group::resumed(group));
                (id.clone(), rebalance.filter(|_| is_new))
            };
            recorded.map(resumed).collect()
        };
        if next.len() == RESUMED_PER_ROUND_MAX {
            self.unresumed = next.last().map(|(id, _)| Bound::Excluded(id.clone()));
        }
        for (id, rebalance) in next {
            if let Some(rebalance) = rebalance {
                self.add_resumed(now, id, rebalance, effects);
            }
        }
    }

    /// A group that is asked for does not wait for its turn.
    fn resume_before_others(
        &mut self,
        now: Duration,
        id: &GroupId,
        shared: &SharedView,
        effects: &mut Vec<Effect>,
    ) {
        if self.unresumed.is_none() || self.groups.contains_key(id) {
            return;
        }
        let recorded = {
            let state = shared.state();
            let group = state.group(id).filter(|group| had_members(group));
            group.map(recorded_group::resumed)
        };
        if let Some(rebalance) = recorded {
            self.add_resumed(now, id.clone(), rebalance, effects);
        }
    }

    fn add_resumed(
        &mut self,
        now: Duration,
        id: GroupId,
        rebalance: group::CompletedRebalance,
        effects: &mut Vec<Effect>,
    ) {
        let group = Group::resume(self.config, rebalance, now);
        self.groups.insert(id.clone(), KnownGroup::new(group));
        self.input(now, &id, Input::Tick, effects);
    }

    /// Takes a request; its reply may come with a later input.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        id: RequestId,
        request: GroupRequest,
        shared: &SharedView,
        effects: &mut Vec<Effect>,
    ) {
        if self.epoch.is_none() {
            return effects.extend(not_coordinator(&request).map(|reply| reply_to(id, reply)));
        }
        match request {
            GroupRequest::Member { group, input } => {
                self.resume_before_others(now, &group, shared, effects);
                if let Some(refusal) = self.refusal_for_size(&group, &input) {
                    return effects.push(reply_to(id, NodeReply::Member(refusal)));
                }
                let unknown = || KnownGroup::new(Group::new(self.config));
                self.groups.entry(group.clone()).or_insert_with(unknown);
                self.input(now, &group, input, effects);
            }
            GroupRequest::AdmitCommit { group, caller } => {
                self.resume_before_others(now, &group, shared, effects);
                let admitted = self.admit(now, &group, caller.as_ref());
                effects.push(reply_to(id, NodeReply::Admitted(admitted)));
            }
            GroupRequest::Describe(group) => {
                self.resume_before_others(now, &group, shared, effects);
                let known = self.groups.get(&group);
                let described = known.map(|known| known.group.describe());
                effects.push(reply_to(id, NodeReply::Described(Ok(described))));
            }
            GroupRequest::List => {
                let listed = self.list(shared);
                effects.push(reply_to(id, NodeReply::Listed(Ok(listed))));
            }
        }
    }

    /// The answer to a request after which the groups would take more memory than they may.
    fn refusal_for_size(&self, id: &GroupId, input: &Input) -> Option<Response> {
        if !matches!(input, Input::Join(_) | Input::Sync(_)) {
            return None;
        }
        let added = match self.groups.get(id) {
            Some(known) => known.group.bytes_added_by(input),
            None => Group::new(self.config).bytes_added_by(input),
        };
        let fits = added == 0 || self.bytes + id.as_str().len() + added <= self.config.bytes_max;
        let refusal = || Response::refusing(input, GroupError::GroupMaxSizeReached);
        (!fits).then(refusal).flatten()
    }

    fn admit(
        &mut self,
        now: Duration,
        group: &GroupId,
        caller: Option<&Caller>,
    ) -> Result<(), GroupError> {
        match self.groups.get_mut(group) {
            Some(known) => known.group.admit_commit(now, caller),
            None => Group::new(self.config).admit_commit(now, caller),
        }
    }

    fn list(&self, shared: &SharedView) -> Vec<(GroupId, Overview)> {
        let resumed = self.groups.iter();
        let mut listed: BTreeMap<_, _> = resumed
            .map(|(id, known)| (id.clone(), known.group.overview()))
            .collect();
        if let Some(from) = &self.unresumed {
            let state = shared.state();
            let recorded = state.groups_from(from.as_ref());
            for (id, group) in recorded.filter(|(_, group)| had_members(group)) {
                let overview = || Overview::of_recorded(!group.is_empty(), group.protocol_type());
                listed.entry(id.clone()).or_insert_with(overview);
            }
        }
        listed.into_iter().collect()
    }

    /// Whether members are there or on their way, also those that are not recorded yet.
    pub(super) fn has_members(&self, group: &GroupId) -> bool {
        let known = self.groups.get(group);
        known.is_some_and(|known| !known.group.is_forgettable())
    }

    /// Forgets a group that was deleted, unless a member has come meanwhile.
    pub(crate) fn forget(&mut self, group: &GroupId) {
        let known = self.groups.get(group);
        if known.is_some_and(|known| known.group.is_forgettable()) {
            self.remove(group);
        }
    }

    /// What became of a record. Those of an earlier epoch were given up when it ended.
    pub(crate) fn recorded(
        &mut self,
        now: Duration,
        record: &GroupRecord,
        outcome: &Result<Outcome, ProposeError>,
        effects: &mut Vec<Effect>,
    ) {
        if self.epoch != Some(record.epoch) {
            return;
        }
        let error: &(dyn std::error::Error + 'static) = match outcome {
            Ok(Ok(_)) => {
                return self.input(now, &record.group, Input::Recorded(record.id), effects);
            }
            Ok(Err(refusal)) => refusal,
            Err(error) => error,
        };
        warn!(group = %record.group, error, "rebalance was not recorded");
        self.input(now, &record.group, Input::RecordFailed(record.id), effects);
    }

    /// When the first group wants to be woken.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Wakes the groups whose time has come.
    pub(crate) fn wake(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let (_, group) = self.due.pop_first().expect("there is a first");
            if let Some(known) = self.groups.get_mut(&group) {
                known.due = None;
            }
            self.input(now, &group, Input::Tick, effects);
        }
    }

    /// What the groups want recorded since this was asked last, in the order in which it is to be proposed. What became of
    /// each is for [`GroupCoordinator::recorded`].
    pub(crate) fn take_records(&mut self) -> Vec<(GroupRecord, Command)> {
        std::mem::take(&mut self.records)
    }

    /// Gives one group one input and does what follows.
    fn input(&mut self, now: Duration, id: &GroupId, input: Input, effects: &mut Vec<Effect>) {
        let Some(known) = self.groups.get_mut(id) else {
            return;
        };
        // A beat changes no size, and large groups beat often.
        let resizes = !matches!(input, Input::Heartbeat(_));
        known.group.handle(now, input, &mut self.effects);
        for effect in self.effects.drain(..) {
            match effect {
                group::Effect::Reply { to, response } => {
                    effects.push(reply_to(to, NodeReply::Member(response)));
                }
                group::Effect::WakeAt(at) => {
                    if let Some(before) = known.due.replace(at) {
                        self.due.remove(&(before, id.clone()));
                    }
                    self.due.insert((at, id.clone()));
                }
                group::Effect::Record {
                    id: record,
                    rebalance,
                } => {
                    let record = GroupRecord {
                        epoch: self.epoch.expect("only a leader's groups record"),
                        group: id.clone(),
                        id: record,
                    };
                    let rebalance = recorded_group::command(id.clone(), rebalance);
                    self.records
                        .push((record, Command::CompleteRebalance(rebalance)));
                }
            }
        }
        if known.group.is_unused() {
            self.remove(id);
        } else if resizes {
            let bytes = id.as_str().len() + known.group.bytes();
            self.bytes = self.bytes - std::mem::replace(&mut known.bytes, bytes) + bytes;
        }
    }

    fn remove(&mut self, id: &GroupId) {
        let Some(known) = self.groups.remove(id) else {
            return;
        };
        self.bytes -= known.bytes;
        if let Some(at) = known.due {
            self.due.remove(&(at, id.clone()));
        }
    }
}

fn had_members(group: &ConsumerGroup) -> bool {
    group.generation().0 != 0
}

fn reply_to(to: RequestId, reply: NodeReply) -> Effect {
    Effect::Reply { to, reply }
}

/// The reply of a node that does not coordinate; none to what is no request.
fn not_coordinator(request: &GroupRequest) -> Option<NodeReply> {
    let error = GroupError::NotCoordinator;
    Some(match request {
        GroupRequest::Member { input, .. } => NodeReply::Member(Response::refusing(input, error)?),
        GroupRequest::AdmitCommit { .. } => NodeReply::Admitted(Err(error)),
        GroupRequest::Describe(_) => NodeReply::Described(Err(error)),
        GroupRequest::List => NodeReply::Listed(Err(error)),
    })
}

#[cfg(test)]
mod tests;
