//! What a node shows of itself: who it is, who leads, its state and its partitions.

use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::clocks::Clocks;
use super::disk_room::DiskRoom;
use super::partition_bound::PartitionBound;
use crate::ids::{LeaderEpoch, NodeId, ReplicaId, TimestampMs};
use crate::state::{ClockJumps, State};
use crate::storage::{Outgoing, Partitions};

/// What this node is to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It leads, and has applied an entry of its own epoch: what it says is current.
    Leader {
        /// Its epoch.
        epoch: LeaderEpoch,
    },
    /// It was elected and has not applied its own epoch's first entry yet.
    Starting,
    /// It follows, or stands for election.
    Follower {
        /// Who leads and since which epoch, when known.
        leader: Option<(NodeId, LeaderEpoch)>,
    },
}

/// The cluster as its clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Made at formation, never changed.
    pub cluster_id: String,
    /// This node.
    pub node_id: NodeId,
    /// Its name among the voters.
    pub replica: ReplicaId,
}

/// What handlers may look at while the node changes it. Who leads, who decides and how far it is are published instead.
pub(crate) struct SharedView {
    pub(crate) state: RwLock<State>,
    /// Others take the place of these when a snapshot is installed.
    pub(crate) partitions: RwLock<Arc<Partitions>>,
    /// The snapshot that followers may fetch.
    pub(crate) held: Mutex<Option<Arc<Outgoing>>>,
    pub(crate) cluster: Cluster,
    pub(crate) room: Arc<DiskRoom>,
    pub(crate) partition_bound: Arc<PartitionBound>,
    pub(crate) clocks: Clocks,
}

impl SharedView {
    /// The state as of the last applied entry. A short lock on plain data.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        let state = self.state.read();
        state.expect("a broken invariant stops the broker")
    }

    /// Whether the cluster's level has jumps of command time noted.
    pub(crate) fn notes_jumps(&self) -> bool {
        self.state().notes_jumps()
    }

    /// Command time as of what is applied, and which parts of it count for nothing: what ages are counted by. What the wall shows beyond it
    /// does not count before it is noted.
    pub(crate) fn command_time(&self, elapsed: Duration) -> (TimestampMs, ClockJumps) {
        let state = self.state();
        let command = self.clocks.command();
        let jumps = match state.notes_jumps() {
            true => state.clock_jumps().clone(),
            false => ClockJumps::known_since(command.known_since()),
        };
        (command.applied_now(elapsed), jumps)
    }

    /// The partitions in force.
    pub(crate) fn partitions(&self) -> Arc<Partitions> {
        let partitions = self.partitions.read();
        Arc::clone(&partitions.expect("a broken invariant stops the broker"))
    }
}
