//! What became of a call that was taken.

use event_model::{EventId, EventTime, Place};

/// A call that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    pub(crate) id: EventId,
    pub(crate) place: Place,
    pub(crate) at: EventTime,
}

/// A call that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// In the log: on the disks of a majority.
    Stored(StoredRecord),
    /// On this machine's disk, on its way to the log.
    Queued {
        /// Its id, there and here.
        id: EventId,
        /// When it was made.
        at: EventTime,
    },
}
