//! The records inside a batch, unpacked one at a time.

use std::io::{self, BufReader, Read};

use bytes::Bytes;

use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint;
use crate::ids::{Offset, TimestampMs};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position in the partition.
    pub offset: Offset,
    /// When it was made, or appended: the batch says which.
    pub timestamp: TimestampMs,
    /// What it is partitioned by.
    pub key: Option<Bytes>,
    /// What it says; `None` deletes the key in compacted topics.
    pub value: Option<Bytes>,
    /// Names and values, in the order written; a name may occur twice.
    pub headers: Vec<RecordHeader>,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Its name; Kafka asks for UTF-8, and bytes that are not are shown with U+FFFD.
    pub name: String,
    /// Its value.
    pub value: Option<Bytes>,
}

/// Why a batch's records cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("record {position} of {count}")]
pub struct UndecodableRecord {
    /// Which record, from 0; the count itself where something follows the last one.
    pub position: u32,
    /// How many the header announces.
    pub count: u32,
    /// What is wrong.
    #[source]
    pub source: io::Error,
}

/// Unpacked bytes that a batch may have when it is read for a tool, for which the size of what was stored is no guide.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;

/// Reads the records of one batch in order. Ends after the first error.
pub struct Records<'a> {
    header: BatchHeader,
    walk: io::Result<Walk<'a>>,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Starts to read `batch`, which `header` was read from.
    pub fn new(header: BatchHeader, batch: &'a [u8]) -> Self {
        Self {
            header,
            walk: Walk::new(&header, batch, UNPACKED_BYTES_MAX),
            failed: false,
        }
    }

    fn read_next(&mut self) -> io::Result<Option<Record>> {
        let walk = self
            .walk
            .as_mut()
            .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let mut fields = DecodedFields::default();
        let Some(step) = walk.step(&mut fields)? else {
            return Ok(None);
        };
        let timestamp = match self.header.attributes.timestamp_type {
            TimestampType::CreateTime => step.timestamp,
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        let offset = self
            .header
            .base_offset
            .0
            .checked_add_signed(step.offset_delta);
        let offset = Offset(offset.ok_or_else(|| nonsense("offset out of range"))?);
        Ok(Some(Record {
            offset,
            timestamp,
            key: fields.key,
            value: fields.value,
            headers: fields.headers,
        }))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, UndecodableRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let position = self.walk.as_ref().map_or(0, |walk| walk.position);
        match self.read_next() {
            Ok(record) => record.map(Ok),
            Err(source) => {
                self.failed = true;
                Some(Err(UndecodableRecord {
                    position,
                    count: self.header.record_count,
                    source,
                }))
            }
        }
    }
}

/// What of a record's fields somebody wants. A check wants nothing and takes no memory for them.
pub(super) trait Fields {
    /// The key, `length` bytes of `source`.
    fn key(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()>;
    /// The value.
    fn value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()>;
    /// The name of the next header.
    fn header_name(&mut self, source: &mut dyn Read, length: u64) -> io::Result<()>;
    /// Its value.
    fn header_value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()>;
}

/// Keeps all fields.
#[derive(Default)]
struct DecodedFields {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<RecordHeader>,
}

impl Fields for DecodedFields {
    fn key(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        self.key = length.map(|length| take(source, length)).transpose()?;
        Ok(())
    }

    fn value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        self.value = length.map(|length| take(source, length)).transpose()?;
        Ok(())
    }

    fn header_name(&mut self, source: &mut dyn Read, length: u64) -> io::Result<()> {
        let name = String::from_utf8_lossy(&take(source, length)?).into_owned();
        self.headers.push(RecordHeader { name, value: None });
        Ok(())
    }

    fn header_value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        let header = self
            .headers
            .last_mut()
            .expect("a header's name comes before its value");
        header.value = length.map(|length| take(source, length)).transpose()?;
        Ok(())
    }
}

/// Reads past all fields.
pub(super) struct SkippedFields;

impl Fields for SkippedFields {
    fn key(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        skip(source, length.unwrap_or(0))
    }

    fn value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        skip(source, length.unwrap_or(0))
    }

    fn header_name(&mut self, source: &mut dyn Read, length: u64) -> io::Result<()> {
        skip(source, length)
    }

    fn header_value(&mut self, source: &mut dyn Read, length: Option<u64>) -> io::Result<()> {
        skip(source, length.unwrap_or(0))
    }
}

/// What every record has.
pub(super) struct RecordHead {
    pub(super) offset_delta: i64,
    pub(super) timestamp: TimestampMs,
}

/// Walks the records of a batch, unpacking as it goes.
pub(super) struct Walk<'a> {
    source: io::Take<BufReader<Box<dyn Read + 'a>>>,
    base_timestamp: TimestampMs,
    position: u32,
    count: u32,
    over_limit: bool,
}

impl<'a> Walk<'a> {
    /// Starts at the first record. No more than `unpacked_bytes_max` are unpacked.
    pub(super) fn new(
        header: &BatchHeader,
        batch: &'a [u8],
        unpacked_bytes_max: u64,
    ) -> io::Result<Self> {
        let packed = batch
            .get(HEADER_BYTES..header.size_bytes)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let source = BufReader::new(header.attributes.compression.unpack(packed)?);
        Ok(Self {
            source: source.take(unpacked_bytes_max),
            base_timestamp: header.base_timestamp,
            position: 0,
            count: header.record_count,
            over_limit: false,
        })
    }

    /// How many records were read.
    pub(super) fn position(&self) -> u32 {
        self.position
    }

    /// Whether reading stopped because the records unpack to more than allowed.
    pub(super) fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// Reads the next record; `None` after the last one, where nothing may follow.
    pub(super) fn step(&mut self, fields: &mut impl Fields) -> io::Result<Option<RecordHead>> {
        if self.position == self.count {
            return self.expect_end().map(|()| None);
        }
        let length = natural(varint::read(&mut self.source)?)?;
        let Some(limit_after) = self.source.limit().checked_sub(length) else {
            self.over_limit = true;
            return Err(nonsense("unpacks to more bytes than allowed"));
        };
        let step = read_record(
            &mut self.source.by_ref().take(length),
            self.base_timestamp,
            fields,
        )?;
        if self.source.limit() != limit_after {
            return Err(nonsense("record shorter than its length says"));
        }
        self.position += 1;
        Ok(Some(step))
    }

    fn expect_end(&mut self) -> io::Result<()> {
        // Asked of what is behind the limit: it must not pass for the end.
        match self.source.get_mut().read(&mut [0])? {
            0 => Ok(()),
            _ => Err(nonsense("more bytes than the records announced")),
        }
    }
}

fn read_record(
    source: &mut impl Read,
    base_timestamp: TimestampMs,
    fields: &mut impl Fields,
) -> io::Result<RecordHead> {
    // The record's own attributes: none are in use.
    skip(source, 1)?;
    let timestamp = base_timestamp.0.checked_add(varint::read(source)?);
    let timestamp = TimestampMs(timestamp.ok_or_else(|| nonsense("timestamp out of range"))?);
    let offset_delta = varint::read(source)?;
    let length = nullable(varint::read(source)?)?;
    fields.key(source, length)?;
    let length = nullable(varint::read(source)?)?;
    fields.value(source, length)?;
    read_headers(source, fields)?;
    Ok(RecordHead {
        offset_delta,
        timestamp,
    })
}

/// A wrong count runs into the record's end: each header takes at least two bytes.
fn read_headers(source: &mut impl Read, fields: &mut impl Fields) -> io::Result<()> {
    for _ in 0..natural(varint::read(source)?)? {
        let length = natural(varint::read(source)?)?;
        fields.header_name(source, length)?;
        let length = nullable(varint::read(source)?)?;
        fields.header_value(source, length)?;
    }
    Ok(())
}

fn natural(length: i64) -> io::Result<u64> {
    u64::try_from(length).map_err(|_| nonsense("negative length"))
}

fn nullable(length: i64) -> io::Result<Option<u64>> {
    match length {
        -1 => Ok(None),
        length => natural(length).map(Some),
    }
}

/// Memory grows with what arrives, not with what was announced.
fn take(source: &mut dyn Read, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let count = source.take(length).read_to_end(&mut bytes)?;
    let arrived = u64::try_from(count).map_err(io::Error::other)?;
    if arrived < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

fn skip(source: &mut dyn Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if skipped < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Offset and timestamp of every record of one batch, in order: what a lookup by time needs of it.
///
/// # Errors
/// [`UndecodableRecord`] where the records cannot be read.
pub fn timestamps(
    header: &BatchHeader,
    batch: &[u8],
) -> Result<Vec<(Offset, TimestampMs)>, UndecodableRecord> {
    let read = |record: Result<Record, _>| record.map(|record| (record.offset, record.timestamp));
    Records::new(*header, batch).map(read).collect()
}
