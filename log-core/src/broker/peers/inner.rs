//! What the links, the door and the handle of the peers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use service_kit::clock::Clock;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address_book::AddressBook;
use super::outbox::Outbox;
use super::question::Status;
use super::teller::Tellers;
use super::us::Us;
use super::waiting::WaitingRoom;
use crate::broker::replica_handle::ReplicaHandle;
use crate::consensus::Message;
use crate::ids::{ReplicaId, TimestampMs};
use crate::node::Leadership;

pub(super) struct Inner {
    pub(super) us: Us,
    pub(super) book: AddressBook,
    pub(super) waiting: WaitingRoom,
    pub(super) tellers: Tellers,
    /// Where the messages of others go: to the replica's thread.
    pub(super) incoming: mpsc::Sender<Message>,
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    /// Where links run: the replica's thread, which starts them, is none of it.
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    /// There once the node is part of a cluster and its replica runs.
    replica: OnceLock<ReplicaHandle>,
    outboxes: Mutex<BTreeMap<ReplicaId, Arc<Outbox>>>,
}

impl Inner {
    pub(super) fn new(
        us: Us,
        incoming: mpsc::Sender<Message>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        Self {
            us,
            book: AddressBook::default(),
            waiting: WaitingRoom::default(),
            tellers: Tellers::default(),
            incoming,
            clock,
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            stop,
            replica: OnceLock::new(),
            outboxes: Mutex::default(),
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
    pub(super) fn attach(&self, replica: ReplicaHandle) {
        assert!(
            self.replica.set(replica).is_ok(),
            "a node has one replica for all its life"
        );
    }

    pub(super) fn replica(&self) -> Option<&ReplicaHandle> {
        self.replica.get()
    }

    /// Closes the line to a replica, unless something is in it again.
    pub(super) fn forget_idle(&self, to: ReplicaId) -> bool {
        let mut outboxes = self.outboxes();
        let idle = outboxes.get(&to).is_none_or(|outbox| outbox.is_empty());
        if idle {
            outboxes.remove(&to);
        }
        idle
    }

    /// Closes the line that nobody empties any more.
    pub(super) fn forget(&self, to: ReplicaId, ended: &Arc<Outbox>) {
        let mut outboxes = self.outboxes();
        let is_this_one = outboxes
            .get(&to)
            .is_some_and(|outbox| Arc::ptr_eq(outbox, ended));
        if is_this_one {
            outboxes.remove(&to);
        }
    }

    pub(super) fn outboxes(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Arc<Outbox>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a replica is a member of the cluster, as far as this node has heard.
    pub(super) fn is_member(&self, replica: ReplicaId) -> bool {
        match self.replica() {
            Some(ours) => ours.membership().has(replica),
            None => self.us.formed().is_some_and(|formed| {
                formed
                    .founders
                    .iter()
                    .any(|founder| founder.replica == replica)
            }),
        }
    }

    pub(super) fn addresses_of(&self, replica: ReplicaId) -> Vec<String> {
        let state = self.replica().map(ReplicaHandle::state);
        self.book.addresses_of(replica, &self.us, state.as_deref())
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
        let now = self.clock.elapsed();
        replica.room().report(from, status.room, now);
        if let Some(files_max) = status.partition_files_max {
            replica.partition_bound().report(from, files_max);
        }
        if let Some(wall) = status.wall {
            replica.clocks().note_peer(from, wall, replica.now());
        }
        if let Some(quorum) = status.quorum
            && quorum.leader == Some(from)
        {
            replica.note_quorum(quorum);
        }
    }
}
