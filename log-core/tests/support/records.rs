//! Record batches as a producer would make them.

use bytes::Bytes;
use log_core::ids::TimestampMs;
use log_core::record::{BatchBuilder, NewRecord, ProducerStamp};

/// The time of every record made here: 2026-11-20.
pub const AT: TimestampMs = TimestampMs(1_795_132_800_000);

pub fn batch_of(values: &[&str]) -> Bytes {
    batch_with(BatchBuilder::plain(), values)
}

pub fn batch_by(producer: ProducerStamp, values: &[&str]) -> Bytes {
    batch_with(BatchBuilder::plain().producer(producer), values)
}

pub fn batch_with(mut batch: BatchBuilder, values: &[&str]) -> Bytes {
    for value in values {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        batch.push(NewRecord {
            timestamp: AT,
            key: None,
            value,
            headers: Vec::new(),
        });
    }
    batch.build()
}
