//! The coordinator of the consumer groups: one task that owns them all while this node leads.
//!
//! It loops *next input, handle, perform*: what members ask, what became of records, and time. The groups decide
//! ([`crate::group`]); here their records are proposed as commands, in order, their answers sent, their timers kept. A
//! new leader resumes every group from what is recorded, with fresh timers; an old one answers everybody
//! NOT_COORDINATOR and forgets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::replica_handle::{Pending, ReplicaHandle};
use crate::clock::Clock;
use crate::group::{
    Caller, CompletedRebalance, Description, Effect, Group, GroupConfig, GroupError, Input,
    RecordId, RequestId, Response,
};
use crate::ids::{GroupId, LeaderEpoch};
use crate::node::{Leadership, recorded_group};
use crate::state::Command;

/// Questions in line. Each is one request of one connection, which waits for its answer: more only means that the
/// connections wait here instead of there.
const ASKED_MAX: usize = 1024;

/// What can be asked of the coordinator.
enum Asked {
    /// A member's request.
    Request {
        group: GroupId,
        input: ToInput,
        reply: oneshot::Sender<Response>,
    },
    /// Whether a commit may be proposed.
    Admit {
        group: GroupId,
        caller: Option<Caller>,
        reply: oneshot::Sender<Result<(), GroupError>>,
    },
    /// What one group looks like; `None` when it never had a member.
    Describe {
        group: GroupId,
        reply: oneshot::Sender<Option<Description>>,
    },
    /// What all of them look like.
    List {
        reply: oneshot::Sender<Vec<(GroupId, Description)>>,
    },
    /// The group is deleted: forget it, unless somebody has joined meanwhile.
    Forget { group: GroupId },
}

/// Makes the input, once the coordinator has numbered the request.
type ToInput = Box<dyn FnOnce(RequestId) -> Input + Send>;

/// A way to ask the coordinator.
#[derive(Clone)]
pub(super) struct CoordinatorHandle {
    asked: mpsc::Sender<Asked>,
}

/// Nobody answers: this node does not coordinate (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotCoordinating;

impl CoordinatorHandle {
    /// A member's request; its answer may take as long as a rebalance does.
    pub(super) async fn request(
        &self,
        group: GroupId,
        input: impl FnOnce(RequestId) -> Input + Send + 'static,
    ) -> Result<Response, NotCoordinating> {
        self.ask(|reply| Asked::Request {
            group,
            input: Box::new(input),
            reply,
        })
        .await
    }

    /// Whether a commit may be proposed.
    pub(super) async fn admit_commit(
        &self,
        group: GroupId,
        caller: Option<Caller>,
    ) -> Result<Result<(), GroupError>, NotCoordinating> {
        self.ask(|reply| Asked::Admit {
            group,
            caller,
            reply,
        })
        .await
    }

    /// What a group looks like; `None` when it never had a member.
    pub(super) async fn describe(
        &self,
        group: GroupId,
    ) -> Result<Option<Description>, NotCoordinating> {
        self.ask(|reply| Asked::Describe { group, reply }).await
    }

    /// What all groups with members, present or past, look like.
    pub(super) async fn list(&self) -> Result<Vec<(GroupId, Description)>, NotCoordinating> {
        self.ask(|reply| Asked::List { reply }).await
    }

    /// Forgets a group that was deleted.
    pub(super) async fn forget(&self, group: GroupId) {
        if self.asked.send(Asked::Forget { group }).await.is_err() {
            debug!("the coordinator has ended");
        }
    }

    async fn ask<T>(
        &self,
        asked: impl FnOnce(oneshot::Sender<T>) -> Asked,
    ) -> Result<T, NotCoordinating> {
        let (reply, answer) = oneshot::channel();
        self.asked
            .send(asked(reply))
            .await
            .map_err(|_| NotCoordinating)?;
        answer.await.map_err(|_| NotCoordinating)
    }
}

/// The task's own.
pub(super) struct Coordinator {
    replica: ReplicaHandle,
    clock: Arc<Clock>,
    config: GroupConfig,
    asked: mpsc::Receiver<Asked>,
    /// The epoch in which the groups were resumed; none while another node leads.
    epoch: Option<LeaderEpoch>,
    groups: BTreeMap<GroupId, Group>,
    sizes: Sizes,
    timers: Timers,
    waiting: BTreeMap<RequestId, oneshot::Sender<Response>>,
    next_request: u64,
    /// Records on their way, each resolving to its fate.
    records: FuturesUnordered<BoxFuture<'static, Fate>>,
}

/// What became of a record.
struct Fate {
    group: GroupId,
    id: RecordId,
    is_recorded: bool,
}

impl Coordinator {
    pub(super) fn new(
        replica: ReplicaHandle,
        clock: Arc<Clock>,
        config: GroupConfig,
    ) -> (Self, CoordinatorHandle) {
        let (handle, asked) = mpsc::channel(ASKED_MAX);
        let coordinator = Self {
            replica,
            clock,
            config,
            asked,
            epoch: None,
            groups: BTreeMap::new(),
            sizes: Sizes::default(),
            timers: Timers::default(),
            waiting: BTreeMap::new(),
            next_request: 0,
            records: FuturesUnordered::new(),
        };
        (coordinator, CoordinatorHandle { asked: handle })
    }

    /// Coordinates until shutdown.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut leadership = self.replica.leadership_changes();
        loop {
            self.follow_leadership().await;
            let due_in = self
                .timers
                .first()
                .map(|at| at.saturating_sub(self.clock.elapsed()));
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.take(asked).await,
                    None => return,
                },
                Some(fate) = self.records.next(), if !self.records.is_empty() => self.hear(fate).await,
                () = sleep_or_rest(due_in) => self.wake_those_due().await,
                changed = leadership.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return self.retire().await,
            }
        }
    }

    /// Resumes the groups where this node has begun to lead, retires them where it has ceased to. Asked before every
    /// step, so that no request meets groups of another epoch.
    async fn follow_leadership(&mut self) {
        let now_leading = match self.replica.leadership() {
            Leadership::Leader { epoch } => Some(epoch),
            Leadership::Starting | Leadership::Follower { .. } => None,
        };
        if self.epoch == now_leading {
            return;
        }
        self.retire().await;
        self.epoch = now_leading;
        if now_leading.is_some() {
            self.resume().await;
        }
    }

    async fn resume(&mut self) {
        let recorded: Vec<_> = {
            let state = self.replica.state();
            let had_members = state
                .groups()
                .filter(|(_, group)| group.generation().0 != 0);
            had_members
                .map(|(id, group)| (id.clone(), recorded_group::resumed(group)))
                .collect()
        };
        let now = self.clock.elapsed();
        for (id, rebalance) in recorded {
            let group = Group::resume(self.config, rebalance, now);
            self.sizes.set(&id, group.bytes());
            self.groups.insert(id.clone(), group);
            self.input(id, Input::Tick).await;
        }
    }

    async fn retire(&mut self) {
        self.records = FuturesUnordered::new();
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        for group in groups {
            self.input(group, Input::Retire).await;
        }
        self.groups.clear();
        self.sizes = Sizes::default();
        self.timers = Timers::default();
        self.waiting.clear();
        self.epoch = None;
    }

    async fn take(&mut self, asked: Asked) {
        self.follow_leadership().await;
        if self.epoch.is_none() {
            // The sender goes, and with it the asker learns that nobody coordinates here.
            return drop(asked);
        }
        match asked {
            Asked::Request {
                group,
                input,
                reply,
            } => {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                let input = input(id);
                if let Some(refusal) = self.refusal_for_size(&group, &input) {
                    return answer(reply, refusal);
                }
                self.waiting.insert(id, reply);
                self.groups
                    .entry(group.clone())
                    .or_insert_with(|| Group::new(self.config));
                self.input(group, input).await;
            }
            Asked::Admit {
                group,
                caller,
                reply,
            } => answer(reply, self.admit(&group, caller.as_ref())),
            Asked::Describe { group, reply } => {
                answer(reply, self.groups.get(&group).map(Group::describe))
            }
            Asked::List { reply } => {
                let all = self
                    .groups
                    .iter()
                    .map(|(id, group)| (id.clone(), group.describe()));
                answer(reply, all.collect());
            }
            Asked::Forget { group } => self.forget(&group),
        }
    }

    /// The answer to a request after which the groups would take more memory than they may.
    fn refusal_for_size(&self, id: &GroupId, input: &Input) -> Option<Response> {
        let refusal = match input {
            Input::Join(_) => Response::Join(Err(GroupError::GroupMaxSizeReached)),
            Input::Sync(_) => Response::Sync(Err(GroupError::GroupMaxSizeReached)),
            _ => return None,
        };
        let unknown = Group::new(self.config);
        let group = self.groups.get(id).unwrap_or(&unknown);
        let added = group.bytes_added_by(input);
        let fits =
            added == 0 || self.sizes.total + id.as_str().len() + added <= self.config.bytes_max;
        (!fits).then_some(refusal)
    }

    fn admit(&mut self, group: &GroupId, caller: Option<&Caller>) -> Result<(), GroupError> {
        let now = self.clock.elapsed();
        match self.groups.get_mut(group) {
            Some(group) => group.admit_commit(now, caller),
            None => Group::new(self.config).admit_commit(now, caller),
        }
    }

    fn forget(&mut self, group: &GroupId) {
        if self.groups.get(group).is_some_and(Group::is_forgettable) {
            self.groups.remove(group);
            self.sizes.set(group, 0);
            self.timers.clear(group);
        }
    }

    async fn hear(&mut self, fate: Fate) {
        let input = if fate.is_recorded {
            Input::Recorded(fate.id)
        } else {
            Input::RecordFailed(fate.id)
        };
        self.input(fate.group, input).await;
    }

    async fn wake_those_due(&mut self) {
        for group in self.timers.take_due(self.clock.elapsed()) {
            self.input(group, Input::Tick).await;
        }
    }

    /// Gives one group one input and performs what follows, in order.
    async fn input(&mut self, id: GroupId, input: Input) {
        // A beat changes no size, and large groups beat often.
        let resizes = !matches!(input, Input::Heartbeat(_));
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let Some(group) = self.groups.get_mut(&id) else {
                return;
            };
            group.handle(self.clock.elapsed(), input, &mut effects);
            for effect in effects.drain(..) {
                inputs.extend(self.perform(&id, effect).await);
            }
        }
        if self.groups.get(&id).is_some_and(Group::is_unused) {
            self.groups.remove(&id);
            self.sizes.set(&id, 0);
            self.timers.clear(&id);
        } else if resizes && let Some(group) = self.groups.get(&id) {
            self.sizes.set(&id, id.as_str().len() + group.bytes());
        }
    }

    /// Performs one effect; what the group must hear of it at once, if anything.
    async fn perform(&mut self, id: &GroupId, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Reply { to, response } => {
                if let Some(reply) = self.waiting.remove(&to) {
                    answer(reply, response);
                }
            }
            Effect::WakeAt(at) => self.timers.set(id, at),
            Effect::Record {
                id: record,
                rebalance,
            } => {
                let Some(epoch) = self.epoch else {
                    return Some(Input::RecordFailed(record));
                };
                match propose(&self.replica, epoch, id.clone(), record, rebalance).await {
                    Some(fate) => self.records.push(fate),
                    None => return Some(Input::RecordFailed(record)),
                }
            }
        }
        None
    }
}

/// Puts a record in line; its fate is heard later. `None` when it was not proposed: what was decided in one epoch must not
/// be recorded in another, where the groups were resumed without it.
async fn propose(
    replica: &ReplicaHandle,
    epoch: LeaderEpoch,
    group: GroupId,
    id: RecordId,
    rebalance: CompletedRebalance,
) -> Option<BoxFuture<'static, Fate>> {
    let command = Command::CompleteRebalance(recorded_group::command(group.clone(), rebalance));
    let pending = match replica.propose_in(epoch, command).await {
        Ok(pending) => pending,
        Err(error) => {
            warn!(%group, error = &error as &(dyn std::error::Error + 'static), "rebalance was not recorded");
            return None;
        }
    };
    Some(Box::pin(fate(group, id, pending)))
}

async fn fate(group: GroupId, id: RecordId, pending: Pending) -> Fate {
    let outcome = pending.outcome().await;
    if let Ok(Err(refusal)) = &outcome {
        warn!(%group, error = refusal as &(dyn std::error::Error + 'static), "rebalance was not recorded");
    }
    Fate {
        group,
        id,
        is_recorded: matches!(outcome, Ok(Ok(_))),
    }
}

fn answer<T>(reply: oneshot::Sender<T>, response: T) {
    if reply.send(response).is_err() {
        debug!("the asker has gone");
    }
}

async fn sleep_or_rest(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The bytes that each group takes, and their sum.
#[derive(Default)]
struct Sizes {
    by_group: BTreeMap<GroupId, usize>,
    total: usize,
}

impl Sizes {
    fn set(&mut self, group: &GroupId, bytes: usize) {
        let before = match bytes {
            0 => self.by_group.remove(group),
            bytes => self.by_group.insert(group.clone(), bytes),
        };
        self.total = self.total - before.unwrap_or(0) + bytes;
    }
}

/// When each group wants to be woken; the latest word counts.
#[derive(Default)]
struct Timers {
    by_time: BTreeSet<(Duration, GroupId)>,
    by_group: BTreeMap<GroupId, Duration>,
}

impl Timers {
    fn set(&mut self, group: &GroupId, at: Duration) {
        self.clear(group);
        self.by_time.insert((at, group.clone()));
        self.by_group.insert(group.clone(), at);
    }

    fn clear(&mut self, group: &GroupId) {
        if let Some(at) = self.by_group.remove(group) {
            self.by_time.remove(&(at, group.clone()));
        }
    }

    fn first(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Duration) -> Vec<GroupId> {
        let mut due = Vec::new();
        while self.first().is_some_and(|at| at <= now) {
            let (_, group) = self.by_time.pop_first().expect("there is a first");
            self.by_group.remove(&group);
            due.push(group);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_woken_at_the_latest_time_it_named_and_once() {
        let seconds = Duration::from_secs;
        let (kim, lee) = (GroupId::new("kim"), GroupId::new("lee"));
        let mut timers = Timers::default();
        timers.set(&kim, seconds(5));
        timers.set(&lee, seconds(6));
        timers.set(&kim, seconds(7));

        assert_eq!(timers.first(), Some(seconds(6)));
        assert_eq!(timers.take_due(seconds(5)), []);
        assert_eq!(timers.take_due(seconds(7)), [lee, kim]);
        assert_eq!(timers.first(), None);
    }
}
