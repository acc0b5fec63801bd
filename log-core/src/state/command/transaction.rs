//! Commands about transactions (KIP-98).

use serde::{Deserialize, Serialize};

use super::group::{Committer, NewOffset, offsets_bytes, partitions_bytes};
use crate::ids::{
    GroupId, ProducerEpoch, ProducerId, TimestampMs, TopicPartition, TransactionalId,
};

/// A transactional producer begins, or recovers from an error (KIP-360). What an earlier incarnation had open is aborted,
/// and that incarnation is fenced. Answered by [`crate::state::Response::ProducerId`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitProducerId {
    /// Who it is across restarts.
    pub id: TransactionalId,
    /// How long its transactions may be open; the door has checked it against `transaction.max.timeout.ms`.
    pub timeout_ms: u32,
    /// Who it was until now, if it recovers: refused when another has begun since.
    pub expected: Option<(ProducerId, ProducerEpoch)>,
}

/// Who asks for something in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionalProducer {
    /// Its transactional id.
    pub id: TransactionalId,
    /// Its producer id.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// Partitions become part of the transaction, which begins with the first. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPartitionsToTransaction {
    /// Whose.
    pub by: TransactionalProducer,
    /// Which; all or none.
    pub partitions: Vec<TopicPartition>,
}

/// A group's offsets become part of the transaction. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddOffsetsToTransaction {
    /// Whose.
    pub by: TransactionalProducer,
    /// The consumer group.
    pub group: GroupId,
}

/// Offsets to be committed when the transaction is. Answered by [`crate::state::Response::OffsetsCommitted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitTransactionOffsets {
    /// Whose transaction.
    pub by: TransactionalProducer,
    /// Which group.
    pub group: GroupId,
    /// The consumer that has read up to there (KIP-447).
    pub committer: Committer,
    /// The offsets.
    pub offsets: Vec<NewOffset>,
}

/// A transaction ends, in all its partitions and groups at once. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndTransaction {
    /// Whose.
    pub by: TransactionalProducer,
    /// How.
    pub outcome: TransactionOutcome,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionOutcome {
    /// All of it counts.
    Commit,
    /// None of it does.
    Abort,
}

/// Forget transactional ids that have no open transaction. Answered by [`crate::state::Response::Expired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireTransactionalIds {
    /// Those last used before this time (`transactional.id.expiration.ms` ago).
    pub used_before: TimestampMs,
}

impl AddPartitionsToTransaction {
    pub(super) fn payload_bytes(&self) -> usize {
        self.by.id.as_str().len() + partitions_bytes(&self.partitions)
    }
}

impl AddOffsetsToTransaction {
    pub(super) fn payload_bytes(&self) -> usize {
        self.by.id.as_str().len() + self.group.as_str().len()
    }
}

impl CommitTransactionOffsets {
    pub(super) fn payload_bytes(&self) -> usize {
        let names = self.by.id.as_str().len() + self.group.as_str().len();
        names + self.committer.payload_bytes() + offsets_bytes(&self.offsets)
    }
}
