//! What became of a call that was submitted before.

use event_model::{EventId, EventTime};

use crate::receipt::Receipt;

/// Where a call is that was taken before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallStatus {
    /// Where it was taken to.
    Received(Receipt),
    /// Nowhere: the log will never take it.
    Dead {
        /// The call's id.
        id: EventId,
        /// When it was made.
        at: EventTime,
    },
}
