//! The bytes of a journal: a batch is a header, records, and zeros up to the next multiple of 64.
//!
//! ```text
//! header   0  magic           ff 4d 4a 01: no UTF-8 text holds it
//!          4  crc             u32   CRC-32C of bytes 8 to 64
//!          8  segment         u64   position of the segment's first byte
//!         16  position        u64   of this header
//!         24  synced_to       u64   everything before was synced before this was written
//!         32  body_bytes      u32   of the records; 0: no batch, a marker that only says `synced_to`
//!         36  record_count    u32   of a marker: 1 where another segment follows
//!         40  segment_bytes   u64   length of the segment's file
//!         48  zeros
//! record   0  length          u32   of the payload
//!          4  crc             u32   CRC-32C of the record's position, the length and the payload
//!          8  payload
//! ```
//!
//! Numbers are big-endian, as in Kafka's formats. Headers lie on multiples of their own size, so that none spans two
//! sectors: after a power cut a header is there or it is not. They name their own place, so that a stray copy is known.

use crate::position::JournalPosition;

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const RECORD_OVERHEAD: usize = 8;
const MAGIC: [u8; 4] = [0xff, b'M', b'J', 1];
const CHECKED_FROM: usize = 8;
/// The record count of a marker that ends its segment.
pub(crate) const SEAL: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) segment: JournalPosition,
    pub(crate) position: JournalPosition,
    pub(crate) synced_to: JournalPosition,
    pub(crate) body_bytes: u32,
    pub(crate) record_count: u32,
    pub(crate) segment_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.segment.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.synced_to.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.body_bytes.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.record_count.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.segment_bytes.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads the header at byte `at` of the segment that begins at `segment`; `None` where none lies, or one that is
    /// not whole or does not belong there.
    pub(crate) fn decode(segment_file: &[u8], segment: JournalPosition, at: usize) -> Option<Self> {
        let bytes = segment_file.get(at..at + HEADER_BYTES)?;
        if bytes[..4] != MAGIC || u32_at(bytes, 4) != crc32c::crc32c(&bytes[CHECKED_FROM..]) {
            return None;
        }
        let header = Self {
            segment: JournalPosition(u64_at(bytes, 8)),
            position: JournalPosition(u64_at(bytes, 16)),
            synced_to: JournalPosition(u64_at(bytes, 24)),
            body_bytes: u32_at(bytes, 32),
            record_count: u32_at(bytes, 36),
            segment_bytes: u64_at(bytes, 40),
        };
        let belongs = header.segment == segment
            && header.position == segment.plus(at)
            && header.synced_to <= header.position;
        belongs.then_some(header)
    }

    pub(crate) fn is_marker(&self) -> bool {
        self.body_bytes == 0
    }

    /// Whether this is the marker that ends a segment: another one was there, durably, before it was written.
    pub(crate) fn is_seal(&self) -> bool {
        self.is_marker() && self.record_count == SEAL
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes as usize
    }

    /// Bytes of the whole batch in the file.
    pub(crate) fn batch_bytes(&self) -> usize {
        batch_bytes(self.body_bytes())
    }
}

/// Bytes that a batch with records of `body_bytes` takes.
pub(crate) fn batch_bytes(body_bytes: usize) -> usize {
    padded(HEADER_BYTES + body_bytes)
}

/// The next multiple of a header's size.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(HEADER_BYTES)
}

/// Appends a record that will lie at `position`.
pub(crate) fn put_record(to: &mut Vec<u8>, position: JournalPosition, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("records are bounded far below 4 GiB");
    to.extend(length.to_be_bytes());
    to.extend(record_crc(position, payload).to_be_bytes());
    to.extend(payload);
}

/// Splits the record at `position` off `body`; `None` where it is not whole.
pub(crate) fn split_record(body: &[u8], position: JournalPosition) -> Option<&[u8]> {
    let (head, rest) = body.split_at_checked(RECORD_OVERHEAD)?;
    let payload = rest.get(..u32_at(head, 0) as usize)?;
    (u32_at(head, 4) == record_crc(position, payload)).then_some(payload)
}

/// The position is under the checksum, so that bytes which lie where they were not written are no record.
fn record_crc(position: JournalPosition, payload: &[u8]) -> u32 {
    let length = payload.len() as u64;
    let crc = crc32c::crc32c(&position.0.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_be_bytes());
    crc32c::crc32c_append(crc, payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}
