//! Puts a node together from what recovery found in its data folder.

use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use super::Node;
use super::clocks::Clocks;
use super::disk_room::DiskRoom;
use super::housekeeping::HousekeepingConfig;
use super::node_error::NodeError;
use super::now::Now;
use super::partition_bound::PartitionBound;
use super::replica::Replica;
use super::view::{Cluster, SharedView};
use crate::consensus::{Driver, Membership, Restored, Timing};
use crate::group::GroupConfig;
use crate::ids::{EntryIndex, LeaderEpoch};
use crate::state::State;
use crate::storage::{Checkpoint, ClusterIdentity, EntryLog, Identity, Partitions, Recovered};

/// What bounds a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of entries between two checkpoints: what a start has to apply again, and what memory holds of the journal.
    pub(crate) checkpoint_bytes: u64,
    /// Free space on the disk that records leave alone.
    pub(crate) disk_reserve_bytes: u64,
    /// Files of partitions that are open at once.
    pub(crate) partition_files_max: usize,
    /// What bounds the consumer groups.
    pub(crate) groups: GroupConfig,
    /// What the leader does from time to time.
    pub(crate) housekeeping: HousekeepingConfig,
}

/// Puts a first node together from what recovery found.
pub(crate) fn assemble(
    folder: &Path,
    limits: Limits,
    identity: &Identity,
    recovered: Recovered,
    now: Now,
) -> Result<(Node, Arc<SharedView>, EntryLog), NodeError> {
    let parts = Parts::read(folder, identity, recovered)?;
    let clocks = Clocks::from(parts.state.clock(), now.elapsed);
    let shared = Arc::new(SharedView {
        clocks,
        state: RwLock::new(parts.state),
        partitions: RwLock::new(Arc::new(parts.partitions)),
        held: Mutex::new(None),
        cluster: Cluster {
            cluster_id: formed(identity).cluster_id.clone(),
            node_id: identity.node,
            replica: identity.replica,
        },
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
    let node = Node::new(replica, limits, Arc::clone(&shared), now);
    Ok((node, shared, parts.log))
}

impl Node {
    /// Goes on from the folder after a snapshot was installed: everybody who knows the old replica sees the new.
    ///
    /// # Errors
    /// [`NodeError`]
    pub(crate) fn go_on_from(
        &mut self,
        folder: &Path,
        limits: Limits,
        identity: &Identity,
        recovered: Recovered,
        now: Now,
    ) -> Result<EntryLog, NodeError> {
        let parts = Parts::read(folder, identity, recovered)?;
        {
            // Under one lock, as when a command is applied: a reader that sees an offset finds its bytes.
            let shared = &self.shared;
            let mut state = shared.state.write().expect("nobody panicked with it");
            let mut command = shared.clocks.command();
            command.follow(parts.state.clock(), now.elapsed);
            *state = parts.state;
            let mut partitions = shared.partitions.write().expect("nobody panicked with it");
            *partitions = Arc::new(parts.partitions);
        }
        self.replica = Replica::new(
            parts.driver,
            parts.membership,
            Arc::clone(&self.shared),
            parts.applied,
            limits.checkpoint_bytes,
        );
        self.replica.publish_anew();
        self.installation = None;
        Ok(parts.log)
    }
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

fn formed(identity: &Identity) -> &ClusterIdentity {
    let formed = identity.formed.as_ref();
    formed.expect("a node starts only once it belongs to a cluster")
}

pub(crate) fn place(checkpoint: Option<&Checkpoint>) -> (EntryIndex, LeaderEpoch) {
    checkpoint.map_or_else(Default::default, |kept| (kept.applied, kept.epoch))
}
