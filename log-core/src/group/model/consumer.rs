//! One process that consumes: what it knows, and what it does next with an answer.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::group::{
    Caller, GroupError, Heartbeat, Input, Join, JoinAbility, Joined, Leave, LeavingMember, Profile,
    Response, Sync,
};
use crate::ids::{Generation, MemberId, RequestId};

/// How many partitions the group divides.
pub(super) const PARTITIONS: u8 = 5;

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wants to join.
    Out,
    /// Has joined a generation and wants its assignment.
    Joined,
    /// Consumes.
    In,
    /// Ended: crashed, left, or fenced.
    Ended,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) ability: JoinAbility,
    pub(super) profile: Profile,
    pub(super) step: Step,
    /// The one request it waits for, and since when.
    pub(super) open: Option<(RequestId, Duration)>,
    /// Deaf and dumb until then: a long pause of its machine.
    pub(super) paused_until: Duration,
    pub(super) partitions: Vec<u8>,
    pub(super) generation: Option<Generation>,
    member_id: Option<MemberId>,
    joined: Option<Joined>,
}

impl Consumer {
    pub(super) fn new(ability: JoinAbility, profile: Profile) -> Self {
        Self {
            ability,
            profile,
            step: Step::Out,
            open: None,
            paused_until: Duration::ZERO,
            partitions: Vec::new(),
            generation: None,
            member_id: None,
            joined: None,
        }
    }

    /// What it asks for, as it stands.
    pub(super) fn request(&self, from: RequestId, fresh: Uuid) -> Option<Input> {
        match self.step {
            Step::Out => Some(Input::Join(self.join(from, fresh))),
            Step::Joined => Some(Input::Sync(self.sync(from)?)),
            Step::In => Some(Input::Heartbeat(Heartbeat {
                from,
                caller: self.caller()?,
            })),
            Step::Ended => None,
        }
    }

    fn join(&self, from: RequestId, fresh: Uuid) -> Join {
        Join {
            from,
            ability: self.ability,
            member_id: self.member_id.clone(),
            fresh,
            protocol_type: "consumer".to_owned(),
            profile: self.profile.clone(),
        }
    }

    fn sync(&self, from: RequestId) -> Option<Sync> {
        let joined = self.joined.as_ref()?;
        let assignments = if joined.skip_assignment {
            Vec::new()
        } else {
            ranges(joined)
        };
        Some(Sync {
            from,
            caller: self.caller()?,
            protocol_type: None,
            protocol_name: None,
            assignments,
        })
    }

    pub(super) fn caller(&self) -> Option<Caller> {
        Some(Caller {
            member_id: self.member_id.clone()?,
            instance_id: self.profile.instance_id.clone(),
            generation: self.generation,
        })
    }

    pub(super) fn leave(&self, from: RequestId) -> Option<Input> {
        let leaver = LeavingMember {
            member_id: Some(self.member_id.clone()?),
            instance_id: self.profile.instance_id.clone(),
        };
        Some(Input::Leave(Leave {
            from,
            members: vec![leaver],
        }))
    }

    /// Takes in an answer, or that there will be none.
    pub(super) fn take(&mut self, answer: Result<Response, ()>) {
        self.open = None;
        match answer {
            Err(()) => {
                self.step = if self.step == Step::In {
                    Step::In
                } else {
                    Step::Out
                }
            }
            Ok(Response::Join(Ok(joined))) => {
                self.member_id = Some(joined.member_id.clone());
                self.generation = Some(joined.generation);
                self.joined = Some(joined);
                self.step = Step::Joined;
            }
            Ok(Response::Sync(Ok(synced))) => {
                self.partitions = synced.assignment.to_vec();
                self.step = Step::In;
            }
            Ok(Response::Heartbeat(Ok(()))) => {}
            Ok(Response::Leave(_)) => self.step = Step::Ended,
            Ok(
                Response::Join(Err(error))
                | Response::Sync(Err(error))
                | Response::Heartbeat(Err(error)),
            ) => {
                self.take_error(error);
            }
        }
    }

    fn take_error(&mut self, error: GroupError) {
        self.step = Step::Out;
        match error {
            GroupError::MemberIdRequired { member_id } => self.member_id = Some(member_id),
            GroupError::UnknownMemberId => self.member_id = None,
            GroupError::FencedInstanceId => self.step = Step::Ended,
            GroupError::IllegalGeneration
            | GroupError::RebalanceInProgress
            | GroupError::CoordinatorNotAvailable
            | GroupError::NotCoordinator => {}
            GroupError::InconsistentGroupProtocol
            | GroupError::InvalidSessionTimeout
            | GroupError::GroupMaxSizeReached => panic!("no consumer here gives cause for {error}"),
        }
    }
}

/// The leader's assignor: the partitions in turn.
fn ranges(joined: &Joined) -> Vec<(MemberId, Bytes)> {
    let count = joined.members.len();
    let of = |place: usize| {
        (0..PARTITIONS).filter(move |partition| usize::from(*partition) % count == place)
    };
    let ids = joined.members.iter().map(|member| member.member_id.clone());
    ids.enumerate()
        .map(|(place, id)| (id, of(place).collect()))
        .collect()
}
