//! Why a broker ended before it was asked to.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::node::{NodeError, ReplicaError};
use crate::storage::snapshot::SnapshotError;
use crate::storage::{CheckpointError, EntryLogError, RecoveryError};

/// Why a broker ended before it was asked to. What was acknowledged is on the disk in each case.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStopped {
    /// The journal could not be written or synced.
    #[error("the journal can no longer be written; what was acknowledged is safe, {}", advice(.0))]
    Journal(#[source] EntryLogError),
    /// The replica cannot go on.
    #[error("the replica cannot go on; what was acknowledged is safe{}", room_advice(.0))]
    Replica(#[source] ReplicaError),
    /// A checkpoint could not be written.
    #[error("a checkpoint could not be written; what was acknowledged is safe, {}", advice(.0))]
    Checkpoint(#[source] CheckpointError),
    /// A snapshot was fetched and could not be put in place.
    #[error("a snapshot could not be installed; nothing was lost, {}", advice(.0))]
    Install(#[source] SnapshotError),
    /// The folder could not be gone on with after a snapshot was installed.
    #[error("the data folder cannot be gone on with after a snapshot was installed")]
    Recovery(#[source] RecoveryError),
    /// What a snapshot brought cannot be read.
    #[error("the snapshot installed cannot be gone on from")]
    Node(#[source] NodeError),
    /// The system gives no thread.
    #[error("the system gives no thread")]
    Thread(#[source] io::Error),
    /// The replica's thread has not gone on for 10 s: the disk hangs. It ends once the disk answers.
    #[error(
        "the log stands still: its disk has not answered for 10 s; what was acknowledged is safe, and the log can start again \
         once the disk answers"
    )]
    StandsStill,
    /// An invariant broke: going on could lose or invent a record.
    #[error(
        "an invariant broke in the thread \"{thread}\", as the panic above says; what was acknowledged is safe, restart \
         and report it"
    )]
    Panicked {
        /// Which thread.
        thread: &'static str,
    },
}

impl BrokerStopped {
    /// Whether the disk is full. A start fails for the same reason until there is room, and may be tried again.
    pub fn is_for_want_of_room(&self) -> bool {
        is_for_want_of_room(self)
    }

    /// Whether it is the disk's doing, of which nothing is known to be damaged: starting again, once the broker has ended,
    /// finds out what the disk holds. After anything else a person should look first.
    pub fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Journal(_)
            | Self::Checkpoint(_)
            | Self::Install(SnapshotError::Io { .. })
            | Self::Replica(ReplicaError::Partitions { .. })
            | Self::StandsStill => true,
            Self::Recovery(_) => self.is_for_want_of_room(),
            Self::Install(_)
            | Self::Replica(ReplicaError::Command { .. })
            | Self::Node(_)
            | Self::Thread(_)
            | Self::Panicked { .. } => false,
        }
    }
}

fn advice(error: &(dyn Error + 'static)) -> &'static str {
    if is_for_want_of_room(error) {
        "free some space: the disk is full"
    } else {
        "restart once the disk is sound"
    }
}

fn room_advice(error: &(dyn Error + 'static)) -> &'static str {
    if is_for_want_of_room(error) {
        ", free some space: the disk is full"
    } else {
        ""
    }
}

/// Whether it came to this because a disk is full: then it may be tried again once there is room.
pub(super) fn is_for_want_of_room(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| {
            matches!(
                cause.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            )
        })
    })
}
