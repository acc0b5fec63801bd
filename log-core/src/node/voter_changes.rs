//! Who decides, changed by the operator (KIP-853, rule 15): a waiting replica becomes a voter, perhaps in another's place,
//! or a member leaves. One change after the other, each in several steps that are judged anew (`voter_plan`), so that asking
//! again goes on from where an earlier request was left.
//!
//! Before a change is proposed, those who will decide afterwards prove that they are there: they store an entry that was
//! proposed for it. Before it is called done, a majority of the voters would know of it after a power cut, so that the
//! operator may take away the next machine: the leader sends an entry that it appends after it has applied a change together
//! with that commit index, and a follower writes both at once.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::info;

use super::effect::Effect;
use super::now::Now;
use super::propose_error::{AppliedOutcome, ProposeError};
use super::replica::{Proposer, Replica};
use super::reply::NodeReply;
use super::view::SharedView;
use super::voter_change::{Reached, VoterChange, VoterChangeError};
use crate::consensus::voter_plan::{
    Admission, Members, Removal, RemovalRefused, admission, is_on, is_on_a_majority, removal,
    voters_with, voters_without,
};
use crate::consensus::{MembershipChange, Quorum};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId, RequestId};
use crate::state::{Command, CommandError};

/// The changes that are asked for, in the order of asking: what one was judged by must still hold when it is proposed.
#[derive(Default)]
pub(super) struct VoterChanges {
    queue: VecDeque<OpenChange>,
}

struct OpenChange {
    id: RequestId,
    change: VoterChange,
    deadline: Duration,
    /// In which it was asked for; it ends with it.
    epoch: LeaderEpoch,
    /// What a replica is about to do that is to vote.
    admission: Admission,
    /// Whether the removal was proposed by this very change.
    removed: bool,
    stage: Stage,
}

enum Stage {
    /// The next step is to be judged.
    Judges,
    /// It is judged again at the next tick.
    Waits,
    /// A command or a change of the members is under way.
    Proposed(Next),
    /// It is decided.
    Decided(Next, Result<AppliedOutcome, ProposeError>),
    /// Those concerned are to store this entry.
    Proves(Proof, EntryIndex),
    /// Another is about to lead.
    HandsOver,
}

/// What follows a proposal.
#[derive(Clone, Copy)]
enum Next {
    Judge,
    AddLearner,
    Prove(Proof),
}

/// What an entry on the disks of those concerned proves.
#[derive(Clone, Copy)]
enum Proof {
    /// The learner and the future majority are there: it may vote.
    Promote { instead_of: Option<ReplicaId> },
    /// The majority of those left is there: the member may go.
    Remove,
    /// The same, where the member leads.
    HandOver { to: ReplicaId },
    /// Most voters would know who votes, after a power cut too.
    Done,
}

/// What a change looks at and acts on.
pub(super) struct Leader<'a> {
    pub(super) now: Now,
    pub(super) replica: &'a mut Replica,
    pub(super) shared: &'a SharedView,
    /// The epoch that this node leads.
    pub(super) leads: Option<LeaderEpoch>,
}

impl VoterChanges {
    /// Takes a request of a leader.
    pub(super) fn ask(
        &mut self,
        id: RequestId,
        change: VoterChange,
        deadline: Duration,
        epoch: LeaderEpoch,
    ) {
        self.queue.push_back(OpenChange {
            id,
            change,
            deadline,
            epoch,
            admission: Admission::Admit,
            removed: false,
            stage: Stage::Judges,
        });
    }

    /// Whether no change is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A tick: what waits is looked at again.
    pub(super) fn tick(&mut self) {
        if let Some(open) = self.queue.front_mut()
            && matches!(open.stage, Stage::Waits)
        {
            open.stage = Stage::Judges;
        }
    }

    /// What became of a proposal. Nobody waits for that of a change whose deadline has come.
    pub(super) fn decided(&mut self, id: RequestId, outcome: Result<AppliedOutcome, ProposeError>) {
        if let Some(open) = self.queue.front_mut().filter(|open| open.id == id)
            && let Stage::Proposed(next) = open.stage
        {
            open.stage = Stage::Decided(next, outcome);
        }
    }

    /// Goes as far as it can.
    pub(super) fn go_on(&mut self, leader: &mut Leader<'_>, effects: &mut Vec<Effect>) {
        while let Some(open) = self.queue.front_mut() {
            let Some(done) = open.go_on(leader, effects) else {
                break;
            };
            effects.push(reply(open.id, done));
            self.queue.pop_front();
        }
        let now = leader.now.elapsed;
        self.queue.retain(|open| {
            let is_late = open.deadline <= now;
            if is_late {
                let not_yet = VoterChangeError::NotYet(open.reached(leader.replica));
                effects.push(reply(open.id, Err(not_yet)));
            }
            !is_late
        });
    }
}

/// The reply to a change.
pub(super) fn reply(to: RequestId, done: Result<(), VoterChangeError>) -> Effect {
    let reply = NodeReply::VotersChanged(done);
    Effect::Reply { to, reply }
}

impl OpenChange {
    /// Goes as far as it can; the reply, once there is one.
    fn go_on(
        &mut self,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<(), VoterChangeError>> {
        if leader.leads != Some(self.epoch) {
            return Some(Err(match self.stage {
                Stage::HandsOver => VoterChangeError::HandedOver,
                _ => VoterChangeError::Proposal(ProposeError::NotLeader),
            }));
        }
        loop {
            match std::mem::replace(&mut self.stage, Stage::Waits) {
                Stage::Judges => {
                    if let Err(error) = self.judge(leader, effects) {
                        return Some(Err(error));
                    }
                }
                Stage::Decided(next, outcome) => {
                    if let Err(error) = self.follow(next, outcome, leader, effects) {
                        return Some(Err(error));
                    }
                }
                Stage::Proves(proof, entry) if self.is_proved(proof, entry, leader.replica) => {
                    if let Some(done) = self.proved(proof, leader, effects) {
                        return Some(done);
                    }
                }
                stage @ (Stage::Waits
                | Stage::Proposed(_)
                | Stage::Proves(..)
                | Stage::HandsOver) => {
                    self.stage = stage;
                    return None;
                }
            }
        }
    }

    /// Decides and begins the next step; none leaves it waiting.
    fn judge(
        &mut self,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), VoterChangeError> {
        let members = Members {
            membership: leader.replica.membership(),
            quorum: leader.replica.quorum(),
        };
        match &self.change {
            VoterChange::Add {
                replica,
                instead_of,
                ..
            } => {
                self.admission = admission(&members, *replica, *instead_of);
                match self.admission {
                    Admission::Done => self.prove(Proof::Done, leader, effects),
                    Admission::Admit => {
                        let register = self.registration(leader)?;
                        self.propose(Next::AddLearner, register, leader, effects);
                    }
                    Admission::Dismiss(learner) => {
                        self.change(MembershipChange::Remove(learner), leader, effects);
                    }
                    Admission::Promote { instead_of } => {
                        self.prove(Proof::Promote { instead_of }, leader, effects);
                    }
                    Admission::WaitForSilence | Admission::CatchUp { .. } | Admission::EndJoint => {
                    }
                }
            }
            VoterChange::Remove { replica } => {
                match removal(&members, *replica, leader.shared.cluster.replica) {
                    Ok(Removal::Remove) => self.prove(Proof::Remove, leader, effects),
                    Ok(Removal::HandOver { to }) => {
                        self.prove(Proof::HandOver { to }, leader, effects);
                    }
                    // Also where an earlier request has removed it: most of those left are to know.
                    Err(RemovalRefused::NoMember) => self.prove(Proof::Done, leader, effects),
                    Err(RemovalRefused::Changing) if self.removed => {}
                    Err(refused) => return Err(VoterChangeError::CannotLeave(refused)),
                }
            }
        }
        Ok(())
    }

    /// The cluster must know where a replica is before anything is sent there. A node number stands for one replica; whose
    /// place is taken must be said.
    fn registration(&self, leader: &Leader<'_>) -> Result<Command, VoterChangeError> {
        let VoterChange::Add {
            node,
            replica,
            instead_of,
            registration,
        } = &self.change
        else {
            unreachable!("only what is to vote is registered")
        };
        let registration = registration.clone().ok_or(VoterChangeError::NotWaiting)?;
        let state = leader.shared.state();
        let registered = state.nodes().find(|(id, _)| id == node);
        let other = registered.map(|(_, known)| known.replica);
        let other = other.filter(|other| other != replica && Some(*other) != *instead_of);
        match other.filter(|other| leader.replica.membership().has(*other)) {
            None => Ok(Command::RegisterNode(registration)),
            Some(other) => Err(VoterChangeError::NumberTaken(other)),
        }
    }

    /// A proposal is decided. One that was not taken, since another change or too much is under way, is judged anew.
    fn follow(
        &mut self,
        next: Next,
        outcome: Result<AppliedOutcome, ProposeError>,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), VoterChangeError> {
        let entry = match outcome {
            Ok((entry, Ok(_))) => entry,
            Err(ProposeError::Dropped) => return Ok(()),
            Ok((_, Err(CommandError::ProposerDeposed))) => {
                return Err(VoterChangeError::Proposal(ProposeError::NotLeader));
            }
            Ok((_, Err(refusal))) => return Err(VoterChangeError::Refused(refusal)),
            Err(error) => return Err(VoterChangeError::Proposal(error)),
        };
        match next {
            Next::Judge => self.stage = Stage::Judges,
            Next::Prove(proof) => self.stage = Stage::Proves(proof, entry),
            Next::AddLearner => {
                let replica = self.replica();
                info!(%replica, "replica is added as a learner");
                self.change(MembershipChange::AddLearner(replica), leader, effects);
            }
        }
        Ok(())
    }

    /// Whether those concerned have the entry on their disks, sent there by this leader.
    fn is_proved(&self, proof: Proof, entry: EntryIndex, replica: &Replica) -> bool {
        let (quorum, membership): (&Quorum, _) = (replica.quorum(), replica.membership());
        let me = self.replica();
        let voters = match proof {
            Proof::Promote { instead_of } => voters_with(membership, me, instead_of),
            // A learner's leaving changes nothing about who votes, and is proved by those who do.
            Proof::Remove | Proof::HandOver { .. } => voters_without(membership, me),
            Proof::Done => membership.voters.clone(),
        };
        let learner_has_it = !matches!(proof, Proof::Promote { .. }) || is_on(quorum, me, entry);
        let is_of_this_leader = quorum.epoch == self.epoch;
        is_of_this_leader && learner_has_it && is_on_a_majority(quorum, &voters, entry)
    }

    /// Does what was to be proved; the reply, if that was the last of it.
    fn proved(
        &mut self,
        proof: Proof,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<(), VoterChangeError>> {
        let replica = self.replica();
        match proof {
            Proof::Promote { instead_of } => {
                info!(%replica, "learner has caught up and is to vote");
                let promotion = MembershipChange::Promote {
                    learner: replica,
                    instead_of,
                };
                self.change(promotion, leader, effects);
            }
            Proof::Remove => {
                info!(%replica, "member is removed");
                self.removed = true;
                self.change(MembershipChange::Remove(replica), leader, effects);
            }
            Proof::HandOver { to } => {
                info!(%replica, %to, "leadership is handed over before this node leaves");
                leader.replica.hand_over_to(to);
                self.stage = Stage::HandsOver;
            }
            Proof::Done => {
                let is_done = matches!(self.change, VoterChange::Add { .. }) || self.removed;
                let no_member = VoterChangeError::CannotLeave(RemovalRefused::NoMember);
                return Some(if is_done { Ok(()) } else { Err(no_member) });
            }
        }
        None
    }

    /// The command does only what is due anyway; what counts is its place in the journal.
    fn prove(&mut self, proof: Proof, leader: &mut Leader<'_>, effects: &mut Vec<Effect>) {
        let command = Command::ExpireTransactions;
        self.propose(Next::Prove(proof), command, leader, effects);
    }

    fn propose(
        &mut self,
        next: Next,
        command: Command,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.stage = Stage::Proposed(next);
        let proposer = Proposer::VoterChange(self.id);
        leader
            .replica
            .propose(leader.now, proposer, command, effects);
    }

    fn change(
        &mut self,
        change: MembershipChange,
        leader: &mut Leader<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.stage = Stage::Proposed(Next::Judge);
        let proposer = Proposer::VoterChange(self.id);
        leader.replica.change_membership(proposer, &change, effects);
    }

    fn replica(&self) -> ReplicaId {
        match self.change {
            VoterChange::Add { replica, .. } | VoterChange::Remove { replica } => replica,
        }
    }

    fn reached(&self, replica: &Replica) -> Reached {
        match self.change {
            VoterChange::Add { .. } => Reached::Admission(self.admission),
            VoterChange::Remove { replica: it } if replica.membership().has(it) => {
                Reached::StillMember
            }
            VoterChange::Remove { .. } => Reached::Removed,
        }
    }
}

#[cfg(test)]
mod tests;
