//! One partition: which offsets it holds, who wrote them, and how far they may be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::epochs::EpochTable;
use super::producer::{self, ProducerWindow, Stamp, Windows};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs};
use crate::record::{BatchHeader, BatchPatch};

/// One partition. Its records are in the storage; here is what is true about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    log_start_offset: Offset,
    log_end_offset: Offset,
    epochs: EpochTable,
    producers: Windows,
}

/// A batch to be appended, of the producer `stamp` if it has one.
pub(super) struct Append<'a> {
    pub(super) batch: &'a [u8],
    pub(super) header: &'a BatchHeader,
    pub(super) stamp: Option<Stamp>,
    pub(super) epoch: LeaderEpoch,
    pub(super) log_append_time: Option<TimestampMs>,
}

/// A batch that was appended.
pub(super) struct AppendedBatch {
    pub(super) base_offset: Offset,
    pub(super) batch: Bytes,
}

impl Partition {
    /// First readable offset.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Offset that the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// End of what is committed and applied, exclusive: all that a consumer may see. What is here is both, so it is the
    /// log end offset.
    pub fn high_watermark(&self) -> Offset {
        self.log_end_offset
    }

    /// Lower of the high watermark and the start of the oldest open transaction: what `read_committed` may see.
    pub fn last_stable_offset(&self) -> Offset {
        self.high_watermark()
    }

    /// Where each leader's records begin.
    pub fn epochs(&self) -> &EpochTable {
        &self.epochs
    }

    /// What is known of its producers.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, &ProducerWindow)> + '_ {
        self.producers
            .iter()
            .map(|(producer, window)| (*producer, window))
    }

    pub(super) fn window(&self, producer: ProducerId) -> Option<&ProducerWindow> {
        self.producers.get(&producer)
    }

    /// Gives the batch its place.
    pub(super) fn append(&mut self, append: &Append<'_>) -> AppendedBatch {
        let base_offset = self.log_end_offset;
        let Append {
            batch,
            header,
            stamp,
            epoch,
            log_append_time,
        } = *append;
        let patch = BatchPatch {
            base_offset,
            leader_epoch: epoch,
            log_append_time,
        };
        self.epochs.note(epoch, base_offset);
        self.log_end_offset = base_offset.plus(u64::from(header.last_offset_delta) + 1);
        if let Some(stamp) = stamp {
            let timestamp = log_append_time.unwrap_or(header.max_timestamp);
            producer::note(
                &mut self.producers,
                stamp,
                base_offset,
                timestamp,
                log_append_time,
            );
        }
        self.assert_invariants();
        AppendedBatch {
            base_offset,
            batch: patch.apply(batch),
        }
    }

    /// Forgets a producer that was silent for long.
    pub(super) fn forget(&mut self, producer: ProducerId) {
        self.producers.remove(&producer);
    }

    /// What must hold after every command.
    pub(super) fn assert_invariants(&self) {
        assert!(
            self.log_start_offset <= self.last_stable_offset(),
            "log start offset past the last stable offset"
        );
        assert!(
            self.last_stable_offset() <= self.high_watermark(),
            "last stable offset past the high watermark"
        );
        assert!(
            self.high_watermark() <= self.log_end_offset,
            "high watermark past the log end offset"
        );
    }
}
