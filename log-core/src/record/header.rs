//! The 61 bytes in front of a batch: what they say, and what the log may change in them.
//!
//! ```text
//! byte  0  base offset            i64   patched by the log
//!       8  batch length           i32   bytes after this field
//!      12  partition leader epoch i32   patched by the log
//!      16  magic                  i8    2
//!      17  crc                    u32   CRC-32C of everything from byte 21 on
//!      21  attributes             i16   0-2 codec, 3 log append time, 4 transactional, 5 control
//!      23  last offset delta      i32
//!      27  base timestamp         i64
//!      35  max timestamp          i64
//!      43  producer id            i64   -1: none
//!      51  producer epoch         i16   -1: none
//!      53  base sequence          i32   -1: none
//!      57  record count           i32
//!      61  records
//! ```

use bytes::{Bytes, BytesMut};

use super::compression::Compression;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Length of a batch's header in bytes.
pub const HEADER_BYTES: usize = 61;
/// Bytes before "batch length" starts to count.
const LENGTH_OVERHEAD: usize = 12;
/// The checksum covers what follows it: the base offset and the leader epoch stay outside, so that a broker can patch them.
const CHECKED_FROM: usize = 21;
const MAGIC: u8 = 2;

const CODEC_MASK: u16 = 0x07;
const LOG_APPEND_TIME_BIT: u16 = 0x08;
const TRANSACTIONAL_BIT: u16 = 0x10;
const CONTROL_BIT: u16 = 0x20;

/// Why bytes do not begin with the header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes end inside the header, or before the end that it announces.
    #[error("batch cut: {found} bytes of {needed}")]
    Cut {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        needed: usize,
    },
    /// The batch is of another version than 2.
    #[error("batch magic {found}, this log keeps 2")]
    Magic {
        /// The version it claims.
        found: u8,
    },
    /// A number in the header is none that any writer could mean.
    #[error("batch header: {field} is {found}")]
    Nonsense {
        /// Its name in the table above.
        field: &'static str,
        /// What it holds.
        found: i64,
    },
    /// The codec's number is none that Kafka has given out.
    #[error("batch compressed with codec {found}, known are 0 to 4")]
    Codec {
        /// The codec's number.
        found: u8,
    },
}

/// Who set the records' timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The log, when it appended: all records carry the batch's max timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// How the records are packed.
    pub compression: Compression,
    /// Who set the timestamps.
    pub timestamp_type: TimestampType,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether it holds a marker of the log's instead of records of a producer's.
    pub control: bool,
}

impl Attributes {
    /// Uncompressed records of a producer, outside any transaction.
    pub const PLAIN: Self = Self {
        compression: Compression::None,
        timestamp_type: TimestampType::CreateTime,
        transactional: false,
        control: false,
    };

    fn parse(bits: u16) -> Result<Self, HeaderError> {
        let codec = (bits & CODEC_MASK) as u8;
        let Some(compression) = Compression::from_code(codec) else {
            return Err(HeaderError::Codec { found: codec });
        };
        let timestamp_type = match bits & LOG_APPEND_TIME_BIT {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        };
        Ok(Self {
            compression,
            timestamp_type,
            transactional: bits & TRANSACTIONAL_BIT != 0,
            control: bits & CONTROL_BIT != 0,
        })
    }

    pub(super) fn bits(self) -> u16 {
        let when = |set: bool, bit: u16| if set { bit } else { 0 };
        u16::from(self.compression.code())
            | when(
                self.timestamp_type == TimestampType::LogAppendTime,
                LOG_APPEND_TIME_BIT,
            )
            | when(self.transactional, TRANSACTIONAL_BIT)
            | when(self.control, CONTROL_BIT)
    }
}

/// An idempotent or transactional producer's mark on a batch (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Who wrote it.
    pub id: ProducerId,
    /// In which incarnation.
    pub epoch: ProducerEpoch,
    /// Its count of the first record; `None` in control batches.
    pub base_sequence: Option<Sequence>,
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Length of the whole batch in bytes, header included.
    pub size_bytes: usize,
    /// Epoch of the leader that appended it; `None` as producers send it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// The attribute bits.
    pub attributes: Attributes,
    /// Last record's offset less the base offset.
    pub last_offset_delta: u32,
    /// What the records' timestamp deltas count from.
    pub base_timestamp: TimestampMs,
    /// The latest timestamp of its records; Kafka's -1 where they have none.
    pub max_timestamp: TimestampMs,
    /// The producer's mark, where it has one.
    pub producer: Option<ProducerStamp>,
    /// How many records there should be.
    pub record_count: u32,
}

impl BatchHeader {
    /// Reads the header that `bytes` begin with. The records may be missing or wrong: see [`Self::checksum_is_intact`].
    ///
    /// # Errors
    /// [`HeaderError`]; [`HeaderError::Cut`] only when the header itself is cut.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < HEADER_BYTES {
            return Err(HeaderError::Cut {
                found: bytes.len(),
                needed: HEADER_BYTES,
            });
        }
        // The magic comes first: in other versions the fields lie elsewhere.
        if bytes[16] != MAGIC {
            return Err(HeaderError::Magic { found: bytes[16] });
        }
        Ok(Self {
            base_offset: Offset(natural("base offset", i64_at(bytes, 0))?),
            size_bytes: size_bytes(i32_at(bytes, 8))?,
            leader_epoch: leader_epoch(i32_at(bytes, 12)),
            crc: i32_at(bytes, 17).cast_unsigned(),
            attributes: Attributes::parse(i16_at(bytes, 21).cast_unsigned())?,
            last_offset_delta: natural32("last offset delta", i32_at(bytes, 23))?,
            base_timestamp: TimestampMs(i64_at(bytes, 27)),
            max_timestamp: TimestampMs(i64_at(bytes, 35)),
            producer: producer(bytes)?,
            record_count: natural32("record count", i32_at(bytes, 57))?,
        })
    }

    /// Reads the header of the first batch in `bytes` and cuts the whole batch off.
    ///
    /// # Errors
    /// [`HeaderError`]; [`HeaderError::Cut`] when the batch is not there to its end.
    pub fn split_first(bytes: &Bytes) -> Result<(Self, Bytes, Bytes), HeaderError> {
        let header = Self::parse(bytes)?;
        if bytes.len() < header.size_bytes {
            return Err(HeaderError::Cut {
                found: bytes.len(),
                needed: header.size_bytes,
            });
        }
        let batch = bytes.slice(..header.size_bytes);
        Ok((header, batch, bytes.slice(header.size_bytes..)))
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.last_offset_delta))
    }

    /// Offset that the record after this batch gets.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// Whether the checksum matches; `batch` is the whole batch that this header was read from.
    pub fn checksum_is_intact(&self, batch: &[u8]) -> bool {
        batch.len() == self.size_bytes && checksum(batch) == self.crc
    }
}

/// What the log writes into a batch that it appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPatch {
    /// Where the batch goes.
    pub base_offset: Offset,
    /// The epoch of the leader whose entry carried it.
    pub leader_epoch: LeaderEpoch,
    /// Set for a topic whose records carry the log's time (`message.timestamp.type=LogAppendTime`).
    pub log_append_time: Option<TimestampMs>,
}

impl BatchPatch {
    /// A copy of `batch` with the patch applied.
    ///
    /// Kafka leaves the base offset and the leader epoch out of the checksum so that a broker can do just this. The
    /// log's time is under the checksum, which is then taken again: the caller knows that the old one held.
    pub fn apply(self, batch: &[u8]) -> Bytes {
        let mut patched = BytesMut::from(batch);
        put(&mut patched, 0, self.base_offset.0.to_be_bytes());
        put(&mut patched, 12, self.leader_epoch.0.to_be_bytes());
        if let Some(at) = self.log_append_time {
            let bits = i16_at(&patched, 21).cast_unsigned() | LOG_APPEND_TIME_BIT;
            put(&mut patched, 21, bits.to_be_bytes());
            put(&mut patched, 35, at.0.to_be_bytes());
            seal(&mut patched);
        }
        patched.freeze()
    }
}

/// Sets the latest timestamp, for a producer that announced another one than its records have.
pub(super) fn set_max_timestamp(batch: &[u8], at: TimestampMs) -> Bytes {
    let mut patched = BytesMut::from(batch);
    put(&mut patched, 35, at.0.to_be_bytes());
    seal(&mut patched);
    patched.freeze()
}

/// The same bytes with the checksum that a batch of them should have: for fuzzing and for tests of damage, which could
/// not get past the check otherwise. Bytes shorter than a header come back as they are.
pub fn with_checksum(mut batch: BytesMut) -> Bytes {
    if HEADER_BYTES <= batch.len() {
        seal(&mut batch);
    }
    batch.freeze()
}

/// Takes the checksum of a complete batch and writes it in.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = checksum(batch);
    put(batch, 17, crc.to_be_bytes());
}

/// Writes a header with a checksum still to be taken (see [`seal`]) in front of `records`.
pub(super) fn assemble(header: &BatchHeader, records: &[u8]) -> BytesMut {
    let mut batch = BytesMut::zeroed(HEADER_BYTES + records.len());
    let length = u32::try_from(batch.len() - LENGTH_OVERHEAD).expect("batches are far below 4 GiB");
    put(&mut batch, 0, header.base_offset.0.to_be_bytes());
    put(&mut batch, 8, length.to_be_bytes());
    put(
        &mut batch,
        12,
        header
            .leader_epoch
            .map_or(u32::MAX, |epoch| epoch.0)
            .to_be_bytes(),
    );
    batch[16] = MAGIC;
    put(&mut batch, 21, header.attributes.bits().to_be_bytes());
    put(&mut batch, 23, header.last_offset_delta.to_be_bytes());
    put(&mut batch, 27, header.base_timestamp.0.to_be_bytes());
    put(&mut batch, 35, header.max_timestamp.0.to_be_bytes());
    put_producer(&mut batch, header.producer);
    put(&mut batch, 57, header.record_count.to_be_bytes());
    batch[HEADER_BYTES..].copy_from_slice(records);
    batch
}

fn put_producer(batch: &mut [u8], producer: Option<ProducerStamp>) {
    let sequence = producer.and_then(|stamp| stamp.base_sequence);
    put(
        batch,
        43,
        producer.map_or(u64::MAX, |stamp| stamp.id.0).to_be_bytes(),
    );
    put(
        batch,
        51,
        producer
            .map_or(u16::MAX, |stamp| stamp.epoch.0)
            .to_be_bytes(),
    );
    put(
        batch,
        53,
        sequence
            .map_or(u32::MAX, |sequence| sequence.0)
            .to_be_bytes(),
    );
}

fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[CHECKED_FROM..])
}

fn size_bytes(length: i32) -> Result<usize, HeaderError> {
    let total = usize::try_from(length)
        .ok()
        .map(|length| length + LENGTH_OVERHEAD);
    match total {
        Some(total) if HEADER_BYTES <= total => Ok(total),
        _ => Err(HeaderError::Nonsense {
            field: "batch length",
            found: length.into(),
        }),
    }
}

/// Producers leave the field at -1; some write other negative numbers, which mean as little.
fn leader_epoch(found: i32) -> Option<LeaderEpoch> {
    u32::try_from(found).ok().map(LeaderEpoch)
}

/// A batch without a producer id has no mark, whatever the other two fields say (as Kafka reads it).
fn producer(bytes: &[u8]) -> Result<Option<ProducerStamp>, HeaderError> {
    let Ok(id) = u64::try_from(i64_at(bytes, 43)) else {
        return Ok(None);
    };
    let epoch = i16_at(bytes, 51);
    let Ok(epoch) = u16::try_from(epoch) else {
        return Err(HeaderError::Nonsense {
            field: "producer epoch",
            found: epoch.into(),
        });
    };
    let base_sequence = u32::try_from(i32_at(bytes, 53)).ok().map(Sequence);
    Ok(Some(ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence,
    }))
}

fn natural(field: &'static str, found: i64) -> Result<u64, HeaderError> {
    u64::try_from(found).map_err(|_| HeaderError::Nonsense { field, found })
}

fn natural32(field: &'static str, found: i32) -> Result<u32, HeaderError> {
    u32::try_from(found).map_err(|_| HeaderError::Nonsense {
        field,
        found: found.into(),
    })
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, at))
}
