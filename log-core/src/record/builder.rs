//! Batches of our own making: for tools, tests, and a topic that keeps another codec than its producers use.

use bytes::Bytes;

use super::compression::{Compression, CompressionLevels};
use super::header::{Attributes, BatchHeader, ProducerStamp, assemble, seal};
use super::varint;
use crate::ids::{Offset, TimestampMs};

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// When it was made.
    pub timestamp: TimestampMs,
    /// What it is partitioned by.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Option<Bytes>,
    /// Names and values.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Gathers records into one batch, with the base offset 0 that producers send.
///
/// ```
/// use log_core::record::{BatchBuilder, BatchHeader, NewRecord};
///
/// let mut builder = BatchBuilder::plain();
/// builder.push(NewRecord { value: Some("help".into()), ..NewRecord::default() });
/// let batch = builder.build();
/// assert!(BatchHeader::parse(&batch).unwrap().checksum_is_intact(&batch));
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    attributes: Attributes,
    levels: CompressionLevels,
    producer: Option<ProducerStamp>,
    records: Vec<NewRecord>,
}

impl BatchBuilder {
    /// A batch with these attributes.
    pub fn new(attributes: Attributes) -> Self {
        Self {
            attributes,
            levels: CompressionLevels::default(),
            producer: None,
            records: Vec::new(),
        }
    }

    /// An uncompressed batch outside any transaction.
    pub fn plain() -> Self {
        Self::new(Attributes::PLAIN)
    }

    /// A batch packed with a codec.
    pub fn compressed(compression: Compression) -> Self {
        Self::new(Attributes {
            compression,
            ..Attributes::PLAIN
        })
    }

    /// Marks the batch as an idempotent producer's.
    pub fn producer(mut self, stamp: ProducerStamp) -> Self {
        self.producer = Some(stamp);
        self
    }

    /// Adds a record behind the others.
    pub fn push(&mut self, record: NewRecord) -> &mut Self {
        self.records.push(record);
        self
    }

    /// Writes the batch. A batch needs a record: one without is made, and no log takes it.
    pub fn build(&self) -> Bytes {
        let base = self
            .records
            .first()
            .map_or(TimestampMs(-1), |record| record.timestamp);
        let last = self.records.iter().map(|record| record.timestamp).max();
        let count =
            u32::try_from(self.records.len()).expect("a batch holds fewer than 2^31 records");
        let records = self.pack_records(base);
        let header = BatchHeader {
            base_offset: Offset(0),
            size_bytes: 0,
            leader_epoch: None,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: count.saturating_sub(1),
            base_timestamp: base,
            max_timestamp: last.unwrap_or(base),
            producer: self.producer,
            record_count: count,
        };
        let mut batch = assemble(&header, &records);
        seal(&mut batch);
        batch.freeze()
    }

    fn pack_records(&self, base: TimestampMs) -> Vec<u8> {
        let mut plain = Vec::new();
        for (delta, record) in (0..).zip(&self.records) {
            write_record(&mut plain, base, delta, record);
        }
        let packed = self.attributes.compression.pack(&plain, self.levels);
        packed.expect("the default levels are within every codec's range, and memory is written to")
    }
}

fn write_record(to: &mut Vec<u8>, base: TimestampMs, offset_delta: i64, record: &NewRecord) {
    let mut body = vec![0];
    varint::write(&mut body, record.timestamp.0.saturating_sub(base.0));
    varint::write(&mut body, offset_delta);
    write_nullable(&mut body, record.key.as_deref());
    write_nullable(&mut body, record.value.as_deref());
    varint::write(&mut body, length(record.headers.len()));
    for (name, value) in &record.headers {
        write_nullable(&mut body, Some(name.as_bytes()));
        write_nullable(&mut body, value.as_deref());
    }
    varint::write(to, length(body.len()));
    to.extend(body);
}

fn write_nullable(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        return varint::write(to, -1);
    };
    varint::write(to, length(bytes.len()));
    to.extend(bytes);
}

fn length(count: usize) -> i64 {
    i64::try_from(count).expect("nothing in memory is that long")
}
