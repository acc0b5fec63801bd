//! What connections and timers ask of this node's replica: propose, read, and know who leads.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::disk_room::DiskRoom;
use crate::clock::Clock;
use crate::ids::{EntryIndex, LeaderEpoch, NodeId, ReplicaId, TimestampMs};
use crate::state::{Command, Refusal, Response, State};
use crate::storage::Partitions;

/// Bytes of proposals that wait to be applied, all connections together. As much as consensus takes (DESIGN rule 4);
/// whoever asks for more waits, which stops its connection from being read.
pub(super) const PROPOSED_BYTES_MAX: u32 = 64 << 20;
/// Questions waiting for the replica's thread. Proposals are bounded in bytes; this only bounds the small ones.
pub(super) const ASKED_MAX: usize = 4096;

/// Bytes of the largest command. The journal's largest record is 8 MiB; the rest is for what surrounds a command.
const COMMAND_BYTES_MAX: u32 = 7 << 20;

/// Why there is no outcome of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Never proposed, or provably overwritten: safe to send to the leader.
    #[error("this node does not lead")]
    NotLeader,
    /// Never proposed: too much is under way. Safe to send again.
    #[error("too much is under way")]
    Dropped,
    /// Never proposed: larger than one entry of the journal may be. Sending it again will not help.
    #[error("larger than one entry may be")]
    TooLarge,
    /// Never proposed: the disk has only its reserve left. Safe to send again once there is room.
    #[error("the log's disk is full: free some space, or shorten the topics' retention")]
    DiskFull,
    /// Perhaps committed, perhaps not: leadership was lost meanwhile.
    #[error("leadership was lost before the outcome was known")]
    OutcomeUnknown,
    /// Perhaps committed, perhaps not: the broker stopped.
    #[error("the broker stopped")]
    Stopped,
}

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

/// The outcome of an applied command.
pub type Outcome = Result<Response, Refusal>;

/// A question to the replica's thread.
pub(super) enum Asked {
    /// Propose a command.
    Propose {
        /// What to propose.
        command: Command,
        /// Gives the command's bytes back to the budget when dropped.
        permit: OwnedSemaphorePermit,
        /// Where the outcome goes.
        reply: oneshot::Sender<Result<Outcome, ProposeError>>,
    },
    /// Say when a read may be served.
    Read {
        /// Where the word goes.
        reply: oneshot::Sender<Result<(), ProposeError>>,
    },
}

/// What the replica's thread shows to everybody.
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) applied: watch::Sender<EntryIndex>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) cluster: Cluster,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) room: Arc<DiskRoom>,
}

/// A way to ask the replica; cheap to clone.
#[derive(Clone)]
pub struct ReplicaHandle {
    pub(super) asked: mpsc::Sender<Asked>,
    pub(super) budget: Arc<Semaphore>,
    pub(super) shared: Arc<Shared>,
}

/// A proposal on its way.
#[must_use = "a proposal's outcome is an answer that somebody waits for"]
pub struct Pending {
    outcome: oneshot::Receiver<Result<Outcome, ProposeError>>,
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
        self.outcome.await.unwrap_or(Err(ProposeError::Stopped))
    }
}

impl ReplicaHandle {
    /// Puts a command in line. Commands of one caller are proposed in the order of its calls. Waits while
    /// 64 MiB are under way.
    ///
    /// # Errors
    /// [`ProposeError::TooLarge`], [`ProposeError::DiskFull`], [`ProposeError::Stopped`]: nothing was proposed.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was proposed.
    pub async fn propose(&self, command: Command) -> Result<Pending, ProposeError> {
        let bytes = u32::try_from(command.bytes_estimate()).unwrap_or(u32::MAX);
        if COMMAND_BYTES_MAX < bytes {
            return Err(ProposeError::TooLarge);
        }
        if matches!(command, Command::Produce(_)) && !self.shared.room.is_enough() {
            return Err(ProposeError::DiskFull);
        }
        let budget = Arc::clone(&self.budget);
        let permit = budget
            .acquire_many_owned(bytes)
            .await
            .map_err(|_| ProposeError::Stopped)?;
        let (reply, outcome) = oneshot::channel();
        let asked = Asked::Propose {
            command,
            permit,
            reply,
        };
        self.asked
            .send(asked)
            .await
            .map_err(|_| ProposeError::Stopped)?;
        Ok(Pending { outcome })
    }

    /// Waits until a read may be served: everything that was committed before the call is applied (ReadIndex).
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] where another leads; [`ProposeError::OutcomeUnknown`] when leadership was lost.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let (reply, allowed) = oneshot::channel();
        self.asked
            .send(Asked::Read { reply })
            .await
            .map_err(|_| ProposeError::Stopped)?;
        allowed.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// The state machine as of the last applied entry. A short lock on plain data: never keep it over an await.
    ///
    /// # Panics
    /// When applying has panicked: a broken invariant stops the broker.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared
            .state
            .read()
            .expect("a broken invariant stops the broker")
    }

    /// The partitions' files, for reading.
    pub fn partitions(&self) -> &Arc<Partitions> {
        &self.shared.partitions
    }

    /// Changes after each run of applied entries: wake, then look at [`ReplicaHandle::state`].
    pub fn applied(&self) -> watch::Receiver<EntryIndex> {
        self.shared.applied.subscribe()
    }

    /// Who leads, now.
    pub fn leadership(&self) -> Leadership {
        *self.shared.leadership.borrow()
    }

    /// Changes when leadership does.
    pub fn leadership_changes(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// The cluster's name and this node's.
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    pub(super) fn room(&self) -> Arc<DiskRoom> {
        Arc::clone(&self.shared.room)
    }

    /// The wall clock.
    pub fn wall(&self) -> TimestampMs {
        self.shared.clock.wall()
    }
}
