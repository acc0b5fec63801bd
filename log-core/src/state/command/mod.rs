//! What an entry of the journal says: a command, the epoch of who proposed it, and its time.
//!
//! Encoded as one version byte and the value in postcard's encoding. New commands are added at the end of [`Command`],
//! new shapes of an old one are new commands; a replicated feature level keeps a leader from proposing what another
//! replica cannot read (rule 17), and a replica that meets such a thing nevertheless must stop.

mod clock;
mod group;
mod node;
mod topic;
mod transaction;

use serde::{Deserialize, Serialize};

pub use clock::{JudgeClockJumps, JumpVerdict, NoteClockJump};
pub use group::{
    CommitOffsets, Committer, CompleteRebalance, CompletedMember, DeleteGroup, DeleteOffsets,
    ExpireOffsets, NewOffset,
};
pub use node::{RaiseFeatureLevel, RegisterNode, UnregisterNode};
pub use topic::{
    AlterTopicConfigs, CreatePartitions, CreateTopic, DeleteTopic, ExpireProducers, LogStartCause,
    MoveLogStart, Produce,
};
pub use transaction::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, CommitTransactionOffsets, EndTransaction,
    ExpireTransactionalIds, InitProducerId, TransactionOutcome, TransactionalProducer,
};

use super::feature_level::FeatureLevel;
use crate::ids::{LeaderEpoch, TimestampMs};

/// The version of the encoding, the first byte of every envelope.
const VERSION: u8 = 1;

/// An entry's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The epoch in which it was proposed. In an entry of another epoch the command changes nothing: its proposer was
    /// no longer the leader, and has told its client so.
    pub proposer: LeaderEpoch,
    /// Command time: the later of the proposer's wall clock and the previous command's time, which goes on with elapsed
    /// time where the wall is behind it.
    pub at: TimestampMs,
    /// What is to be done.
    pub command: Command,
}

/// What is to be done, by every replica alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make a topic.
    CreateTopic(CreateTopic),
    /// Remove a topic with all its records.
    DeleteTopic(DeleteTopic),
    /// Append a batch.
    Produce(Produce),
    /// Give out a producer id without a transactional id.
    AllocateProducerId,
    /// Forget producers.
    ExpireProducers(ExpireProducers),
    /// A broker says where it is reached.
    RegisterNode(RegisterNode),
    /// A broker has left for good.
    UnregisterNode(UnregisterNode),
    /// Allow what the present software can do.
    RaiseFeatureLevel(RaiseFeatureLevel),
    /// Change a topic's settings.
    AlterTopicConfigs(AlterTopicConfigs),
    /// Give a topic more partitions.
    CreatePartitions(CreatePartitions),
    /// Delete records from the front of a partition.
    MoveLogStart(MoveLogStart),
    /// A consumer group has a new generation.
    CompleteRebalance(CompleteRebalance),
    /// A consumer says how far it has come.
    CommitOffsets(CommitOffsets),
    /// Forget some committed offsets.
    DeleteOffsets(DeleteOffsets),
    /// Forget a consumer group.
    DeleteGroup(DeleteGroup),
    /// Forget offsets that nobody has used for long.
    ExpireOffsets(ExpireOffsets),
    /// A transactional producer begins.
    InitProducerId(InitProducerId),
    /// Partitions become part of a transaction.
    AddPartitionsToTransaction(AddPartitionsToTransaction),
    /// A group's offsets become part of a transaction.
    AddOffsetsToTransaction(AddOffsetsToTransaction),
    /// Offsets to be committed when the transaction is.
    CommitTransactionOffsets(CommitTransactionOffsets),
    /// A transaction ends.
    EndTransaction(EndTransaction),
    /// Abort the transactions that are open for longer than their producers said.
    ExpireTransactions,
    /// Forget transactional ids that were idle.
    ExpireTransactionalIds(ExpireTransactionalIds),
    /// Command time is ahead of what leaders lived through. From [`FeatureLevel::WITNESSED_TIME`] on.
    NoteClockJump(NoteClockJump),
    /// An operator says what that was. From [`FeatureLevel::WITNESSED_TIME`] on.
    JudgeClockJumps(JudgeClockJumps),
}

/// Why a replica cannot read a command that the cluster has committed. It must stop: going on without it would make its
/// state another than its peers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No bytes at all; an empty payload is a leader's first entry, which is no command.
    #[error("empty command")]
    Empty,
    /// Written by software of another encoding.
    #[error("command encoding {found}, this software reads {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// A command this software does not have, or bytes that are none.
    #[error("command this software does not know, or damaged")]
    Unknown,
    /// A feature level this software does not have.
    #[error("feature level {found}, this software has {}", FeatureLevel::LATEST)]
    FeatureLevel {
        /// The level.
        found: FeatureLevel,
    },
}

impl Envelope {
    /// The entry's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.command.bytes_estimate());
        bytes.push(VERSION);
        postcard::to_extend(self, bytes).expect("memory is written to, and every length is known")
    }

    /// Reads an entry's payload.
    ///
    /// # Errors
    /// [`EnvelopeError`]: the replica must stop.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (version, value) = bytes.split_first().ok_or(EnvelopeError::Empty)?;
        if *version != VERSION {
            return Err(EnvelopeError::Version { found: *version });
        }
        let (envelope, rest) =
            postcard::take_from_bytes::<Self>(value).map_err(|_| EnvelopeError::Unknown)?;
        if !rest.is_empty() {
            return Err(EnvelopeError::Unknown);
        }
        match &envelope.command {
            Command::RaiseFeatureLevel(raise) if FeatureLevel::LATEST < raise.level => {
                Err(EnvelopeError::FeatureLevel { found: raise.level })
            }
            _ => Ok(envelope),
        }
    }
}

impl Command {
    /// About how many bytes it takes encoded, never less: what can be long is counted, the rest is small.
    pub fn bytes_estimate(&self) -> usize {
        // The envelope, the lengths, and a partition with the longest topic name.
        const FRAME: usize = 512;
        FRAME + self.payload_bytes()
    }

    fn payload_bytes(&self) -> usize {
        match self {
            Self::Produce(produce) => produce.batch.len(),
            Self::CreateTopic(create) => create.payload_bytes(),
            Self::RegisterNode(register) => register.payload_bytes(),
            Self::AlterTopicConfigs(alter) => alter.change.payload_bytes(),
            Self::CompleteRebalance(rebalance) => rebalance.payload_bytes(),
            Self::CommitOffsets(commit) => commit.payload_bytes(),
            Self::DeleteOffsets(delete) => delete.payload_bytes(),
            Self::DeleteGroup(delete) => delete.group.as_str().len(),
            Self::InitProducerId(init) => init.id.as_str().len(),
            Self::AddPartitionsToTransaction(add) => add.payload_bytes(),
            Self::AddOffsetsToTransaction(add) => add.payload_bytes(),
            Self::CommitTransactionOffsets(commit) => commit.payload_bytes(),
            Self::EndTransaction(end) => end.by.id.as_str().len(),
            Self::DeleteTopic(_)
            | Self::AllocateProducerId
            | Self::ExpireProducers(_)
            | Self::UnregisterNode(_)
            | Self::RaiseFeatureLevel(_)
            | Self::CreatePartitions(_)
            | Self::MoveLogStart(_)
            | Self::ExpireOffsets(_)
            | Self::ExpireTransactions
            | Self::ExpireTransactionalIds(_)
            | Self::NoteClockJump(_)
            | Self::JudgeClockJumps(_) => 0,
        }
    }
}
