//! What a topic's settings may not go below, so that records can be stored in it.

use crate::record::{BatchLimits, HEADER_BYTES};

/// The smallest record: seven fields of one byte each.
const RECORD_BYTES_MIN: usize = 7;
/// A record is on its way for a while, and two clocks are never equal: below a second there is none in time.
pub(super) const TIMESTAMP_MS_MIN: i64 = 1_000;

/// The weakest acknowledgement that a topic's producers may ask for (`mayday.acks.min`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AcksMin {
    /// Any.
    None,
    /// `acks=1` or `acks=all`.
    Leader,
    /// `acks=all`. Its records must not be lost, so DeleteRecords is refused too; retention stays the means of erasure.
    /// And none of them may wait for another: it takes no transactions, whose end readers of committed records wait for.
    All,
}

/// Bytes that a topic must take in one batch: where only `acks=all` will do, what producers put into one by default
/// (librdkafka's `message.max.bytes`, Java's `max.request.size`); elsewhere one record.
pub(super) fn message_bytes_min(acks_min: AcksMin) -> usize {
    match acks_min {
        AcksMin::All => BatchLimits::BATCH_BYTES_MAX,
        AcksMin::None | AcksMin::Leader => HEADER_BYTES + RECORD_BYTES_MIN,
    }
}
