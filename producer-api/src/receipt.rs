//! What a client is told of a call that was taken.

use event_model::{EventId, EventTime, RecordPosition};

/// A call that is in the log, or on this machine's disk and on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) id: EventId,
    /// When the call was made.
    pub(crate) at: EventTime,
    /// Where the log has it, on the disks of a majority. `None`: only this machine has it, or the place is not known yet.
    pub(crate) place: Option<RecordPosition>,
}
