//! Proposals that are not answered as soon as they are applied, or wait no longer than until their deadline. The reply to a
//! deadline says what was reached: not proposed, proposed, applied.
//!
//! It is committed once it is applied, whoever leads by then: what a new leader tells of the disks is as good as what this one
//! saw.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::Effect;
use super::propose_error::{AppliedOutcome, ProposeError};
use super::reply::NodeReply;
use crate::consensus::{Membership, Quorum};
use crate::ids::RequestId;

/// When a proposal is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Once it is applied: it is on the disks of a majority then.
    Applied,
    /// So many voters must be in sync before it is proposed, and have it on their disks when it is answered; no more than
    /// there are (`min.insync.replicas`).
    OnDisks(usize),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Requests {
    open: BTreeMap<RequestId, OpenRequest>,
}

struct OpenRequest {
    deadline: Duration,
    /// How many voters must have it on their disks; none where a majority will do, which every applied entry has.
    on_disks: Option<usize>,
    /// What is to be said, where it is applied and not on so many disks.
    applied: Option<AppliedOutcome>,
}

impl Until {
    /// How many voters must have it on their disks, where that is more than the majority that every entry has.
    pub(crate) fn beyond_a_majority(self, members: &Membership) -> Option<usize> {
        self.required(members)
            .filter(|required| members.majority() < *required)
    }

    /// No more than there are: in a cluster that has shrunk, or with an old journal's setting that cannot be met, all of
    /// them.
    fn required(self, members: &Membership) -> Option<usize> {
        match self {
            Self::Applied => None,
            Self::OnDisks(wanted) => Some(wanted.min(members.voters.len())),
        }
    }

    /// Whether so many voters are in sync that it may be proposed; how many must have it on their disks then, as in
    /// [`Until::beyond_a_majority`].
    pub(crate) fn admit(
        self,
        quorum: &Quorum,
        members: &Membership,
    ) -> Result<Option<usize>, ProposeError> {
        let in_sync = quorum.in_sync().count();
        match self.required(members) {
            Some(required) if in_sync < required => {
                Err(ProposeError::NotEnoughReplicas { in_sync, required })
            }
            _ => Ok(self.beyond_a_majority(members)),
        }
    }
}

impl Requests {
    /// A proposal is under way.
    pub(crate) fn open(&mut self, id: RequestId, on_disks: Option<usize>, deadline: Duration) {
        let request = OpenRequest {
            deadline,
            on_disks,
            applied: None,
        };
        self.open.insert(id, request);
    }

    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What became of a proposal: the reply, unless it has to be on more disks first or was given at the deadline.
    pub(crate) fn decided(
        &mut self,
        id: RequestId,
        outcome: Result<AppliedOutcome, ProposeError>,
        quorum: &Quorum,
        effects: &mut Vec<Effect>,
    ) {
        let Some(request) = self.open.get_mut(&id) else {
            return;
        };
        match (outcome, request.on_disks) {
            (Ok(applied @ (_, Ok(_))), Some(required))
                if !quorum.has_on_disk(applied.0, required) =>
            {
                request.applied = Some(applied);
            }
            (outcome, _) => {
                self.open.remove(&id);
                effects.push(reply(id, outcome));
            }
        }
    }

    /// Looks at the time, and at the disks.
    pub(crate) fn tick(&mut self, now: Duration, quorum: &Quorum, effects: &mut Vec<Effect>) {
        self.open.retain(|id, request| {
            let settled = match (&request.applied, request.on_disks) {
                (Some(applied), Some(required)) if quorum.has_on_disk(applied.0, required) => {
                    Ok(applied.clone())
                }
                _ if now < request.deadline => return true,
                (Some(_), Some(required)) => Err(ProposeError::NotOnDisks { required }),
                _ => Err(ProposeError::NotInTime),
            };
            effects.push(reply(*id, settled));
            false
        });
    }
}

fn reply(to: RequestId, outcome: Result<AppliedOutcome, ProposeError>) -> Effect {
    let reply = NodeReply::Outcome(outcome);
    Effect::Reply { to, reply }
}
