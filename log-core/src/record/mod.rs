//! Record batches, version 2 (Kafka's `DefaultRecordBatch`, KIP-98): the unit on disk, on the wire and in the journal.
//! Bytes to values and back.
//!
//! Not here: offsets and epochs being decided (that is `state`), and which batches belong together (that is `storage`).
//! No bytes make anything in here panic, and none make it take more memory than a small multiple of what it was given:
//! what a codec unpacks is read through a window and counted against a limit.
//!
//! - [`BatchHeader`]: the 61 bytes in front; what the log may patch in place and what the checksum covers.
//! - [`ValidBatch`]: the proof that a producer's bytes are one whole, honest batch.
//! - [`Records`]: the records inside, unpacked one at a time.
//! - [`SegmentSettings`]: when a topic's files roll, which the state decides and the storage does.
//! - [`BatchBuilder`] and [`ControlRecord`]: batches of our own making.

mod builder;
mod compression;
mod control;
mod header;
mod reader;
mod segment_settings;
mod valid_batch;
mod varint;

pub use builder::{BatchBuilder, NewRecord};
pub use compression::{Compression, CompressionLevels};
pub use control::{ControlRecord, UnknownControlRecord};
pub use header::{
    Attributes, BatchHeader, BatchPatch, HEADER_BYTES, HeaderError, ProducerStamp, TimestampType,
    with_checksum,
};
pub use reader::{Record, RecordHeader, Records, UndecodableRecord, timestamps};
pub use segment_settings::SegmentSettings;
pub use valid_batch::{BatchLimits, InvalidBatch, ValidBatch};

#[cfg(test)]
mod tests;
