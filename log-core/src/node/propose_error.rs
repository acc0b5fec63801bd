//! Why there is no outcome of a proposal.

use super::partition_bound::TooManyPartitions;
use crate::ids::EntryIndex;
use crate::state::{CommandError, Response};

/// The outcome of an applied command.
pub type Outcome = Result<Response, CommandError>;

/// An outcome and the entry that it is of.
pub type AppliedOutcome = (EntryIndex, Outcome);

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
    /// Never proposed: fewer voters are in sync than it is to be stored by. Safe to send again.
    #[error("in-sync replicas {in_sync}, min.insync.replicas {required}")]
    NotEnoughReplicas {
        /// Voters in sync.
        in_sync: usize,
        /// So many are wanted.
        required: usize,
    },
    /// Never proposed: a voter could not keep the files of so many partitions open. Sending it again will not help.
    #[error(transparent)]
    TooManyPartitions(#[from] TooManyPartitions),
    /// Perhaps committed, perhaps not: its deadline has come.
    #[error("not applied in time")]
    NotInTime,
    /// Committed, and on too few disks when its deadline came.
    #[error("stored, and not on the {required} disks of min.insync.replicas yet")]
    NotOnDisks {
        /// So many are wanted.
        required: usize,
    },
    /// Perhaps committed, perhaps not: leadership was lost meanwhile.
    #[error("leadership was lost before the outcome was known")]
    OutcomeUnknown,
    /// Perhaps committed, perhaps not: the broker stopped.
    #[error("the broker stopped")]
    Stopped,
}
