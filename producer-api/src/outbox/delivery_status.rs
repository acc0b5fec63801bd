//! What became of a call in the outbox.

use event_model::RecordPosition;

/// What became of a call in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryStatus {
    /// On this machine's disk.
    Queued,
    /// In the log. `None`: its report did not say at which place, and that was not found yet.
    Stored(Option<RecordPosition>),
    /// The log will never take it.
    Dead,
}
