//! What a node shows at one moment: its state and its partitions' files, as a Fetch would read them.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLockReadGuard};

use super::topic::{self, Value};
use crate::ids::{EntryIndex, Offset, PartitionIndex, ProducerId};
use crate::record::{BatchHeader, ControlRecord, Records};
use crate::state::{Partition, State};
use crate::storage::{PartitionReader, Partitions, ReadError};

/// One node's data.
pub(super) struct View<'a> {
    pub(super) node: usize,
    pub(super) applied: EntryIndex,
    pub(super) state: RwLockReadGuard<'a, State>,
    pub(super) partitions: Arc<Partitions>,
}

/// One batch as a reader sees it.
pub(super) struct SeenBatch {
    pub(super) header: BatchHeader,
    pub(super) content: Content,
}

/// What is in it.
pub(super) enum Content {
    /// Records of a producer.
    Values(Vec<(Offset, Value)>),
    /// The end of a transaction.
    Marker(ControlRecord),
}

impl View<'_> {
    pub(super) fn partition(&self, partition: PartitionIndex) -> Option<&Partition> {
        self.state.partition(&topic::place(partition))
    }

    fn reader(&self, partition: PartitionIndex) -> Option<Arc<PartitionReader>> {
        self.partitions.reader(&topic::place(partition))
    }

    /// Whole batches from `from` on, below `below`, as many as fit into `bytes_max` and at least one.
    pub(super) fn read(
        &self,
        partition: PartitionIndex,
        from: Offset,
        below: Offset,
        bytes_max: usize,
    ) -> Result<Vec<SeenBatch>, ReadError> {
        let Some(reader) = self.reader(partition) else {
            return Ok(Vec::new());
        };
        let mut rest = reader.read(from, below, bytes_max)?;
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let (header, batch, more) = BatchHeader::split_first(&rest).expect("whole batches");
            batches.push(SeenBatch::of(header, &batch));
            rest = more;
        }
        Ok(batches)
    }

    /// Everything that can be read of a partition.
    pub(super) fn read_all(&self, partition: PartitionIndex) -> Result<Vec<SeenBatch>, ReadError> {
        let Some(bounds) = self.partition(partition) else {
            return Ok(Vec::new());
        };
        let (mut next, end) = (bounds.log_start_offset(), bounds.high_watermark());
        let mut batches = Vec::new();
        while next < end {
            let more = self.read(partition, next, end, 1 << 20)?;
            next = more.last().map_or(end, |last| last.header.next_offset());
            batches.extend(more);
        }
        Ok(batches)
    }
}

impl SeenBatch {
    fn of(header: BatchHeader, batch: &[u8]) -> Self {
        let content = if header.attributes.control {
            Content::Marker(ControlRecord::read(header, batch).expect("a marker of ours"))
        } else {
            Content::Values(values(header, batch))
        };
        Self { header, content }
    }

    /// Whose transaction it belongs to, if it does.
    pub(super) fn transactional_producer(&self) -> Option<ProducerId> {
        let stamp = self
            .header
            .producer
            .filter(|_| self.header.attributes.transactional);
        stamp.map(|stamp| stamp.id)
    }
}

fn values(header: BatchHeader, batch: &[u8]) -> Vec<(Offset, Value)> {
    let value = |record: crate::record::Record| {
        let bytes = record.value.as_deref().expect("a value").try_into();
        (
            record.offset,
            u64::from_be_bytes(bytes.expect("eight bytes")),
        )
    };
    Records::new(header, batch)
        .map(|record| value(record.expect("records of ours")))
        .collect()
}

/// The values that count: all of them, or only those whose transaction was committed, by what the markers say.
pub(super) fn committed(batches: &[SeenBatch]) -> BTreeMap<Offset, Value> {
    let mut committed = BTreeMap::new();
    let mut open: BTreeMap<ProducerId, Vec<(Offset, Value)>> = BTreeMap::new();
    for batch in batches {
        match (&batch.content, batch.transactional_producer()) {
            (Content::Values(values), None) => committed.extend(values.iter().copied()),
            (Content::Values(values), Some(producer)) => {
                open.entry(producer).or_default().extend(values);
            }
            (Content::Marker(ControlRecord::Commit), Some(producer)) => {
                committed.extend(open.remove(&producer).unwrap_or_default());
            }
            (Content::Marker(_), producer) => {
                drop(producer.and_then(|producer| open.remove(&producer)));
            }
        }
    }
    committed
}

/// All values, committed or not.
pub(super) fn written(batches: &[SeenBatch]) -> BTreeMap<Offset, Value> {
    let values = batches.iter().filter_map(|batch| match &batch.content {
        Content::Values(values) => Some(values.iter().copied()),
        Content::Marker(_) => None,
    });
    values.flatten().collect()
}
