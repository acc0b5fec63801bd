//! A node's coordinator of the consumer groups: the real deciders, run as `broker::coordinator` runs them, without its task.

use std::collections::BTreeMap;
use std::time::Duration;

use super::member::SESSION_TIMEOUT;
use crate::group::{
    Caller, CompletedRebalance, Effect, Group, GroupConfig, GroupError, Input, RecordId, RequestId,
    Response,
};
use crate::ids::{GroupId, LeaderEpoch};
use crate::node::recorded_group;
use crate::state::State;

/// Names a record of one group, asked for in one epoch.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) epoch: LeaderEpoch,
    pub(super) group: GroupId,
    id: RecordId,
}

/// What a coordinator wants done.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) replies: Vec<(RequestId, Response)>,
    pub(super) records: Vec<(Record, CompletedRebalance)>,
}

#[derive(Default)]
pub(super) struct Coordinator {
    /// The epoch in which the groups were resumed; none while another node leads.
    epoch: Option<LeaderEpoch>,
    groups: BTreeMap<GroupId, Group>,
    wakes: BTreeMap<GroupId, Duration>,
    wanted: Wanted,
}

const CONFIG: GroupConfig = GroupConfig {
    session_timeout_min: SESSION_TIMEOUT,
    session_timeout_max: SESSION_TIMEOUT,
    size_max: 100,
    bytes_max: 1 << 20,
    initial_rebalance_delay: Duration::ZERO,
};

impl Coordinator {
    pub(super) fn leads(&self) -> bool {
        self.epoch.is_some()
    }

    /// Resumes the groups where this node has begun to lead, and says whether it has; retires them where it has ceased to.
    pub(super) fn follow(
        &mut self,
        now: Duration,
        leading: Option<LeaderEpoch>,
        state: &State,
    ) -> bool {
        if self.epoch == leading {
            return false;
        }
        self.retire(now);
        self.epoch = leading;
        if leading.is_none() {
            return false;
        }
        for (id, group) in state
            .groups()
            .filter(|(_, group)| group.generation().0 != 0)
        {
            let group = Group::resume(CONFIG, recorded_group::resumed(group), now);
            self.groups.insert(id.clone(), group);
            self.input(now, id, Input::Tick);
        }
        true
    }

    fn retire(&mut self, now: Duration) {
        let groups: Vec<GroupId> = self.groups.keys().cloned().collect();
        for group in groups {
            self.input(now, &group, Input::Retire);
        }
        self.groups.clear();
        self.wakes.clear();
    }

    /// A member asks.
    pub(super) fn request(&mut self, now: Duration, group: &GroupId, input: Input) {
        self.groups
            .entry(group.clone())
            .or_insert_with(|| Group::new(CONFIG));
        self.input(now, group, input);
    }

    /// Whether a commit may be proposed.
    pub(super) fn admit(
        &mut self,
        now: Duration,
        group: &GroupId,
        caller: &Caller,
    ) -> Result<(), GroupError> {
        match self.groups.get_mut(group) {
            Some(group) => group.admit_commit(now, Some(caller)),
            None => Group::new(CONFIG).admit_commit(now, Some(caller)),
        }
    }

    /// What became of a record. Those of an earlier epoch were given up when it ended.
    pub(super) fn recorded(&mut self, now: Duration, record: Record, is_recorded: bool) {
        if self.epoch != Some(record.epoch) {
            return;
        }
        let input = if is_recorded {
            Input::Recorded(record.id)
        } else {
            Input::RecordFailed(record.id)
        };
        self.input(now, &record.group, input);
    }

    /// Wakes those whose time has come.
    pub(super) fn wake(&mut self, now: Duration) {
        let due: Vec<GroupId> = self
            .wakes
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(group, _)| group.clone())
            .collect();
        for group in due {
            self.wakes.remove(&group);
            self.input(now, &group, Input::Tick);
        }
    }

    pub(super) fn wanted(&mut self) -> Wanted {
        std::mem::take(&mut self.wanted)
    }

    fn input(&mut self, now: Duration, id: &GroupId, input: Input) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let mut effects = Vec::new();
        group.handle(now, input, &mut effects);
        for effect in effects {
            self.perform(id, effect);
        }
    }

    fn perform(&mut self, group: &GroupId, effect: Effect) {
        match effect {
            Effect::Reply { to, response } => self.wanted.replies.push((to, response)),
            Effect::WakeAt(at) => drop(self.wakes.insert(group.clone(), at)),
            Effect::Record { id, rebalance } => {
                let epoch = self.epoch.expect("only a leader's groups record");
                let group = group.clone();
                let record = Record { epoch, group, id };
                self.wanted.records.push((record, rebalance));
            }
        }
    }
}
