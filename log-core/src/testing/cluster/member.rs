//! A member of a consumer group: joins, is given partitions, reads on from where the group was, commits how far it came.
//! Now and then it falls asleep for longer than its session lasts, and commits when it wakes, as a zombie does; or it
//! begins anew. The first member is a static one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::failure::Failure;
use super::history::Bounds;
use super::isolation::Isolation;
use super::request::{
    FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext, RequestOrigin,
};
use super::topic;
use crate::group::{
    self, Caller, GroupError, Heartbeat, Input, Join, JoinAbility, Joined, Profile, Protocol, Sync,
};
use crate::ids::{
    Generation, GroupId, GroupInstanceId, MemberId, Offset, PartitionIndex, RequestId,
};
use crate::node::{Outcome, ProposeError};
use crate::state::{Command, CommandError, CommitOffsets, Committer, NewOffset};

/// The group.
pub(super) fn watching_group() -> GroupId {
    GroupId::new("watching")
}

/// A member that is silent for longer is dropped.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_millis(2_500);
const REBALANCE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Records taken between two commits.
const READ_BYTES_MAX: usize = 1 << 10;

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Joins,
    Syncs,
    /// Asks how far the group has come in its partitions.
    Reads,
    Consumes,
    Commits,
    Beats,
}

pub(super) struct Member {
    client: usize,
    instance: Option<GroupInstanceId>,
    id: Option<MemberId>,
    step: Step,
    joined: Option<Joined>,
    partitions: Vec<PartitionIndex>,
    /// The next record it reads, of those it owns.
    next: BTreeMap<PartitionIndex, Offset>,
    /// The latest generation that had begun when it asked for its commit.
    begun: Generation,
    /// Whether the group has come to the end of everything.
    finished: bool,
}

impl Member {
    pub(super) fn new(client: usize, number: usize) -> Self {
        Self {
            client,
            instance: (number == 0).then(|| GroupInstanceId::new("kim")),
            id: None,
            step: Step::Joins,
            joined: None,
            partitions: Vec::new(),
            next: BTreeMap::new(),
            begun: Generation(0),
            finished: false,
        }
    }

    pub(super) fn next(&mut self, context: RequestContext<'_>) -> Option<Request> {
        if self.finished {
            return None;
        }
        if context.phase == FaultPhase::Trouble && context.chance.random_bool(0.01) {
            self.begin_anew();
        }
        let from = request_id(context.asker);
        Some(match self.step {
            Step::Joins => group_request(Input::Join(self.join(from))),
            Step::Syncs => group_request(Input::Sync(self.sync(from))),
            Step::Beats => group_request(Input::Heartbeat(Heartbeat {
                from,
                caller: self.caller(),
            })),
            Step::Reads => Request::Read,
            Step::Consumes => Request::Look,
            Step::Commits => self.commit(context),
        })
    }

    /// Its process ended, and another one takes its place.
    fn begin_anew(&mut self) {
        self.id = None;
        self.step = Step::Joins;
    }

    fn join(&self, from: RequestId) -> Join {
        Join {
            from,
            ability: JoinAbility::TwoSteps,
            member_id: self.id.clone(),
            fresh: Uuid::from_u64_pair(0x6d61_7964_6179, from.0),
            protocol_type: "consumer".to_owned(),
            profile: Profile {
                instance_id: self.instance.clone(),
                client_id: format!("member-{}", self.client),
                client_host: "/127.0.0.1".to_owned(),
                session_timeout: SESSION_TIMEOUT,
                rebalance_timeout: REBALANCE_TIMEOUT,
                protocols: vec![Protocol {
                    name: "range".to_owned(),
                    metadata: Bytes::new(),
                }],
            },
        }
    }

    fn sync(&self, from: RequestId) -> Sync {
        Sync {
            from,
            caller: self.caller(),
            protocol_type: None,
            protocol_name: None,
            assignments: self.joined.as_ref().map(shared_out).unwrap_or_default(),
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            member_id: self.id.clone().expect("it has joined"),
            instance_id: self.instance.clone(),
            generation: Some(self.generation()),
        }
    }

    fn generation(&self) -> Generation {
        self.joined.as_ref().expect("it has joined").generation
    }

    /// Some commits go past the coordinator, as one that it admitted just before it was deposed: what the state machine
    /// has recorded must judge them too.
    fn commit(&mut self, context: RequestContext<'_>) -> Request {
        self.begun = context.history.generation_begun();
        let offsets = self.next.iter().map(|(partition, offset)| NewOffset {
            partition: topic::place(*partition),
            offset: *offset,
            leader_epoch: None,
            metadata: String::new(),
        });
        let commit = CommitOffsets {
            group: watching_group(),
            by: Committer {
                generation: Some(self.generation()),
                member: self.id.clone(),
                instance: self.instance.clone(),
            },
            offsets: offsets.collect(),
            retention_ms: None,
        };
        if context.chance.random_bool(0.5) {
            return Request::Propose(Command::CommitOffsets(commit));
        }
        let caller = self.caller();
        Request::Commit { caller, commit }
    }

    pub(super) fn hear(&mut self, said: Reply, context: &mut ReplyContext<'_>) -> NextNode {
        match said {
            Reply::Group(group::Response::Join(Ok(joined))) => {
                is_coordinated(joined.generation, context);
                self.id = Some(joined.member_id.clone());
                self.joined = Some(joined);
                self.step = Step::Syncs;
            }
            Reply::Group(group::Response::Sync(Ok(synced))) => {
                self.assigned(&synced.assignment, context);
            }
            Reply::Group(group::Response::Heartbeat(Ok(()))) => {
                is_coordinated(self.generation(), context);
                self.step = Step::Reads;
            }
            Reply::Group(
                group::Response::Join(Err(error))
                | group::Response::Sync(Err(error))
                | group::Response::Heartbeat(Err(error)),
            )
            | Reply::NotAdmitted(error) => return self.failed(error, context),
            Reply::Group(group::Response::Leave(_)) => {
                unreachable!("nobody leaves in so many words")
            }
            Reply::Readable(Err(_)) => return NextNode::Elsewhere,
            Reply::Readable(Ok(())) => self.read(context),
            Reply::Shown => self.consume(context),
            Reply::Outcome(outcome) => return self.committed(outcome, context),
        }
        NextNode::Stay
    }

    fn assigned(&mut self, assignment: &[u8], context: &mut ReplyContext<'_>) {
        context.coverage.count("assignments");
        is_coordinated(self.generation(), context);
        let partitions = assignment.iter().copied().map(u32::from);
        self.partitions = partitions.map(PartitionIndex).collect();
        context
            .history
            .assigned(self.generation(), self.owner(), &self.partitions);
        self.next.clear();
        self.step = Step::Reads;
    }

    /// A static member keeps what it owns under a new member id.
    fn owner(&self) -> String {
        let id = self.id.as_ref().map(MemberId::to_string);
        let instance = self.instance.as_ref().map(GroupInstanceId::to_string);
        instance.or(id).expect("it has joined")
    }

    /// Where nothing was committed yet, it begins at the beginning.
    fn read(&mut self, context: &ReplyContext<'_>) {
        let group = context.view.state.group(&watching_group());
        let committed = |partition: PartitionIndex| {
            let offset = group.and_then(|group| group.offset(&topic::place(partition)));
            offset.map_or(Offset(0), |committed| committed.offset)
        };
        for partition in &self.partitions {
            let known = self.next.entry(*partition).or_default();
            *known = (*known).max(committed(*partition));
        }
        self.finished = context.phase == FaultPhase::Quiet
            && topic::partitions().all(|partition| {
                let bounds = Bounds::of(context.view.partition(partition));
                bounds.high_watermark <= committed(partition)
            });
        self.step = if self.next.is_empty() {
            Step::Beats
        } else {
            Step::Consumes
        };
    }

    fn consume(&mut self, context: &mut ReplyContext<'_>) {
        for (partition, next) in &mut self.next {
            let bounds = Bounds::of(context.view.partition(*partition));
            *next = (*next).max(bounds.log_start);
            let below = bounds.end(Isolation::Committed);
            if below <= *next {
                continue;
            }
            match context.view.read(*partition, *next, below, READ_BYTES_MAX) {
                Ok(batches) => {
                    let last = batches.last().map(|last| last.header.next_offset());
                    *next = last.unwrap_or(*next);
                }
                Err(error) => context.damage = Some(Failure::of(&error)),
            }
        }
        self.step = Step::Commits;
    }

    fn committed(
        &mut self,
        outcome: Result<Outcome, ProposeError>,
        context: &mut ReplyContext<'_>,
    ) -> NextNode {
        match outcome {
            Ok(Ok(_)) => {
                context.coverage.count("group commits");
                let member = self.id.clone().expect("it has joined");
                context
                    .history
                    .member_committed(&member, self.generation(), self.begun);
                self.step = Step::Beats;
            }
            Ok(Err(
                CommandError::IllegalGeneration { .. }
                | CommandError::UnknownMember { .. }
                | CommandError::FencedInstance { .. },
            )) => {
                context.coverage.count("members fenced");
                self.step = Step::Beats;
            }
            Ok(Err(CommandError::ProposerDeposed)) | Err(_) => return NextNode::Elsewhere,
            Ok(Err(refusal)) => context.history.refused(context.client, &refusal),
        }
        NextNode::Stay
    }

    fn failed(&mut self, error: GroupError, context: &mut ReplyContext<'_>) -> NextNode {
        if error == GroupError::NotCoordinator {
            self.unanswered();
            return NextNode::Elsewhere;
        }
        self.step = Step::Joins;
        match error {
            GroupError::MemberIdRequired { member_id } => self.id = Some(member_id),
            GroupError::UnknownMemberId => self.id = None,
            // The successor of its own making has taken its place: it goes on as that one.
            GroupError::FencedInstanceId => self.id = None,
            GroupError::IllegalGeneration | GroupError::RebalanceInProgress => {
                context.coverage.count("rebalances followed");
            }
            GroupError::CoordinatorNotAvailable => return NextNode::Elsewhere,
            GroupError::NotCoordinator
            | GroupError::InconsistentGroupProtocol
            | GroupError::InvalidSessionTimeout
            | GroupError::GroupMaxSizeReached => context.history.wronged(context.client, &error),
        }
        NextNode::Stay
    }

    /// A coordinator that does not answer may have lost this member: it asks again from the start.
    pub(super) fn unanswered(&mut self) {
        if self.step == Step::Syncs {
            self.step = Step::Joins;
        }
    }

    pub(super) fn rest(&mut self, phase: FaultPhase, chance: &mut ChaCha8Rng) -> Duration {
        let likely = if self.step == Step::Commits {
            0.1
        } else {
            0.01
        };
        let sleeps = phase == FaultPhase::Trouble && chance.random_bool(likely);
        Duration::from_millis(if sleeps { 4_000 } else { 150 })
    }
}

/// A node answers a member of this generation.
fn is_coordinated(generation: Generation, context: &mut ReplyContext<'_>) {
    let group = context.view.state.group(&watching_group());
    let recorded = group.map_or(Generation(0), |group| group.generation());
    let node = context.view.node;
    context.history.coordinated(node, generation, recorded);
}

fn group_request(input: Input) -> Request {
    Request::Group(watching_group(), input)
}

/// The request's number names who asked, and in which try.
pub(super) fn request_id(asker: RequestOrigin) -> RequestId {
    RequestId(topic::value_of(asker.client, asker.attempt))
}

/// Who asked.
pub(super) fn asker_of(request: RequestId) -> RequestOrigin {
    RequestOrigin {
        client: usize::try_from(request.0 >> 32).expect("few"),
        attempt: request.0 & u64::from(u32::MAX),
    }
}

/// The leader's assignor: the partitions in turn.
fn shared_out(joined: &Joined) -> Vec<(MemberId, Bytes)> {
    let count = joined.members.len();
    let share = |place: usize| {
        let partitions = topic::partitions().map(|partition| partition.0);
        let own = partitions.filter(|partition| *partition as usize % count == place);
        own.map(|partition| u8::try_from(partition).expect("few"))
            .collect()
    };
    let ids = joined.members.iter().map(|member| member.member_id.clone());
    ids.enumerate()
        .map(|(place, id)| (id, share(place)))
        .collect()
}
