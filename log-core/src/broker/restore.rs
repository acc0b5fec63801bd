//! Making a cluster of one from a backup: when everything else is lost, or to try the backup out.
//!
//! What the restored node keeps: the cluster's name, its topics with every offset, its groups, producers and
//! transactions, so that clients go on as after a long outage. What it must not keep: the replica's name, since the
//! original may still be somewhere and would vote beside it; the members of old, which are gone; and the epoch. Clients
//! ignore a leader of a lower epoch than they have seen for ever, and the old cluster may have gone on after the backup:
//! so the new leader begins far above the last epoch that the backup knows.

use std::path::PathBuf;
use std::sync::Arc;

use journal::disk::{Disk, SystemDisk};
use uuid::Uuid;

use crate::consensus::Membership;
use crate::entry::{Entry, EntryKind};
use crate::ids::{EntryIndex, LeaderEpoch, NodeId};
use crate::node::{ReplicaError, perform};
use crate::state::{Command, Envelope, State, StateDecodeError, UnregisterNode};
use crate::storage::{
    Checkpoint, ClusterIdentity, Identity, InitialVoter, Partitions, Restoring, RestoringError,
    StorageConfig,
};

/// How far above the backup's last epoch a restored cluster begins: more elections than the old one can have had since.
const EPOCHS_AHEAD: u32 = 1_000_000;
/// How many producer ids are left out: more than the old cluster can have given out since.
const PRODUCER_IDS_AHEAD: u64 = 1_000_000;
/// Epochs are 32 bits with a sign in Kafka's protocol; so many elections must be left.
const EPOCH_MAX: u32 = i32::MAX.cast_unsigned() - 1_000_000;

/// What is to be restored, and as whom.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The backup.
    pub backup: PathBuf,
    /// The new data folder; missing or empty.
    pub data: PathBuf,
    /// The broker id of the restored node. Default: that of the node that was backed up.
    pub node: Option<NodeId>,
    /// The epoch to begin after. Default: 1,000,000 above the last one in the backup. Too low, and clients that knew the
    /// old cluster never come back.
    pub epoch: Option<LeaderEpoch>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The cluster's name.
    pub cluster_id: String,
    /// The restored node.
    pub node: NodeId,
    /// The epoch that the next leader begins after.
    pub epoch: LeaderEpoch,
    /// The last epoch in the backup.
    pub backup_epoch: LeaderEpoch,
    /// The last entry of the backup.
    pub last: EntryIndex,
    /// How many topics there are.
    pub topics: usize,
}

/// Why a backup was not restored. The new folder is of no use then; the backup is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup, or the new folder.
    #[error(transparent)]
    Files(#[from] RestoringError),
    /// The epoch that was asked for.
    #[error(
        "epoch {asked}: needs more than {least}, the last one in the backup, and at most {most}"
    )]
    Epoch {
        /// What was asked for.
        asked: LeaderEpoch,
        /// The last one in the backup.
        least: LeaderEpoch,
        /// What the protocol allows.
        most: LeaderEpoch,
    },
    /// The backup's state is of another version.
    #[error(
        "the backup's state cannot be read by this version: restore it with the one that wrote it"
    )]
    State(#[source] StateDecodeError),
    /// The backup's entries.
    #[error("the backup's entries cannot be applied")]
    Entries(#[source] ReplicaError),
}

/// Makes a cluster of one from a backup. Blocks.
///
/// # Errors
/// [`RestoreError`]
pub fn restore(restore: &Restore) -> Result<Restored, RestoreError> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let done = restore_on(&disk, restore, Uuid::new_v4());
    let is_ours = done
        .as_ref()
        .is_err_and(RestoreError::is_of_what_was_laid_out);
    if is_ours {
        // It was missing or empty before. What cannot be removed has no identity: no node starts from it.
        drop(disk.remove_folder(&restore.data));
    }
    done
}

impl RestoreError {
    /// Whether the backup was copied before it went wrong.
    fn is_of_what_was_laid_out(&self) -> bool {
        match self {
            Self::Files(_) => false,
            Self::Epoch { .. } | Self::State(_) | Self::Entries(_) => true,
        }
    }
}

fn restore_on(
    disk: &Arc<dyn Disk>,
    restore: &Restore,
    replica: Uuid,
) -> Result<Restored, RestoreError> {
    let config = StorageConfig::default();
    let mut restoring = Restoring::begin(disk, &restore.backup, &restore.data, config)?;
    let mut rebuilt = Rebuilt::from_checkpoint(&mut restoring)?;
    let entries = std::mem::take(&mut restoring.entries);
    for entry in &entries {
        rebuilt
            .apply(entry, &restoring.partitions)
            .map_err(RestoreError::Entries)?;
    }
    let backup_epoch = rebuilt.epoch.max(restoring.epoch);
    let last = rebuilt.applied;
    rebuilt.epoch = epoch_above(backup_epoch, restore.epoch)?;
    rebuilt
        .let_the_old_life_go(&restoring.partitions)
        .map_err(RestoreError::Entries)?;
    let identity = identity_after(&restoring.identity, restore.node, replica);
    let restored = Restored {
        cluster_id: cluster_of(&identity).cluster_id.clone(),
        node: identity.node,
        epoch: rebuilt.epoch,
        backup_epoch,
        last,
        topics: rebuilt.state.topics().count(),
    };
    restoring.finish(rebuilt.checkpoint(&identity), &identity)?;
    Ok(restored)
}

/// The state machine, brought from the checkpoint to the end of the backup.
struct Rebuilt {
    state: State,
    applied: EntryIndex,
    epoch: LeaderEpoch,
}

impl Rebuilt {
    fn from_checkpoint(restoring: &mut Restoring) -> Result<Self, RestoreError> {
        let Some(checkpoint) = &restoring.checkpoint else {
            return Ok(Self {
                state: State::default(),
                applied: EntryIndex(0),
                epoch: LeaderEpoch(0),
            });
        };
        let state = State::decode(&checkpoint.state).map_err(RestoreError::State)?;
        Ok(Self {
            state,
            applied: checkpoint.applied,
            epoch: checkpoint.epoch,
        })
    }

    /// As a replica applies it, but for the members: those of the old cluster mean nothing here.
    fn apply(&mut self, entry: &Entry, partitions: &Partitions) -> Result<(), ReplicaError> {
        let index = entry.index;
        if entry.kind == EntryKind::Command && !entry.payload.is_empty() {
            let envelope = Envelope::decode(&entry.payload)
                .map_err(|source| ReplicaError::Command { index, source })?;
            self.carry_out(index, entry.epoch, &envelope, partitions)?;
        }
        (self.applied, self.epoch) = (index, entry.epoch);
        Ok(())
    }

    fn carry_out(
        &mut self,
        index: EntryIndex,
        epoch: LeaderEpoch,
        envelope: &Envelope,
        partitions: &Partitions,
    ) -> Result<(), ReplicaError> {
        let applied = self.state.apply(index, epoch, envelope);
        for change in applied.changes {
            perform(partitions, change)
                .map_err(|source| ReplicaError::Partitions { index, source })?;
        }
        Ok(())
    }

    /// What the old cluster did after the backup is not known here, and must not be contradicted: clients are not sent to
    /// brokers that are gone, and no producer id is given out that a live producer may have. What producers wrote last
    /// stays known: a batch whose answer was lost with the old cluster comes again, and is to be stored once.
    fn let_the_old_life_go(&mut self, partitions: &Partitions) -> Result<(), ReplicaError> {
        let nodes: Vec<NodeId> = self.state.nodes().map(|(node, _)| node).collect();
        for node in nodes {
            self.command(Command::UnregisterNode(UnregisterNode { node }), partitions)?;
        }
        self.state.skip_producer_ids(PRODUCER_IDS_AHEAD);
        Ok(())
    }

    fn command(&mut self, command: Command, partitions: &Partitions) -> Result<(), ReplicaError> {
        let envelope = Envelope {
            proposer: self.epoch,
            at: self.state.clock(),
            command,
        };
        self.applied = EntryIndex(self.applied.0 + 1);
        self.carry_out(self.applied, self.epoch, &envelope, partitions)
    }

    fn checkpoint(&self, identity: &Identity) -> Checkpoint {
        Checkpoint {
            // One further than anything the old cluster's members can have: what they hold is never taken for ours.
            applied: EntryIndex(self.applied.0 + 1),
            epoch: self.epoch,
            state: self.state.encode().into(),
            membership: Membership::of_voters([identity.replica]).encode().into(),
        }
    }
}

fn epoch_above(
    backup: LeaderEpoch,
    asked: Option<LeaderEpoch>,
) -> Result<LeaderEpoch, RestoreError> {
    let asked = asked.unwrap_or(LeaderEpoch(backup.0.saturating_add(EPOCHS_AHEAD)));
    if backup < asked && asked.0 <= EPOCH_MAX {
        return Ok(asked);
    }
    Err(RestoreError::Epoch {
        asked,
        least: backup,
        most: LeaderEpoch(EPOCH_MAX),
    })
}

fn identity_after(backup: &Identity, node: Option<NodeId>, replica: Uuid) -> Identity {
    let mut identity = Identity::unformed(node.unwrap_or(backup.node), replica);
    let founder = InitialVoter {
        replica: identity.replica,
        node: identity.node,
        address: None,
    };
    identity.form(cluster_of(backup).cluster_id.clone(), vec![founder]);
    identity
}

fn cluster_of(identity: &Identity) -> &ClusterIdentity {
    let formed = identity.formed.as_ref();
    formed.expect("only the folder of a member is backed up")
}
