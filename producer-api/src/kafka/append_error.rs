//! Why the log is not known to have a record.

use rdkafka::error::KafkaError;

/// Why a record is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// No broker answers at the log's address, or its topics are not there yet. Nothing was written.
    #[error("the log cannot be reached")]
    Unavailable,
    /// Too many records are on their way already. Nothing was written.
    #[error("too many records are in flight")]
    ProducerQueueFull,
    /// The log does not take the record at present: its disk is full, a setting or a clock is off, or we are not let in.
    /// Nothing was written.
    #[error("the log takes nothing at present")]
    NotStored(#[source] KafkaError),
    /// The log says that the record is none. Nothing was written, and no other try can go better.
    #[error("the log refused the record")]
    Rejected(#[source] KafkaError),
    /// The record may or may not be in the log, or get there yet.
    #[error("the log did not say in time whether it has the record")]
    OutcomeUnknown(#[source] Option<KafkaError>),
}
