//! What connections and timers ask of this node's replica: propose, read, and know who leads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tracing::debug;

use super::node_view::NodeView;
use crate::consensus::{Membership, Quorum};
use crate::group::{self, Caller, Description, GroupError, Overview, Response};
use crate::ids::{EntryIndex, GroupId, LeaderEpoch, ReplicaId, RequestId, TimestampMs};
use crate::node::clocks::Clocks;
use crate::node::disk_room::{DiskRoom, RoomReport};
use crate::node::partition_bound::{PartitionBound, ProposedPartitions};
use crate::node::{
    AppliedOutcome, COMMAND_BYTES_MAX, Cluster, GroupRequest, Input, Leadership, NodeReply,
    NodeRequest, Now, Outcome, ProposeError, TooManyPartitions, Until, VoterChange,
    VoterChangeError,
};
use crate::state::{ClockJumps, Command, Produce, State, Topic};
use crate::storage::Partitions;
use crate::storage::snapshot::SnapshotError;

/// Bytes of proposals that wait to be applied, all connections together. Consensus takes 64 MiB (rule 4); the rest is for
/// what the node itself proposes. A connection that asks for more waits, which stops it from being read.
const PROPOSED_BYTES_MAX: usize = 56 << 20;
/// Inputs waiting for the node's thread. Proposals are bounded in bytes; this only bounds the small ones.
const QUEUED_MAX: usize = 4096;

/// Why a part of a snapshot cannot be given.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunkError {
    /// It is not held here, or no longer: the leader tells of a newer one.
    #[error("this snapshot is not held here any more")]
    Gone,
    /// Its files cannot be read, or the part asked for is none of them.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// What waits for the node's thread.
pub(super) struct QueuedInput {
    pub(super) input: Input,
    /// Of a request.
    pub(super) waiter: Option<Waiter>,
}

/// Who waits for a reply, which frees what the request holds of the bounds.
pub(super) struct Waiter {
    reply: oneshot::Sender<NodeReply>,
    _permit: Option<ProposalPermit>,
}

impl Waiter {
    /// The client may have stopped waiting; then the reply is not needed.
    pub(super) fn reply(self, reply: NodeReply) {
        drop(self.reply.send(reply));
    }
}

/// What a proposal holds until it is applied, or it is known that it will not be.
pub(super) struct ProposalPermit {
    _bytes: OwnedSemaphorePermit,
    _partitions: Option<ProposedPartitions>,
}

/// A way to ask the replica; cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    queue: mpsc::Sender<QueuedInput>,
    requests: Arc<AtomicU64>,
    budget: Arc<Semaphore>,
    view: NodeView,
}

/// A proposal on its way.
#[must_use = "a proposal's outcome is an answer that somebody waits for"]
pub struct Pending {
    reply: oneshot::Receiver<NodeReply>,
}

impl Pending {
    /// Waits for the outcome: applied (with the state machine's answer), or why that is not known.
    ///
    /// # Errors
    /// [`ProposeError`]; its variants say whether the command may have been committed.
    ///
    /// # Cancel safety
    /// Dropping it forgets the answer, not the proposal.
    pub async fn outcome(self) -> Result<Outcome, ProposeError> {
        self.applied().await.map(|(_, outcome)| outcome)
    }

    /// The same, with the entry that the command became: what [`Quorum::has_on_disk`] asks for.
    ///
    /// # Errors
    /// As [`Pending::outcome`].
    ///
    /// # Cancel safety
    /// As [`Pending::outcome`].
    pub async fn applied(self) -> Result<AppliedOutcome, ProposeError> {
        match self.reply.await {
            Ok(NodeReply::Outcome(outcome)) => outcome,
            Ok(other) => unreachable!("replied to a proposal: {other:?}"),
            Err(_) => Err(ProposeError::Stopped),
        }
    }
}

impl NodeHandle {
    /// With the end of the line that the node's thread holds.
    pub(super) fn of(view: NodeView) -> (Self, mpsc::Receiver<QueuedInput>) {
        let (queue, inputs) = mpsc::channel(QUEUED_MAX);
        let handle = Self {
            queue,
            requests: Arc::default(),
            budget: Arc::new(Semaphore::new(PROPOSED_BYTES_MAX)),
            view,
        };
        (handle, inputs)
    }

    /// Puts a command in line. Commands of one caller are proposed in the order of its calls. Waits while
    /// 56 MiB are under way.
    ///
    /// # Errors
    /// [`ProposeError::TooLarge`], [`ProposeError::TooManyPartitions`], [`ProposeError::Stopped`]: nothing was proposed.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was proposed.
    pub async fn propose(&self, command: Command) -> Result<Pending, ProposeError> {
        let permit = self.permit(&command).await?;
        let request = NodeRequest::Propose(command);
        let reply = self.queue_request(|_| request, Some(permit)).await?;
        Ok(Pending { reply })
    }

    /// Puts a produce in line, as [`NodeHandle::propose`] does. It is answered by `deadline`.
    ///
    /// # Errors
    /// As [`NodeHandle::propose`].
    ///
    /// # Cancel safety
    /// As [`NodeHandle::propose`].
    pub(super) async fn produce(
        &self,
        produce: Produce,
        until: Until,
        deadline: Duration,
    ) -> Result<Pending, ProposeError> {
        let command = Command::Produce(produce);
        let permit = self.permit(&command).await?;
        let request = NodeRequest::Produce {
            command,
            until,
            deadline,
        };
        let reply = self.queue_request(|_| request, Some(permit)).await?;
        Ok(Pending { reply })
    }

    /// Waits until the command fits into the bounds.
    async fn permit(&self, command: &Command) -> Result<ProposalPermit, ProposeError> {
        let bytes = command.bytes_estimate();
        if COMMAND_BYTES_MAX < bytes {
            return Err(ProposeError::TooLarge);
        }
        let partitions = self.admit_partitions(command)?;
        let budget = Arc::clone(&self.budget);
        let bytes = u32::try_from(bytes).expect("7 MiB at most");
        let budgeted = budget.acquire_many_owned(bytes).await;
        Ok(ProposalPermit {
            _bytes: budgeted.map_err(|_| ProposeError::Stopped)?,
            _partitions: partitions,
        })
    }

    /// Puts a request in line; it may name its own id.
    async fn queue_request(
        &self,
        request: impl FnOnce(RequestId) -> NodeRequest,
        permit: Option<ProposalPermit>,
    ) -> Result<oneshot::Receiver<NodeReply>, ProposeError> {
        let id = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        let (reply, receiver) = oneshot::channel();
        let queued = QueuedInput {
            input: Input::Request {
                id,
                request: request(id),
            },
            waiter: Some(Waiter {
                reply,
                _permit: permit,
            }),
        };
        let queued = self.queue.send(queued).await;
        queued.map_err(|_| ProposeError::Stopped)?;
        Ok(receiver)
    }

    /// Puts an input in line that nobody is told anything about.
    async fn queue_input(&self, input: Input) -> Result<(), ProposeError> {
        let waiter = None;
        let queued = self.queue.send(QueuedInput { input, waiter }).await;
        queued.map_err(|_| ProposeError::Stopped)
    }

    /// Judges whether every voter can keep the files of the partitions open that a command would make. What the state
    /// machine refuses is left to it.
    ///
    /// # Errors
    /// [`TooManyPartitions`]: the command must not be proposed.
    ///
    /// # Panics
    /// As [`NodeHandle::state`].
    pub(super) fn admit_partitions(
        &self,
        command: &Command,
    ) -> Result<Option<ProposedPartitions>, TooManyPartitions> {
        let state = self.state();
        let added = match command {
            Command::CreateTopic(create) if state.check_create_topic(create).is_ok() => {
                create.partitions
            }
            Command::CreatePartitions(create) if state.check_create_partitions(create).is_ok() => {
                let present = state.topic_by_id(create.topic_id);
                let present = present.map_or(0, |(_, topic)| topic.partition_count());
                create.count.saturating_sub(present)
            }
            _ => return Ok(None),
        };
        let count = |(_, topic): (_, &Topic)| u64::from(topic.partition_count());
        let present = state.topics().map(count).sum();
        drop(state);
        let own = self.view.shared.cluster.replica;
        let members = self.membership();
        let bound = &self.view.shared.partition_bound;
        let admitted = bound.admit(own, &members, present, added.into())?;
        Ok(Some(admitted))
    }

    /// Waits until a read may be served: everything that was committed before the call is applied (ReadIndex).
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] where another leads; [`ProposeError::OutcomeUnknown`] when leadership was lost.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let reply = self
            .queue_request(|_| NodeRequest::ReadBarrier, None)
            .await?;
        match reply.await {
            Ok(NodeReply::Readable(allowed)) => allowed,
            Ok(other) => unreachable!("replied to a read: {other:?}"),
            Err(_) => Err(ProposeError::Stopped),
        }
    }

    /// Changes who votes, and waits until that is done, or for as long as `wait`.
    ///
    /// # Errors
    /// [`VoterChangeError`]: asking again goes on from what was reached.
    pub(super) async fn change_voters(
        &self,
        change: VoterChange,
        wait: Duration,
    ) -> Result<(), VoterChangeError> {
        let deadline = self.now().elapsed + wait;
        let request = NodeRequest::ChangeVoters { change, deadline };
        let stopped = VoterChangeError::Proposal(ProposeError::Stopped);
        let Ok(reply) = self.queue_request(|_| request, None).await else {
            return Err(stopped);
        };
        match reply.await {
            Ok(NodeReply::VotersChanged(changed)) => changed,
            Ok(other) => unreachable!("replied to a change of voters: {other:?}"),
            Err(_) => Err(stopped),
        }
    }

    /// Asks the coordinator something for a member of a group; the answer may take as long as a rebalance does. `input` is
    /// given the number under which the answer finds the member.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`]: the node has stopped.
    pub(super) async fn ask_for_member(
        &self,
        group: GroupId,
        input: impl FnOnce(RequestId) -> group::Input,
    ) -> Result<Response, GroupError> {
        let request = |id| GroupRequest::Member {
            group,
            input: input(id),
        };
        match self.ask_coordinator(request).await? {
            NodeReply::Member(response) => Ok(response),
            other => unreachable!("replied to a member: {other:?}"),
        }
    }

    /// Whether the commit of a member may be proposed, or of a client that is none.
    ///
    /// # Errors
    /// It must not be, for the reason given.
    pub(super) async fn admit_commit(
        &self,
        group: GroupId,
        caller: Option<Caller>,
    ) -> Result<(), GroupError> {
        let request = |_| GroupRequest::AdmitCommit { group, caller };
        match self.ask_coordinator(request).await? {
            NodeReply::Admitted(admitted) => admitted,
            other => unreachable!("replied to a commit: {other:?}"),
        }
    }

    /// What a group looks like; `None` when it never had a member.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`]
    pub(super) async fn describe_group(
        &self,
        group: GroupId,
    ) -> Result<Option<Description>, GroupError> {
        let request = |_| GroupRequest::Describe(group);
        match self.ask_coordinator(request).await? {
            NodeReply::Described(described) => described,
            other => unreachable!("replied to a question about a group: {other:?}"),
        }
    }

    /// The groups that have or had members.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`]
    pub(super) async fn list_groups(&self) -> Result<Vec<(GroupId, Overview)>, GroupError> {
        match self.ask_coordinator(|_| GroupRequest::List).await? {
            NodeReply::Listed(listed) => listed,
            other => unreachable!("replied to a question about all groups: {other:?}"),
        }
    }

    /// Has the coordinator forget a group that was deleted.
    pub(super) async fn forget_group(&self, group: GroupId) {
        if self.queue_input(Input::ForgetGroup(group)).await.is_err() {
            debug!("the node has ended");
        }
    }

    async fn ask_coordinator(
        &self,
        request: impl FnOnce(RequestId) -> GroupRequest,
    ) -> Result<NodeReply, GroupError> {
        let request = |id| NodeRequest::Group(request(id));
        let reply = self.queue_request(request, None).await;
        let reply = reply.map_err(|_| GroupError::NotCoordinator)?;
        reply.await.map_err(|_| GroupError::NotCoordinator)
    }

    /// Who decides and how far they are: on the leader as of its last tick, elsewhere as the leader last told.
    pub fn quorum(&self) -> Arc<Quorum> {
        Arc::clone(&self.view.watches.quorum.borrow())
    }

    /// Changes when the quorum does.
    pub fn quorum_changes(&self) -> watch::Receiver<Arc<Quorum>> {
        self.view.watches.quorum.subscribe()
    }

    /// Tells the node how another is. Where the line is full the next report says the same.
    pub(super) fn note_status(&self, from: ReplicaId, room: RoomReport, quorum: Option<Quorum>) {
        let input = Input::Status { from, room, quorum };
        let waiter = None;
        self.queue.try_send(QueuedInput { input, waiter }).ok();
    }

    /// Tells the node how much is free on its own disk.
    pub(super) async fn note_free_bytes(&self, bytes: u64) {
        if self.queue_input(Input::DiskFree { bytes }).await.is_err() {
            debug!("the node has ended");
        }
    }

    /// The members as of the last applied entry.
    pub fn membership(&self) -> Membership {
        self.view.watches.membership.borrow().clone()
    }

    /// Changes when the members do.
    pub fn membership_changes(&self) -> watch::Receiver<Membership> {
        self.view.watches.membership.subscribe()
    }

    /// The state machine as of the last applied entry. A short lock on plain data: never keep it over an await.
    ///
    /// # Panics
    /// When applying has panicked: a broken invariant stops the broker.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.view.shared.state()
    }

    /// The partitions' files, for reading.
    ///
    /// # Panics
    /// When applying has panicked: a broken invariant stops the broker.
    pub fn partitions(&self) -> Arc<Partitions> {
        self.view.shared.partitions()
    }

    /// Changes after each run of applied entries: wake, then look at [`NodeHandle::state`].
    pub fn applied(&self) -> watch::Receiver<EntryIndex> {
        self.view.watches.applied.subscribe()
    }

    /// Who leads, now.
    pub fn leadership(&self) -> Leadership {
        *self.view.watches.leadership.borrow()
    }

    /// Changes when leadership does.
    pub fn leadership_changes(&self) -> watch::Receiver<Leadership> {
        self.view.watches.leadership.subscribe()
    }

    /// The cluster's name and this node's.
    pub fn cluster(&self) -> &Cluster {
        &self.view.shared.cluster
    }

    pub(super) fn room(&self) -> Arc<DiskRoom> {
        Arc::clone(&self.view.shared.room)
    }

    pub(super) fn partition_bound(&self) -> &PartitionBound {
        &self.view.shared.partition_bound
    }

    /// The epoch of the last entry applied here: never a candidate's, so it is safe to tell clients.
    pub fn applied_epoch(&self) -> LeaderEpoch {
        *self.view.watches.applied_epoch.borrow()
    }

    /// A part of the snapshot that is held for followers. Reads a file: call it where that may take its time.
    ///
    /// # Errors
    /// [`ChunkError`].
    ///
    /// # Panics
    /// When somebody panicked with the lock.
    pub(super) fn snapshot_chunk(
        &self,
        to: ReplicaId,
        applied: EntryIndex,
        file: u32,
        position: u64,
    ) -> Result<Bytes, ChunkError> {
        let held = {
            let held = self.view.shared.held.lock();
            held.expect("nobody panics with the lock").clone()
        };
        let held = held.filter(|held| held.manifest().applied == applied);
        let chunk = held.ok_or(ChunkError::Gone)?.chunk(file, position)?;
        // A full line means that the replica is busy; the next part says the same.
        let served = QueuedInput {
            input: Input::SnapshotServed { to },
            waiter: None,
        };
        self.queue.try_send(served).ok();
        Ok(chunk)
    }

    /// The wall clock.
    pub fn wall(&self) -> TimestampMs {
        self.view.now().wall
    }

    /// What this node's clocks show.
    pub(super) fn now(&self) -> Now {
        self.view.now()
    }

    /// See [`crate::node::SharedView::command_time`].
    pub(super) fn command_time(&self) -> (TimestampMs, ClockJumps) {
        self.view.shared.command_time(self.view.clock.elapsed())
    }

    /// What is known of clocks.
    pub(super) fn clocks(&self) -> &Clocks {
        &self.view.shared.clocks
    }
}
