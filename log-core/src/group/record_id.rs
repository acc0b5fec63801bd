//! What records are told apart by.

/// Names a record that was asked for, within one group on one coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);
