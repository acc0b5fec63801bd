//! Control batches: the markers that end a transaction in each of its partitions (KIP-98).
//!
//! One record; its key is a version (i16, 0) and a type (i16), its value a version (i16, 0) and the epoch of the
//! coordinator (i32). Consumers never see it as a record, yet it takes an offset.

use bytes::Bytes;

use super::builder::{BatchBuilder, NewRecord};
use super::header::{Attributes, BatchHeader, ProducerStamp};
use super::reader::Records;
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, TimestampMs};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// All its records count.
    Commit,
    /// None of them does.
    Abort,
}

/// A control batch that is no marker of a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no marker of a transaction's end")]
pub struct UnknownControlRecord;

impl ControlRecord {
    /// The batch that says so.
    pub fn batch(
        self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        coordinator: LeaderEpoch,
        at: TimestampMs,
    ) -> Bytes {
        let attributes = Attributes {
            transactional: true,
            control: true,
            ..Attributes::PLAIN
        };
        let stamp = ProducerStamp {
            id: producer,
            epoch,
            base_sequence: None,
        };
        let mut builder = BatchBuilder::new(attributes).producer(stamp);
        let key = [0_u16.to_be_bytes(), self.code().to_be_bytes()].concat();
        let value = [0_u16.to_be_bytes().as_slice(), &coordinator.0.to_be_bytes()].concat();
        builder.push(NewRecord {
            timestamp: at,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Vec::new(),
        });
        builder.build()
    }

    /// Reads the marker in a control batch.
    ///
    /// # Errors
    /// [`UnknownControlRecord`] for any other batch.
    pub fn read(header: BatchHeader, batch: &[u8]) -> Result<Self, UnknownControlRecord> {
        let record = Records::new(header, batch).next();
        let key = record.and_then(Result::ok).and_then(|record| record.key);
        match key.as_deref() {
            Some([_, _, 0, 0]) if header.attributes.control => Ok(Self::Abort),
            Some([_, _, 0, 1]) if header.attributes.control => Ok(Self::Commit),
            _ => Err(UnknownControlRecord),
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
        }
    }
}
