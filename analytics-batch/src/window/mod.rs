//! Reading the log once: every record of both topics between the first one there is and the last one there was when the
//! reading began. What the records say is not looked at here.

mod pace;
mod progress;
mod reader;

pub(crate) use progress::Meter;
pub use reader::ReadError;
pub(crate) use reader::{Reader, ReaderSettings};

use std::collections::BTreeMap;

use event_model::Topic;

/// What was read: for each partition of each topic the first offset and the one after the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    partitions: BTreeMap<(Topic, u32), Offsets>,
}

/// A half-open range of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl Offsets {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Window {
    /// Adds a partition.
    pub fn insert(&mut self, topic: Topic, partition: u32, offsets: Offsets) {
        self.partitions.insert((topic, partition), offsets);
    }

    /// In order of topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (Topic, u32, Offsets)> {
        self.partitions
            .iter()
            .map(|((topic, partition), offsets)| (*topic, *partition, *offsets))
    }

    /// How many records there are at most: some offsets may hold none.
    pub fn len(&self) -> u64 {
        self.partitions.values().map(Offsets::len).sum()
    }

    /// Is there nothing to read?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
