//! What the operator has a process change about who votes, and how that shows.

use std::time::Duration;

use super::operator_task::OperatorTask;
use super::process::{Awaiting, Process};
use crate::consensus::voter_plan::Members;
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};
use crate::node::NodeRequest;

/// How long the operator's tool waits for a change of voters.
const OPERATOR_WAITS: Duration = Duration::from_secs(5);
/// Who votes since a change that a leader made.
pub(super) struct NewVoters {
    pub(super) leader: ReplicaId,
    pub(super) epoch: LeaderEpoch,
    /// The epoch's first entry, or a later one that was there when it began.
    pub(super) since: EntryIndex,
    pub(super) voters: Vec<ReplicaId>,
    /// Those who did not vote before.
    pub(super) added: Vec<ReplicaId>,
}

impl Process {
    /// The operator wants something.
    pub(super) fn run_task(&mut self, operator_task: OperatorTask) {
        let request = NodeRequest::ChangeVoters {
            change: operator_task.request(),
            deadline: self.now() + OPERATOR_WAITS,
        };
        self.request(Awaiting::Operator(operator_task), request);
    }

    fn tasks(&self) -> Vec<OperatorTask> {
        let operator_task = |awaiting: &Awaiting| match awaiting {
            Awaiting::Operator(operator_task) => Some(*operator_task),
            _ => None,
        };
        self.awaiting.values().filter_map(operator_task).collect()
    }

    /// What a planted bug does with the tasks of an operator who waits for this leader.
    pub(super) fn spoil_tasks(&mut self) {
        let (Some(bug), Some(_)) = (self.planted, self.leading()) else {
            return;
        };
        let members = Members {
            membership: &self.published.membership,
            quorum: &self.published.quorum,
        };
        for operator_task in self.tasks() {
            if bug.tells_early(operator_task, members.membership) {
                self.outbound.operator.push((operator_task, Ok(())));
            }
            if let Some(change) = bug.unproved_change(operator_task, &members) {
                self.node.change_members_unproved(change);
            }
        }
    }

    /// Who votes, where that has changed under this node as leader.
    pub(super) fn newly_voting(&mut self) -> Option<NewVoters> {
        let epoch = self.leading()?;
        let voters = &self.published.membership.voters;
        let before = self.voters.replace((epoch, voters.clone()))?;
        let new = NewVoters {
            leader: self.home.identity.replica,
            epoch,
            since: self.began_at,
            added: voters
                .iter()
                .copied()
                .filter(|voter| !before.1.contains(voter))
                .collect(),
            voters: voters.clone(),
        };
        (before.0 == epoch && before.1 != new.voters).then_some(new)
    }
}
