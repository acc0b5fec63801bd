//! Walking over the batches of a segment's log, header by header, without taking all of it into memory.
//!
//! Kafka's checksum leaves a batch's base offset out, so that a broker can patch it. What guards it here is that the
//! batches of a segment follow each other without holes, from an offset that is known.

use super::growing_file::GrowingFile;
use super::offset_index::OffsetEntry;
use super::read_error::ReadError;
use crate::ids::Offset;
use crate::record::{BatchHeader, HEADER_BYTES, HeaderError};

/// Read at once. Covers what lies between two index entries at Kafka's default interval, so that a lookup costs one read.
const WINDOW_BYTES: u64 = 8 << 10;

/// A batch and where it lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchAt {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
}

impl BatchAt {
    pub(super) fn end(&self) -> u64 {
        self.position + self.header.size_bytes as u64
    }
}

/// What is known of the next batch.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Base(Offset),
    Last(Offset),
}

/// Gives one batch after the other, up to the end that the log had when the scan began.
pub(super) struct BatchScan<'a> {
    log: &'a GrowingFile,
    end: u64,
    next: u64,
    expected: Expected,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> BatchScan<'a> {
    /// From the first batch of a segment.
    pub(super) fn from_start(log: &'a GrowingFile, base_offset: Offset) -> Self {
        Self::at(log, 0, Expected::Base(base_offset))
    }

    /// From the batch that an index entry is of, or the first one.
    pub(super) fn from_entry(
        log: &'a GrowingFile,
        base_offset: Offset,
        entry: Option<OffsetEntry>,
    ) -> Self {
        match entry {
            Some(entry) => Self::at(
                log,
                entry.position.into(),
                Expected::Last(entry.last_offset),
            ),
            None => Self::from_start(log, base_offset),
        }
    }

    fn at(log: &'a GrowingFile, position: u64, expected: Expected) -> Self {
        Self {
            log,
            end: log.bytes(),
            next: position,
            expected,
            window: Vec::new(),
            window_at: position,
        }
    }

    /// # Errors
    /// [`ReadError::Damaged`] where no whole batch follows.
    pub(super) fn next(&mut self) -> Result<Option<BatchAt>, ReadError> {
        if self.end <= self.next {
            return self.check_end().map(|()| None);
        }
        let position = self.next;
        let header = BatchHeader::parse(self.header_bytes()?)
            .map_err(|error| self.damaged(error.to_string()))?;
        let batch = BatchAt { position, header };
        if self.end < batch.end() {
            let found = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            return Err(self.damaged(
                HeaderError::Cut {
                    found,
                    needed: header.size_bytes,
                }
                .to_string(),
            ));
        }
        self.check_offsets(&header)?;
        self.expected = Expected::Base(header.next_offset());
        self.next = batch.end();
        Ok(Some(batch))
    }

    /// An index entry is written after its batch, so the batch is there.
    fn check_end(&self) -> Result<(), ReadError> {
        match self.expected {
            Expected::Base(_) => Ok(()),
            Expected::Last(last) => Err(self.damaged(format!(
                "no batch, the index has one that ends with offset {last}"
            ))),
        }
    }

    fn check_offsets(&self, header: &BatchHeader) -> Result<(), ReadError> {
        let (base, last) = (header.base_offset, header.last_offset());
        match self.expected {
            Expected::Base(expected) if base != expected => Err(self.damaged(format!(
                "a batch begins at offset {base}, the one before it ends before {expected}"
            ))),
            Expected::Last(expected) if last != expected => Err(self.damaged(format!(
                "a batch ends with offset {last}, the index has {expected}"
            ))),
            Expected::Base(_) | Expected::Last(_) => Ok(()),
        }
    }

    /// The bytes at `next`; fewer than a header only at the end of the log.
    fn header_bytes(&mut self) -> Result<&[u8], ReadError> {
        let window_end = self.window_at + self.window.len() as u64;
        if window_end < (self.next + HEADER_BYTES as u64).min(self.end) {
            let bytes_max = WINDOW_BYTES.min(self.end - self.next);
            self.window = self
                .log
                .read(self.next, bytes_max)
                .map_err(|source| self.io(source))?;
            self.window_at = self.next;
        }
        let at = usize::try_from(self.next - self.window_at).expect("within the window");
        Ok(&self.window[at..])
    }

    fn damaged(&self, found: String) -> ReadError {
        ReadError::Damaged {
            path: self.log.path().to_owned(),
            byte: self.next,
            found,
        }
    }

    fn io(&self, source: std::io::Error) -> ReadError {
        ReadError::Io {
            path: self.log.path().to_owned(),
            source,
        }
    }
}
