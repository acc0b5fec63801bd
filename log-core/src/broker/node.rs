//! One node without its sockets: opens the data folder, recovers, and runs the replica.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::{info, warn};
use uuid::Uuid;

use super::clocks::Clocks;
use super::disk_room::DiskRoom;
use super::ending::Ending;
use super::partition_bound::PartitionBound;
use super::replica::Replica;
use super::replica_handle::{
    ASKED_MAX, Cluster, Leadership, PROPOSED_BYTES_MAX, ReplicaHandle, Shared,
};
use super::replica_thread::{HeldFolder, Home, Neighbours, ReplicaThread};
use crate::clock::Clock;
use crate::consensus::{Driver, InvalidMembership, Membership, Restored, Timing};
use crate::disk::{Disk, make_private};
use crate::ids::{EntryIndex, LeaderEpoch, NodeId};
use crate::state::{State, StateDecodeError};
use crate::storage::{
    Checkpoint, Cut, EntryLog, FolderLock, FolderLockError, Formed, Identity, IdentityError,
    Partitions, Recovered, RecoveryError, StorageConfig, recover,
};

/// What a node needs to know to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeConfig {
    pub(super) storage: StorageConfig,
    pub(super) limits: Limits,
}

/// What bounds a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of entries between two checkpoints: what a start has to apply again, and what memory holds of the journal.
    pub(crate) checkpoint_bytes: u64,
    /// Free space on the disk that records leave alone.
    pub(crate) disk_reserve_bytes: u64,
    /// Files of partitions that are open at once.
    pub(crate) partition_files_max: usize,
}

/// Why a node does not start. Nothing was changed in the folder but what recovery itself mends.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The folder is not there and cannot be made.
    #[error("{path}: this data folder cannot be made or written")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another process uses it, or it cannot be locked.
    #[error(transparent)]
    Lock(FolderLockError),
    /// Who the folder is.
    #[error(transparent)]
    Identity(IdentityError),
    /// What is in the folder does not fit together.
    #[error(transparent)]
    Recovery(RecoveryError),
    /// The checkpoint's state is of another version.
    #[error("{path}: the checkpoint's state cannot be read by this version")]
    State {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: StateDecodeError,
    },
    /// The checkpoint's members are of another version.
    #[error("{path}: the checkpoint's members cannot be read by this version")]
    Membership {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidMembership,
    },
    /// The system gives no thread.
    #[error("the system gives no thread")]
    Thread(#[source] std::io::Error),
}

/// A folder that this process alone uses, and who it is.
pub(super) struct DataFolder {
    pub(super) identity: Identity,
    path: PathBuf,
    /// Held as long as the node runs: a second one on the same folder is refused.
    lock: FolderLock,
}

/// What an empty folder becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A cluster of one.
    Alone,
    /// Part of none, until it has found the others.
    WithOthers,
}

impl DataFolder {
    /// Takes the folder, made when missing. Blocks.
    ///
    /// # Errors
    /// [`NodeError`].
    pub(super) fn take(
        disk: &dyn Disk,
        path: &Path,
        node: NodeId,
        beginning: Beginning,
    ) -> Result<Self, NodeError> {
        disk.create_folder(path)
            .map_err(|source| NodeError::Folder {
                path: path.to_owned(),
                source,
            })?;
        let lock = FolderLock::acquire(path).map_err(NodeError::Lock)?;
        close_to_others(path);
        let identity = identity_of(disk, path, node, beginning)?;
        Ok(Self {
            identity,
            path: path.to_owned(),
            lock,
        })
    }
}

/// A running node.
pub(super) struct Node {
    pub(super) handle: ReplicaHandle,
    thread: ReplicaThread,
    /// Hung up once the folder is free.
    folder: oneshot::Receiver<()>,
}

impl Node {
    /// Starts the replica's threads. Blocks: recovery reads the journal and applies what the last checkpoint does not
    /// cover. What stops the node is in `ending`, and why it ended by itself.
    ///
    /// # Errors
    /// [`NodeError`].
    ///
    /// # Panics
    /// When the folder is part of no cluster.
    pub(super) fn start(
        data: DataFolder,
        config: NodeConfig,
        disk: &Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        neighbours: Neighbours,
        ending: Arc<Ending>,
    ) -> Result<Self, NodeError> {
        let (folder, identity) = (data.path.as_path(), data.identity);
        let recovered = recover(disk, folder, &config.storage).map_err(NodeError::Recovery)?;
        info!(
            node = %identity.node,
            entries = recovered.entries.len(),
            checkpoint = %place(recovered.checkpoint.as_ref()).0,
            "journal read"
        );
        tell_what_was_mended(&recovered);

        let (asked, questions) = mpsc::channel(ASKED_MAX);
        let (replica, shared, log) = assemble(folder, config.limits, &identity, recovered, clock)?;
        let handle = ReplicaHandle {
            asked,
            budget: Arc::new(Semaphore::new(
                usize::try_from(PROPOSED_BYTES_MAX).expect("64 MiB"),
            )),
            shared: Arc::clone(&shared),
        };
        shared.room.look(&**disk, folder);
        let (lock, released) = HeldFolder::new(data.lock);
        let home = Home {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            storage: config.storage,
            limits: config.limits,
            identity,
            lock,
        };
        let thread =
            ReplicaThread::start(replica, log, questions, shared, home, neighbours, ending)
                .map_err(NodeError::Thread)?;
        Ok(Self {
            handle,
            thread,
            folder: released,
        })
    }

    /// Waits for the node's end, after it was stopped or has ended by itself: until no thread works in the folder any more,
    /// and it can be opened again. Blocks, on a disk that hangs for as long as that does.
    pub(super) fn join(self) {
        self.thread.join();
        let hung_up = self.folder.blocking_recv();
        assert!(hung_up.is_err(), "nothing is ever sent");
    }
}

/// A folder of an older version, or one that the operator made, may be open to every user of the machine. With it closed,
/// so is all that lies in it.
fn close_to_others(path: &Path) {
    match make_private(path) {
        Ok(false) => {}
        Ok(true) => warn!(path = %path.display(), "data folder was open to other users: closed"),
        Err(error) => warn!(
            path = %path.display(),
            error = &error as &(dyn std::error::Error + 'static),
            "data folder is open to other users and cannot be closed"
        ),
    }
}

/// The folder's identity; an empty folder gets one.
fn identity_of(
    disk: &dyn Disk,
    folder: &Path,
    node: NodeId,
    beginning: Beginning,
) -> Result<Identity, NodeError> {
    if let Some(identity) = Identity::read(disk, folder).map_err(NodeError::Identity)? {
        identity
            .belongs_to(node, folder)
            .map_err(NodeError::Identity)?;
        return Ok(identity);
    }
    let replica = Uuid::new_v4();
    let identity = match beginning {
        Beginning::Alone => Identity::founder_alone(node, Uuid::new_v4(), replica),
        Beginning::WithOthers => Identity::unformed(node, replica),
    };
    identity.keep(disk, folder).map_err(NodeError::Identity)?;
    match &identity.formed {
        Some(formed) => info!(cluster_id = formed.cluster_id, %node, "cluster of one formed"),
        None => info!(replica = %identity.replica, %node, "data folder is empty"),
    }
    Ok(identity)
}

/// What recovery could mend without losing anything: the operator should hear of it all the same.
fn tell_what_was_mended(recovered: &Recovered) {
    for path in &recovered.mended {
        metrics::counter!("log_indexes_mended_total").increment(1);
        warn!(path = %path.display(), "index was damaged and is written again from its log");
    }
    if let Some(Cut { position, bytes }) = recovered.cut {
        metrics::counter!("log_journal_tails_cut_total").increment(1);
        warn!(
            position = position.0,
            bytes, "journal ended in a write that was never finished, nor acknowledged: cut"
        );
    }
}

/// Puts a first replica together from what recovery found.
pub(crate) fn assemble(
    folder: &Path,
    limits: Limits,
    identity: &Identity,
    recovered: Recovered,
    clock: Arc<dyn Clock>,
) -> Result<(Replica, Arc<Shared>, EntryLog), NodeError> {
    let parts = Parts::read(folder, identity, recovered)?;
    let clocks = Clocks::from(parts.state.clock(), clock.elapsed());
    let shared = Arc::new(Shared {
        clocks,
        state: RwLock::new(parts.state),
        partitions: RwLock::new(Arc::new(parts.partitions)),
        applied: watch::Sender::new(parts.applied.0),
        applied_epoch: watch::Sender::new(parts.applied.1),
        leadership: watch::Sender::new(Leadership::Follower { leader: None }),
        quorum: watch::Sender::new(Arc::default()),
        membership: watch::Sender::new(parts.membership.clone()),
        held: Mutex::new(None),
        cluster: Cluster {
            cluster_id: formed(identity).cluster_id.clone(),
            node_id: identity.node,
            replica: identity.replica,
        },
        clock,
        room: Arc::new(DiskRoom::keeping(limits.disk_reserve_bytes)),
        partition_bound: Arc::new(PartitionBound::new(limits.partition_files_max)),
    });
    let replica = Replica::new(
        parts.driver,
        parts.membership,
        Arc::clone(&shared),
        parts.applied,
        limits.checkpoint_bytes,
    );
    Ok((replica, shared, parts.log))
}

/// Puts a replica together again after a snapshot was installed: everybody who knows the old one sees the new.
pub(crate) fn assemble_again(
    folder: &Path,
    limits: Limits,
    identity: &Identity,
    recovered: Recovered,
    shared: &Arc<Shared>,
) -> Result<(Replica, EntryLog), NodeError> {
    let parts = Parts::read(folder, identity, recovered)?;
    {
        // Under one lock, as when a command is applied: whoever sees an offset finds its bytes.
        let mut state = shared.state.write().expect("nobody panicked with it");
        let elapsed = shared.clock.elapsed();
        shared.clocks.command().follow(parts.state.clock(), elapsed);
        *state = parts.state;
        *shared.partitions.write().expect("nobody panicked with it") = Arc::new(parts.partitions);
    }
    shared.membership.send_replace(parts.membership.clone());
    let replica = Replica::new(
        parts.driver,
        parts.membership,
        Arc::clone(shared),
        parts.applied,
        limits.checkpoint_bytes,
    );
    Ok((replica, parts.log))
}

/// What a data folder gives.
struct Parts {
    state: State,
    partitions: Partitions,
    membership: Membership,
    applied: (EntryIndex, LeaderEpoch),
    driver: Driver,
    log: EntryLog,
}

impl Parts {
    fn read(folder: &Path, identity: &Identity, recovered: Recovered) -> Result<Self, NodeError> {
        let path = || folder.to_owned();
        let applied = place(recovered.checkpoint.as_ref());
        let (state, membership) = match recovered.checkpoint {
            Some(kept) => (
                State::decode(&kept.state).map_err(|source| NodeError::State {
                    path: path(),
                    source,
                })?,
                Membership::decode(&kept.membership).map_err(|source| NodeError::Membership {
                    path: path(),
                    source,
                })?,
            ),
            None => {
                let founders = formed(identity).founders.iter();
                let voters = founders.map(|founder| founder.replica);
                (State::default(), Membership::of_voters(voters))
            }
        };
        let restored = Restored {
            replica: identity.replica,
            checkpoint: applied,
            membership: membership.clone(),
            hard_state: recovered.hard_state,
            entries: recovered.entries,
        };
        Ok(Self {
            state,
            partitions: recovered.partitions,
            membership,
            applied,
            driver: Driver::start(restored, Timing::default()),
            log: recovered.log,
        })
    }
}

fn formed(identity: &Identity) -> &Formed {
    let formed = identity.formed.as_ref();
    formed.expect("a node starts only once it belongs to a cluster")
}

fn place(checkpoint: Option<&Checkpoint>) -> (EntryIndex, LeaderEpoch) {
    checkpoint.map_or_else(Default::default, |kept| (kept.applied, kept.epoch))
}
