//! One partition: which offsets it holds, who wrote them, and how far they may be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command_error::CommandError;
use super::epochs::EpochTable;
use super::open_transactions::{AbortedTransaction, Marker, PartitionTransactions};
use super::producer::{self, FirstSequence, Judgement, ProducerWindow, Stamp, Windows};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs};
use crate::record::{BatchHeader, BatchPatch};

/// One partition. Its records are in the storage; here is what is true about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    log_start_offset: Offset,
    log_end_offset: Offset,
    epochs: EpochTable,
    producers: Windows,
    transactions: PartitionTransactions,
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
        let first_open = self
            .transactions
            .first_open()
            .unwrap_or(self.high_watermark());
        // Records of an open transaction may have been deleted.
        first_open.max(self.log_start_offset)
    }

    /// The aborted transactions with records from `from` up to `below`: what a `read_committed` Fetch of that range names.
    pub fn aborted_in(
        &self,
        from: Offset,
        below: Offset,
    ) -> impl Iterator<Item = AbortedTransaction> + '_ {
        self.transactions.aborted_in(from, below)
    }

    /// Where the producer's open transaction begins here, if it has written.
    pub fn transaction_start(&self, producer: ProducerId) -> Option<Offset> {
        self.transactions.open_since(producer)
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

    /// Whether a batch is its producer's next one here, or one that is stored.
    pub(super) fn judge(
        &self,
        stamp: Stamp,
        beginning: FirstSequence,
    ) -> Result<Judgement, CommandError> {
        ProducerWindow::judge(self.producers.get(&stamp.producer), stamp, beginning)
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
            if header.attributes.transactional {
                self.transactions.note(stamp.producer, base_offset);
            }
        }
        self.assert_invariants();
        AppendedBatch {
            base_offset,
            batch: patch.apply(batch),
        }
    }

    /// Appends the marker that ends a producer's transaction here.
    pub(super) fn end_transaction(&mut self, marker: Marker) -> AppendedBatch {
        let batch = marker.batch();
        let header = BatchHeader::parse(&batch).expect("a batch of our own making");
        let appended = self.append(&Append {
            batch: &batch,
            header: &header,
            stamp: None,
            epoch: marker.leader,
            log_append_time: None,
        });
        self.transactions.end(&marker, appended.base_offset);
        if let Some(window) = self.producers.get_mut(&marker.producer) {
            window.end_transaction(marker.epoch, marker.leader);
        }
        self.assert_invariants();
        appended
    }

    /// Deletes what is before `offset`; answers whether anything was.
    pub(super) fn move_log_start(&mut self, offset: Offset) -> bool {
        assert!(
            offset <= self.high_watermark(),
            "log start offset past the high watermark"
        );
        if offset <= self.log_start_offset {
            return false;
        }
        self.log_start_offset = offset;
        self.epochs.cut_before(offset);
        self.transactions.cut_before(offset);
        self.assert_invariants();
        true
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
