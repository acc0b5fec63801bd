//! What a command that was carried out answers.

use crate::ids::{
    Offset, ProducerEpoch, ProducerId, TimestampMs, TopicId, TopicPartition, TransactionalId,
};

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// It was done, and there is nothing to tell.
    Done,
    /// A topic was made.
    TopicCreated {
        /// Its identity.
        id: TopicId,
    },
    /// A batch is in the partition: now, or since an earlier try.
    Produced(Produced),
    /// A producer may write under this id.
    ProducerId {
        /// The id.
        id: ProducerId,
        /// The epoch it writes in.
        epoch: ProducerEpoch,
    },
    /// What was idle was forgotten: producers, offsets, transactional ids.
    Expired {
        /// How many.
        count: usize,
    },
    /// Records were deleted, or already had been.
    LogStart {
        /// First readable offset.
        log_start_offset: Offset,
    },
    /// Offsets were committed, or noted for when their transaction ends.
    OffsetsCommitted {
        /// Those left out, because there is no such partition: UNKNOWN_TOPIC_OR_PARTITION.
        unknown: Vec<TopicPartition>,
    },
    /// Transactions that were open for too long were aborted.
    TransactionsExpired {
        /// Whose.
        ids: Vec<TransactionalId>,
    },
    /// An operator's word on jumps of the clock is noted.
    ClockJumpsJudged {
        /// How many jumps had waited for it.
        count: usize,
    },
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The timestamp that the log gave its records, if it does so.
    pub log_append_time: Option<TimestampMs>,
    /// The partition's first readable offset.
    pub log_start_offset: Offset,
    /// Whether an earlier try had stored it.
    pub repeated: bool,
}
