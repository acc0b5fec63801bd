//! Places in a journal.

/// A place in a journal: bytes since its very beginning, over all segments. Grows with each record, and over restarts;
/// after a cut, positions behind it are given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalPosition(pub u64);

impl JournalPosition {
    pub(crate) fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// Bytes of a batch that was being written when the power went, and never acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the journal ends now.
    pub position: JournalPosition,
    /// From there to the last byte that was dropped; 0 where it had not got to the disk at all.
    pub bytes: u64,
}
