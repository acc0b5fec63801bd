//! The check of what a producer sent, and the type that proves it was made.
//!
//! Answers as Apache Kafka's `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`
//! do; each variant of [`InvalidBatch`] names its error code.

use std::io;

use bytes::Bytes;

use super::compression::{Compression, CompressionLevels};
use super::header::{BatchHeader, HEADER_BYTES, HeaderError, assemble, seal, set_max_timestamp};
use super::reader::{SkippedFields, UndecodableRecord, Walk};
use crate::ids::{Offset, TimestampMs};

/// What a batch must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bytes of a batch as sent: the topic's `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// Bytes its records may unpack to. They are counted, not kept.
    pub unpacked_bytes_max: u64,
    /// The earliest timestamp a record may have: now less `message.timestamp.before.max.ms`.
    pub timestamp_earliest: TimestampMs,
    /// The latest: now plus `message.timestamp.after.max.ms`.
    pub timestamp_latest: TimestampMs,
}

impl BatchLimits {
    /// What records may unpack to unless somebody says otherwise: 64 times Kafka's largest batch, which is more than text
    /// packs to, and a fraction of a second to read through.
    pub const UNPACKED_BYTES_MAX: u64 = 64 << 20;
    /// Kafka's `max.message.bytes`.
    pub const BATCH_BYTES_MAX: usize = 1_048_588;

    /// Kafka's sizes, any timestamps.
    pub const ANY_TIME: Self = Self {
        batch_bytes_max: Self::BATCH_BYTES_MAX,
        unpacked_bytes_max: Self::UNPACKED_BYTES_MAX,
        timestamp_earliest: TimestampMs(i64::MIN),
        timestamp_latest: TimestampMs(i64::MAX),
    };
}

/// Why a producer's bytes are not taken. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBatch {
    /// There are none: INVALID_RECORD.
    #[error("no record batch")]
    Missing,
    /// More than one batch, or bytes behind it: INVALID_RECORD.
    #[error("{trailing} bytes behind the first batch, one batch is taken")]
    Several {
        /// How many bytes follow the first batch.
        trailing: usize,
    },
    /// Cut, or its length is none: CORRUPT_MESSAGE.
    #[error("batch length")]
    Length(#[source] HeaderError),
    /// A message set of Kafka before 0.11, or a version to come: INVALID_RECORD.
    #[error("batch magic {found}, taken is 2")]
    Magic {
        /// The version it claims.
        found: u8,
    },
    /// The checksum does not match: CORRUPT_MESSAGE.
    #[error("checksum does not match")]
    Crc,
    /// Larger than the topic takes: MESSAGE_TOO_LARGE.
    #[error("batch of {found} bytes, max.message.bytes {allowed}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The topic's limit.
        allowed: usize,
    },
    /// Unpacks to more than the log reads through: MESSAGE_TOO_LARGE.
    #[error("records unpack to more than {allowed} bytes")]
    UnpacksTooLarge {
        /// The limit.
        allowed: u64,
    },
    /// An unknown codec: UNSUPPORTED_COMPRESSION_TYPE.
    #[error("codec {found}, known are 0 to 4")]
    Codec {
        /// Its number.
        found: u8,
    },
    /// A header field that no writer could mean: INVALID_RECORD.
    #[error("batch header")]
    Header(#[source] HeaderError),
    /// Does not begin at 0, as producers number their records: INVALID_RECORD.
    #[error("base offset {found}, producers send 0")]
    BaseOffset {
        /// What it is.
        found: Offset,
    },
    /// No records, or another number of them than of offsets: INVALID_RECORD.
    #[error("{count} records for {offsets} offsets")]
    Count {
        /// Records announced.
        count: u32,
        /// Offsets announced.
        offsets: u64,
    },
    /// A marker, which only the log writes: INVALID_RECORD.
    #[error("control batch from a producer")]
    Control,
    /// A producer id without a sequence, or a transaction without a producer id: INVALID_RECORD.
    #[error("producer id, sequence and transaction do not fit together")]
    Producer,
    /// The records cannot be unpacked or read: INVALID_RECORD.
    #[error("records cannot be read")]
    Undecodable(#[source] UndecodableRecord),
    /// The records are not numbered one by one: INVALID_RECORD.
    #[error("record {expected} has offset delta {found}")]
    OffsetDelta {
        /// What it should be.
        expected: u32,
        /// What it is.
        found: i64,
    },
    /// Too old or too far in the future: INVALID_TIMESTAMP.
    #[error("record {position} has timestamp {found}, taken is {earliest} to {latest}")]
    Timestamp {
        /// Which record.
        position: u32,
        /// Its timestamp.
        found: TimestampMs,
        /// The earliest that is taken.
        earliest: TimestampMs,
        /// The latest.
        latest: TimestampMs,
    },
}

/// One whole batch of a producer's whose every record was read: what may be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl ValidBatch {
    /// Checks what a producer sent for one partition.
    ///
    /// A wrong max timestamp is put right, as Kafka does: the time index relies on it.
    ///
    /// # Errors
    /// [`InvalidBatch`], the first thing that is wrong.
    pub fn check(bytes: &Bytes, limits: &BatchLimits) -> Result<Self, InvalidBatch> {
        if bytes.is_empty() {
            return Err(InvalidBatch::Missing);
        }
        let (header, batch, rest) = BatchHeader::split_first(bytes).map_err(InvalidBatch::from)?;
        check_frame(&header, &batch, &rest, limits)?;
        check_header(&header)?;
        let max_timestamp = check_records(&header, &batch, limits)?;
        if header.max_timestamp == max_timestamp {
            return Ok(Self {
                header,
                bytes: batch,
            });
        }
        Ok(Self::known_good(set_max_timestamp(&batch, max_timestamp)))
    }

    /// What its header says.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same records packed with another codec, for a topic whose `compression.type` is not `producer`. The leader does
    /// it before proposing: two builds of a codec may pack differently, and every replica must keep the same bytes.
    ///
    /// # Errors
    /// What the codec says about its level.
    pub fn recompressed(
        self,
        compression: Compression,
        levels: CompressionLevels,
    ) -> io::Result<Self> {
        if self.header.attributes.compression == compression {
            return Ok(self);
        }
        let mut plain = Vec::new();
        let packed = &self.bytes[HEADER_BYTES..];
        // The check has read to the end of it, so it is known to end.
        io::copy(
            &mut self.header.attributes.compression.unpack(packed)?,
            &mut plain,
        )?;
        let mut header = self.header;
        header.attributes.compression = compression;
        let mut batch = assemble(&header, &compression.pack(&plain, levels)?);
        seal(&mut batch);
        Ok(Self::known_good(batch.freeze()))
    }

    fn known_good(bytes: Bytes) -> Self {
        let header =
            BatchHeader::parse(&bytes).expect("only fields that were read were written back");
        Self { header, bytes }
    }
}

fn check_frame(
    header: &BatchHeader,
    batch: &Bytes,
    rest: &Bytes,
    limits: &BatchLimits,
) -> Result<(), InvalidBatch> {
    if !rest.is_empty() {
        return Err(InvalidBatch::Several {
            trailing: rest.len(),
        });
    }
    if limits.batch_bytes_max < batch.len() {
        return Err(InvalidBatch::TooLarge {
            found: batch.len(),
            allowed: limits.batch_bytes_max,
        });
    }
    if !header.checksum_is_intact(batch) {
        return Err(InvalidBatch::Crc);
    }
    Ok(())
}

fn check_header(header: &BatchHeader) -> Result<(), InvalidBatch> {
    if header.attributes.control {
        return Err(InvalidBatch::Control);
    }
    if header.base_offset != Offset(0) {
        return Err(InvalidBatch::BaseOffset {
            found: header.base_offset,
        });
    }
    let offsets = u64::from(header.last_offset_delta) + 1;
    if u64::from(header.record_count) != offsets {
        return Err(InvalidBatch::Count {
            count: header.record_count,
            offsets,
        });
    }
    let sequenced = match header.producer {
        Some(stamp) => stamp.base_sequence.is_some(),
        None => !header.attributes.transactional,
    };
    if !sequenced {
        return Err(InvalidBatch::Producer);
    }
    Ok(())
}

/// Reads every record; answers the latest timestamp.
fn check_records(
    header: &BatchHeader,
    batch: &[u8],
    limits: &BatchLimits,
) -> Result<TimestampMs, InvalidBatch> {
    let undecodable = |position, source| {
        InvalidBatch::Undecodable(UndecodableRecord {
            position,
            count: header.record_count,
            source,
        })
    };
    let mut walk = Walk::new(header, batch, limits.unpacked_bytes_max)
        .map_err(|source| undecodable(0, source))?;
    let mut max_timestamp = TimestampMs(-1);
    loop {
        let position = walk.position();
        let step = match walk.step(&mut SkippedFields) {
            Ok(Some(step)) => step,
            Ok(None) => return Ok(max_timestamp),
            Err(_) if walk.is_over_limit() => {
                return Err(InvalidBatch::UnpacksTooLarge {
                    allowed: limits.unpacked_bytes_max,
                });
            }
            Err(source) => return Err(undecodable(position, source)),
        };
        if step.offset_delta != i64::from(position) {
            return Err(InvalidBatch::OffsetDelta {
                expected: position,
                found: step.offset_delta,
            });
        }
        check_timestamp(position, step.timestamp, limits)?;
        max_timestamp = max_timestamp.max(step.timestamp);
    }
}

/// Kafka's -1, "no timestamp", passes.
fn check_timestamp(
    position: u32,
    found: TimestampMs,
    limits: &BatchLimits,
) -> Result<(), InvalidBatch> {
    let (earliest, latest) = (limits.timestamp_earliest, limits.timestamp_latest);
    if found == TimestampMs(-1) || (earliest..=latest).contains(&found) {
        return Ok(());
    }
    Err(InvalidBatch::Timestamp {
        position,
        found,
        earliest,
        latest,
    })
}

impl From<HeaderError> for InvalidBatch {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Cut { .. } => Self::Length(error),
            HeaderError::Magic { found } => Self::Magic { found },
            HeaderError::Codec { found } => Self::Codec { found },
            HeaderError::Nonsense { .. } => Self::Header(error),
        }
    }
}
