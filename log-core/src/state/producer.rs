//! Idempotent producers (KIP-98): who has been given an id, and in each partition what of a producer's last batches is
//! needed to tell a retry from a gap.
//!
//! Rule 3: a batch is a repetition only if its epoch, first and last sequence equal those of one of the last five;
//! everything else must continue where the last one ended. A registered producer begins a partition at sequence 0, and
//! so does a new epoch. A producer that is not registered, because it was forgotten after a long silence, may begin
//! anywhere: there is nothing left to compare with, and refusing it would lose what it has to say.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::command_error::CommandError;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Batches of a producer that are remembered per partition: as many as Kafka's producers keep in flight.
const WINDOW_BATCHES: usize = 5;

/// The sequences of one batch as a producer sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) producer: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) first: Sequence,
    pub(super) last: Sequence,
}

/// A batch that is in the partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredBatch {
    first: Sequence,
    last: Sequence,
    pub(super) base_offset: Offset,
    pub(super) log_append_time: Option<TimestampMs>,
}

/// What a batch turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The next one.
    Append,
    /// One that is stored.
    Repeated(StoredBatch),
}

/// Where a producer without a window may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstSequence {
    /// It is registered: at 0.
    Zero,
    /// It was forgotten.
    Anywhere,
}

/// What a partition knows of one producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerWindow {
    epoch: ProducerEpoch,
    batches: VecDeque<StoredBatch>,
    last_timestamp: TimestampMs,
    coordinator_epoch: Option<LeaderEpoch>,
}

impl ProducerWindow {
    fn starting_in(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_timestamp: TimestampMs(-1),
            coordinator_epoch: None,
        }
    }

    /// The epoch it last wrote in, or was fenced to.
    pub fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// The last sequence it wrote in this epoch.
    pub fn last_sequence(&self) -> Option<Sequence> {
        self.batches.back().map(|batch| batch.last)
    }

    /// The latest timestamp of its last batch; -1 where it had none.
    pub fn last_timestamp(&self) -> TimestampMs {
        self.last_timestamp
    }

    /// Epoch of the leader that ended its last transaction.
    pub fn coordinator_epoch(&self) -> Option<LeaderEpoch> {
        self.coordinator_epoch
    }

    /// Judges a batch that was not appended yet.
    pub(super) fn judge(
        window: Option<&Self>,
        stamp: Stamp,
        beginning: FirstSequence,
    ) -> Result<Judgement, CommandError> {
        let Some(window) = window else {
            return match beginning {
                FirstSequence::Zero => stamp.must_begin_at(Sequence(0)),
                FirstSequence::Anywhere => Ok(Judgement::Append),
            };
        };
        if stamp.epoch < window.epoch {
            let (producer, found, current) = (stamp.producer, stamp.epoch, window.epoch);
            return Err(CommandError::InvalidProducerEpoch {
                producer,
                found,
                current,
            });
        }
        if window.epoch < stamp.epoch {
            return stamp.must_begin_at(Sequence(0));
        }
        if let Some(stored) = window.stored(stamp) {
            return Ok(Judgement::Repeated(stored.clone()));
        }
        stamp.must_begin_at(
            window
                .last_sequence()
                .map_or(Sequence(0), |last| last.plus(1)),
        )
    }

    fn stored(&self, stamp: Stamp) -> Option<&StoredBatch> {
        self.batches
            .iter()
            .find(|batch| (batch.first, batch.last) == (stamp.first, stamp.last))
    }

    /// Notes a batch that was judged and appended.
    pub(super) fn note(
        &mut self,
        stamp: Stamp,
        base_offset: Offset,
        timestamp: TimestampMs,
        log_append_time: Option<TimestampMs>,
    ) {
        self.fence(stamp.epoch);
        if self.batches.len() == WINDOW_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(StoredBatch {
            first: stamp.first,
            last: stamp.last,
            base_offset,
            log_append_time,
        });
        self.last_timestamp = timestamp;
    }

    /// Its transaction has ended with a marker of this epoch.
    pub(super) fn end_transaction(&mut self, epoch: ProducerEpoch, coordinator: LeaderEpoch) {
        self.fence(epoch);
        self.coordinator_epoch = Some(coordinator);
    }

    /// Forgets the batches of earlier epochs: the next batch begins at 0.
    fn fence(&mut self, epoch: ProducerEpoch) {
        assert!(
            self.epoch <= epoch,
            "producer epoch fell from {} to {epoch}",
            self.epoch
        );
        if self.epoch < epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

impl Stamp {
    fn must_begin_at(self, expected: Sequence) -> Result<Judgement, CommandError> {
        if self.first == expected {
            return Ok(Judgement::Append);
        }
        Err(CommandError::OutOfOrderSequence {
            producer: self.producer,
            found: self.first,
            expected,
        })
    }
}

/// What a partition knows of its producers.
pub(super) type Windows = BTreeMap<ProducerId, ProducerWindow>;

/// Notes an appended batch in a partition's windows.
pub(super) fn note(
    windows: &mut Windows,
    stamp: Stamp,
    base_offset: Offset,
    timestamp: TimestampMs,
    log_append_time: Option<TimestampMs>,
) {
    let window = windows
        .entry(stamp.producer)
        .or_insert_with(|| ProducerWindow::starting_in(stamp.epoch));
    window.note(stamp, base_offset, timestamp, log_append_time);
}

/// Who has been given an id and was not silent for long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProducerRegistry {
    next_id: ProducerId,
    registered: BTreeMap<ProducerId, TimestampMs>,
}

impl ProducerRegistry {
    /// Gives out an id that nobody has. Ids from before a restored backup may lie above the counter: they are stepped over.
    pub(super) fn allocate(&mut self, at: TimestampMs) -> ProducerId {
        while self.registered.contains_key(&self.next_id) {
            self.next_id.0 += 1;
        }
        let id = self.next_id;
        self.next_id.0 += 1;
        self.registered.insert(id, at);
        id
    }

    /// Gives out none of the next `count` ids.
    pub(super) fn skip(&mut self, count: u64) {
        self.next_id.0 += count;
    }

    /// Where this producer may begin a partition that does not know it.
    pub(super) fn beginning(&self, producer: ProducerId) -> FirstSequence {
        match self.registered.contains_key(&producer) {
            true => FirstSequence::Zero,
            false => FirstSequence::Anywhere,
        }
    }

    /// Notes that a producer wrote.
    pub(super) fn touch(&mut self, producer: ProducerId, at: TimestampMs) {
        self.registered.insert(producer, at);
    }

    /// Forgets and names the producers last used before `used_before`, but for those that `keep`.
    pub(super) fn expire(
        &mut self,
        used_before: TimestampMs,
        keep: impl Fn(ProducerId) -> bool,
    ) -> Vec<ProducerId> {
        let expired = self.registered.extract_if(.., |producer, used_at| {
            *used_at < used_before && !keep(*producer)
        });
        expired.map(|(producer, _)| producer).collect()
    }
}
