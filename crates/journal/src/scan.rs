//! Reading one segment: what is whole in it, where that ends, and up to where it must be whole.
//!
//! Pure: bytes in, findings out. What becomes of the rest is decided by [`crate::Journal::open`].

use std::ops::Range;

use crate::frame::{HEADER_BYTES, Header, RECORD_OVERHEAD, padded, split_record};
use crate::position::JournalPosition;

/// What one segment's bytes say.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The position of the segment's first byte.
    pub(crate) start: JournalPosition,
    /// Where the payload of each whole record lies, with the record's position.
    pub(crate) records: Vec<(JournalPosition, Range<usize>)>,
    /// Where the first batch begins that is not whole: the end of the segment's contents when nothing is wrong.
    pub(crate) end: usize,
    /// The batch at `end`, when its header is whole and its records are not.
    pub(crate) torn: Option<TornBatch>,
    /// Whether a marker lies at `end`.
    pub(crate) marked: bool,
    /// Whether that marker says that another segment follows.
    pub(crate) sealed: bool,
    /// The highest `synced_to` of any whole header, wherever it lies.
    pub(crate) synced_to: JournalPosition,
    /// The file's length when it was made, as its headers have it.
    pub(crate) segment_bytes: Option<u64>,
}

/// A batch of which only the first records are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TornBatch {
    pub(crate) header: Header,
    /// How many records are whole.
    pub(crate) whole_records: u32,
    /// And their bytes, behind the header.
    pub(crate) whole_bytes: usize,
}

impl Scan {
    /// Reads the segment that begins at `start`. A new segment is made only after everything before was synced, so its
    /// start is the least that `synced_to` can be.
    pub(crate) fn of(file: &[u8], start: JournalPosition) -> Self {
        let mut scan = Self {
            start,
            records: Vec::new(),
            end: 0,
            torn: None,
            marked: false,
            sealed: false,
            synced_to: start,
            segment_bytes: None,
        };
        while scan.take_batch(file) {}
        scan.look_for_headers_behind_the_end(file);
        scan
    }

    /// Byte at which something else than whole records begins.
    pub(crate) fn first_bad_byte(&self) -> usize {
        match self.torn {
            Some(torn) => self.end + HEADER_BYTES + torn.whole_bytes,
            None => self.end,
        }
    }

    /// Takes in the batch at `end`; false when there is none, or not all of it.
    fn take_batch(&mut self, file: &[u8]) -> bool {
        let Some(header) = Header::decode(file, self.start, self.end) else {
            return false;
        };
        if header.is_marker() {
            self.marked = true;
            self.sealed = header.is_seal();
            return false;
        }
        let body_at = self.end + HEADER_BYTES;
        let (whole_records, whole_bytes) = self.take_records(file, body_at, &header);
        let whole = whole_records == header.record_count && whole_bytes == header.body_bytes();
        let next = self.end + header.batch_bytes();
        if !whole || !is_zero(file.get(body_at + whole_bytes..next)) {
            self.torn = Some(TornBatch {
                header,
                whole_records,
                whole_bytes,
            });
            return false;
        }
        self.note(&header);
        self.end = next;
        true
    }

    /// Takes in the first records that are whole; returns how many, and their bytes.
    fn take_records(&mut self, file: &[u8], body_at: usize, header: &Header) -> (u32, usize) {
        let body_end = (body_at + header.body_bytes()).min(file.len());
        let mut at = body_at;
        let mut count = 0;
        while count < header.record_count {
            let position = self.start.plus(at);
            let Some(payload) = file
                .get(at..body_end)
                .and_then(|body| split_record(body, position))
            else {
                break;
            };
            let payload_at = at + RECORD_OVERHEAD;
            at = payload_at + payload.len();
            self.records.push((position, payload_at..at));
            count += 1;
        }
        (count, at - body_at)
    }

    /// Headers name their own segment and place, so they are known even behind bytes that cannot be read.
    fn look_for_headers_behind_the_end(&mut self, file: &[u8]) {
        for at in (padded(self.end)..file.len()).step_by(HEADER_BYTES) {
            if let Some(header) = Header::decode(file, self.start, at) {
                self.note(&header);
            }
        }
    }

    fn note(&mut self, header: &Header) {
        self.synced_to = self.synced_to.max(header.synced_to);
        self.segment_bytes = Some(header.segment_bytes);
    }
}

fn is_zero(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}
