//! One node without its sockets: opens the data folder, recovers, and runs the replica.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::{Disk, make_private};
use journal::{Cut, FolderLock};
use service_kit::clock::Clock;
use service_kit::error_value;
use tokio::sync::oneshot;
use tracing::{info, warn};
use uuid::Uuid;

use super::disk_watch;
use super::ending::Ending;
use super::node_handle::NodeHandle;
use super::node_thread::{ClusterLinks, HeldFolder, Home, NodeThread};
use super::node_view::{NodeView, Watches, now};
use crate::ids::NodeId;
use crate::node::assemble::place;
use crate::node::{Input, Limits, NodeError, assemble};
use crate::storage::{Identity, Recovered, StorageConfig, recover};

/// What a node needs to know to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeConfig {
    pub(super) storage: StorageConfig,
    pub(super) limits: Limits,
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
pub(super) enum Bootstrap {
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
        beginning: Bootstrap,
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
    pub(super) handle: NodeHandle,
    thread: NodeThread,
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
        clock: Clock,
        links: ClusterLinks,
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

        let (mut machine, shared, log) =
            assemble(folder, config.limits, &identity, recovered, now(&clock))?;
        // One that starts on a full disk takes no record before the next look.
        if let Some(bytes) = disk_watch::look(&**disk, folder) {
            machine.take(now(&clock), Input::DiskFree { bytes }, &mut Vec::new());
        }
        let view = NodeView {
            watches: Arc::new(Watches::of(&machine)),
            shared,
            clock,
        };
        let (handle, inputs) = NodeHandle::of(view.clone());
        let (lock, released) = HeldFolder::new(data.lock);
        let home = Home {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            storage: config.storage,
            limits: config.limits,
            identity,
            lock,
        };
        let thread = NodeThread::start(machine, log, inputs, view, home, links, ending)
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
            error = error_value(&error),
            "data folder is open to other users and cannot be closed"
        ),
    }
}

/// The folder's identity; an empty folder gets one.
fn identity_of(
    disk: &dyn Disk,
    folder: &Path,
    node: NodeId,
    beginning: Bootstrap,
) -> Result<Identity, NodeError> {
    if let Some(identity) = Identity::read(disk, folder).map_err(NodeError::Identity)? {
        identity
            .belongs_to(node, folder)
            .map_err(NodeError::Identity)?;
        return Ok(identity);
    }
    let replica = Uuid::new_v4();
    let identity = match beginning {
        Bootstrap::Alone => Identity::founder_alone(node, Uuid::new_v4(), replica),
        Bootstrap::WithOthers => Identity::unformed(node, replica),
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
