//! What became of a call in the outbox.

use event_model::Place;

/// What became of a call in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryStatus {
    /// On this machine's disk.
    Queued,
    /// In the log.
    Stored(Place),
    /// In the log, at a place that its report did not say and that was not found yet.
    Delivered,
    /// The log will never take it.
    Dead,
}
