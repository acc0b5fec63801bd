//! What the links, the listener and the handle of the peers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use service_kit::clock::Clock;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address_book::AddressBook;
use super::local_node::LocalNode;
use super::pending_nodes::PendingNodes;
use super::rpc::Status;
use super::send_queue::SendQueue;
use super::sender_lease::SenderLeases;
use crate::broker::node_handle::NodeHandle;
use crate::consensus::Message;
use crate::ids::{ReplicaId, TimestampMs};
use crate::node::Leadership;

pub(super) struct PeerRegistry {
    pub(super) local: LocalNode,
    pub(super) book: AddressBook,
    pub(super) pending: PendingNodes,
    pub(super) leases: SenderLeases,
    /// Where the messages of others go: to the replica's thread.
    pub(super) incoming: mpsc::Sender<Message>,
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    /// Where links run: the replica's thread, which starts them, is none of it.
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    /// There once the node is part of a cluster and its replica runs.
    replica: OnceLock<NodeHandle>,
    queues: Mutex<BTreeMap<ReplicaId, Arc<SendQueue>>>,
}

impl PeerRegistry {
    pub(super) fn new(
        local: LocalNode,
        incoming: mpsc::Sender<Message>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        Self {
            local,
            book: AddressBook::default(),
            pending: PendingNodes::default(),
            leases: SenderLeases::default(),
            incoming,
            clock,
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            stop,
            replica: OnceLock::new(),
            queues: Mutex::default(),
        }
    }

    /// Runs something until the broker stops.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let until_stop = async move {
            stop.run_until_cancelled(work).await;
        };
        self.tasks.spawn_on(until_stop, &self.runtime);
    }

    /// From now on questions about the log are answered, and the members are those that the log says.
    pub(super) fn attach(&self, replica: NodeHandle) {
        assert!(
            self.replica.set(replica).is_ok(),
            "a node has one replica for all its life"
        );
    }

    pub(super) fn replica(&self) -> Option<&NodeHandle> {
        self.replica.get()
    }

    /// Closes the line to a replica, unless something is in it again.
    pub(super) fn forget_idle(&self, to: ReplicaId) -> bool {
        let mut queues = self.queues();
        let idle = queues.get(&to).is_none_or(|queue| queue.is_empty());
        if idle {
            queues.remove(&to);
        }
        idle
    }

    /// Closes the queue that no link empties any more.
    pub(super) fn forget(&self, to: ReplicaId, ended: &Arc<SendQueue>) {
        let mut queues = self.queues();
        let is_this_one = queues
            .get(&to)
            .is_some_and(|queue| Arc::ptr_eq(queue, ended));
        if is_this_one {
            queues.remove(&to);
        }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Arc<SendQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a replica is a member of the cluster, as far as this node has heard.
    pub(super) fn is_member(&self, replica: ReplicaId) -> bool {
        match self.replica() {
            Some(ours) => ours.membership().has(replica),
            None => self.local.formed().is_some_and(|formed| {
                formed
                    .founders
                    .iter()
                    .any(|founder| founder.replica == replica)
            }),
        }
    }

    pub(super) fn addresses_of(&self, replica: ReplicaId) -> Vec<String> {
        let state = self.replica().map(NodeHandle::state);
        self.book
            .addresses_of(replica, &self.local, state.as_deref())
    }

    /// How this node is, once there is something to say.
    pub(super) fn status(&self) -> Option<Status> {
        let replica = self.replica()?;
        let leads = matches!(replica.leadership(), Leadership::Leader { .. });
        Some(Status {
            room: replica.room().own_report(),
            quorum: leads.then(|| replica.quorum().as_ref().clone()),
            partition_files_max: Some(replica.partition_bound().own()),
            wall: replica
                .state()
                .notes_jumps()
                .then(|| TimestampMs(self.clock.wall_ms())),
        })
    }

    /// Takes down how a peer is.
    pub(super) fn note_status(&self, from: ReplicaId, status: Status) {
        let Some(replica) = self.replica() else {
            return;
        };
        if let Some(files_max) = status.partition_files_max {
            replica.partition_bound().report(from, files_max);
        }
        if let Some(wall) = status.wall {
            replica.clocks().note_peer(from, wall, replica.now());
        }
        let quorum = status.quorum.filter(|quorum| quorum.leader == Some(from));
        replica.note_status(from, status.room, quorum);
    }
}
