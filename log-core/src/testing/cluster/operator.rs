//! The operator: gives a node that is lost or damaged an empty disk, and replaces it in the cluster, as
//! `log-core nodes replace` does.

use rand::Rng;

use super::event::Event;
use super::node::{Ended, SimNode};
use super::operator_task::OperatorTask;
use super::{Cluster, ms};
use crate::consensus::voter_plan::RemovalRefused;
use crate::node::VoterChangeError;

/// How long the operator may take to notice, and between two steps.
const NOTICES_WITHIN_MS: u64 = 2_000;
const BETWEEN_STEPS_MS: u64 = 400;

impl Cluster {
    /// A machine burns down.
    pub(super) fn lose_machine(&mut self, node: usize) {
        if !self.can_do_without(node) {
            return;
        }
        self.coverage.count("machines lost");
        self.ended(node, Ended::Damaged);
    }

    /// Never more nodes may be unfit than the cluster survives.
    pub(super) fn can_do_without(&self, node: usize) -> bool {
        let unfit = self.nodes.iter().filter(|node| node.is_unfit()).count();
        unfit < (self.plan.nodes - 1) / 2 && !self.nodes[node].is_unfit()
    }

    /// A node will not start again by itself: the operator is called.
    pub(super) fn call_operator(&mut self, node: usize) {
        if 1 < self.plan.nodes && !self.nodes[node].is_looked_after {
            self.nodes[node].is_looked_after = true;
            self.within(ms(NOTICES_WITHIN_MS), Event::Operate { node });
        }
    }

    /// A node is to leave, as before its machine is taken away.
    pub(super) fn dismiss(&mut self, node: usize) {
        if self.can_do_without(node) {
            self.coverage.count("members dismissed");
            self.nodes[node].leaves();
            self.call_operator(node);
        }
    }

    /// The operator's next step with this node.
    pub(super) fn operate(&mut self, node: usize) {
        if self.nodes[node].is_out() {
            self.coverage.count("machines replaced");
            self.nodes[node].replace(&mut self.chance);
        }
        let Some(operator_task) = self.nodes[node].operator_task() else {
            self.nodes[node].is_looked_after = false;
            return;
        };
        let replica = self.nodes[node].replica();
        if self.nodes.iter().any(|other| other.knows(replica)) && !self.nodes[node].may_start() {
            self.nodes[node].admit();
            self.within(ms(200), Event::Restart { node });
        }
        let asked_of = self.nodes[node].asked_of;
        if !asked_of.is_some_and(|(other, life)| self.nodes[other].lives(life)) {
            self.ask_for_change(node, operator_task);
        }
        self.within(ms(BETWEEN_STEPS_MS), Event::Operate { node });
    }

    fn ask_for_change(&mut self, node: usize, operator_task: OperatorTask) {
        let asked = self.chance.random_range(0..self.plan.nodes);
        if self.nodes[asked].is_up() && !self.nodes[asked].is_paused() {
            self.nodes[node].asked_of = Some((asked, self.nodes[asked].life()));
            self.with_node(asked, |asked| asked.run_task(operator_task));
        }
    }

    /// What a node tells the operator of a change; it is of no use any more where the machine was replaced meanwhile.
    pub(super) fn hear_operator(
        &mut self,
        asked: usize,
        operator_task: OperatorTask,
        changed: Result<(), VoterChangeError>,
    ) {
        let is_about = |node: &SimNode| node.operator_task() == Some(operator_task);
        let Some(node) = self.nodes.iter().position(is_about) else {
            return;
        };
        self.nodes[node].asked_of = None;
        let no_member = VoterChangeError::CannotLeave(RemovalRefused::NoMember);
        let is_done = match operator_task {
            OperatorTask::Join { .. } => changed.is_ok(),
            // An earlier request may have come so far and not have been answered.
            OperatorTask::Leave { .. } => changed.is_ok() || changed == Err(no_member),
        };
        if is_done {
            self.task_done(node, operator_task);
            self.rely_on(asked);
        }
    }

    /// Whoever is told that a change is done may take the next machine away, even that of the leader who said so, and
    /// then the power may go: those left must know who votes.
    fn rely_on(&mut self, leader: usize) {
        if self.is_calm() || self.chance.random_bool(0.2) || !self.can_do_without(leader) {
            return;
        }
        self.coverage.count("changes of members relied on");
        self.lose_machine(leader);
        self.cut_power_everywhere();
    }

    fn task_done(&mut self, node: usize, operator_task: OperatorTask) {
        match operator_task {
            OperatorTask::Join { instead_of, .. } => {
                self.coverage.count(match instead_of {
                    Some(_) => "members replaced",
                    None => "members added",
                });
                self.nodes[node].votes();
            }
            // Whoever is no member any more is switched off, and another machine comes.
            OperatorTask::Leave { .. } => self.ended(node, Ended::Damaged),
        }
    }
}
