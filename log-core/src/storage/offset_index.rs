//! Kafka's `.index`: where in a segment's log to look for an offset.
//!
//! ```text
//! entry  0  last offset of the batch, less the segment's base offset  u32
//!        4  byte of the batch in the log                              u32
//! ```
//!
//! Entries grow in both numbers. A lookup gives the last batch that is indexed at or before the offset, or the start.

use std::io;

use super::growing_file::GrowingFile;
use super::sorted_entries;
use crate::ids::Offset;

pub(super) const ENTRY_BYTES: usize = 8;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    pub(super) last_offset: Offset,
    pub(super) position: u32,
}

impl OffsetEntry {
    pub(super) fn encode(self, base_offset: Offset) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&relative(self.last_offset, base_offset).to_be_bytes());
        bytes[4..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; ENTRY_BYTES], base_offset: Offset) -> Self {
        let [o0, o1, o2, o3, p0, p1, p2, p3] = bytes;
        let last_offset = base_offset.plus(u64::from(u32::from_be_bytes([o0, o1, o2, o3])));
        Self {
            last_offset,
            position: u32::from_be_bytes([p0, p1, p2, p3]),
        }
    }
}

/// The batch from which a scan for `offset` may begin; `None`: the first.
pub(super) fn lookup(
    index: &GrowingFile,
    base_offset: Offset,
    offset: Offset,
) -> io::Result<Option<OffsetEntry>> {
    let decode = |bytes| OffsetEntry::decode(bytes, base_offset);
    let found = sorted_entries::last_where(index, decode, |entry| entry.last_offset <= offset)?;
    Ok(found.map(|found| found.entry))
}

/// The newest entry.
pub(super) fn last(index: &GrowingFile, base_offset: Offset) -> io::Result<Option<OffsetEntry>> {
    let found = sorted_entries::last_where(
        index,
        |bytes| OffsetEntry::decode(bytes, base_offset),
        |_| true,
    )?;
    Ok(found.map(|found| found.entry))
}

/// Segments roll before their offsets are further apart than Kafka's 31 bits.
pub(super) fn relative(offset: Offset, base_offset: Offset) -> u32 {
    u32::try_from(offset.0 - base_offset.0).expect("a segment spans fewer than 2^31 offsets")
}
