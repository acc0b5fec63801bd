//! One segment's file: made full of zeros, written at positions, and read back at a start.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{JournalError, io_error};
use crate::frame::{HEADER_BYTES, Header, padded};
use crate::position::{Cut, JournalPosition};
use crate::preallocation::{Preallocation, UNFINISHED};
use crate::scan::{Scan, TornBatch};

const EXTENSION: &str = ".journal";
/// Longer files are none of ours: a bound on what a start takes into memory at once.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

pub(crate) type Records = Vec<(JournalPosition, Bytes)>;

/// The segment that is being written.
pub(crate) struct SegmentFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    start: JournalPosition,
    len: u64,
}

impl SegmentFile {
    /// Makes a segment, all zeros, with a name that lasts, from what was prepared for it. The name appears only when the
    /// file is complete, and before anything is written into it.
    pub(crate) fn make(
        disk: &dyn Disk,
        folder: &Path,
        start: JournalPosition,
        mut prepared: Preallocation,
    ) -> Result<Self, JournalError> {
        let (path, len) = (path(folder, start), prepared.len());
        if let Err(error) = prepared.grow(len) {
            prepared.discard(disk);
            return Err(error);
        }
        let file = prepared.name(disk, &path)?;
        Ok(Self {
            file,
            path,
            start,
            len,
        })
    }

    pub(crate) fn start(&self) -> JournalPosition {
        self.start
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn room_behind(&self, position: JournalPosition) -> usize {
        let used = position.0 - self.start.0;
        usize::try_from(self.len.saturating_sub(used)).expect("segments fit memory")
    }

    pub(crate) fn write(
        &self,
        bytes: &[u8],
        position: JournalPosition,
    ) -> Result<(), JournalError> {
        let byte = position.0 - self.start.0;
        self.file
            .write_at(bytes, byte)
            .map_err(io_error("write", &self.path))
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(io_error("sync", &self.path))
    }

    /// Writes what was not known to be synced once more, and syncs it. To read it is not enough: after a failed sync the
    /// kernel takes its pages for clean, so the cache may show, to the next process too, what will never be on the disk.
    /// Crash-safe: records are written over with themselves, and of the rest it does not matter what lasts.
    fn rewrite(&self, contents: &[u8], from: JournalPosition) -> Result<(), JournalError> {
        let byte = usize::try_from(from.0 - self.start.0).expect("within the segment");
        self.write(&contents[byte..], from)?;
        self.sync()
    }
}

/// What lies in a journal's folder.
pub(crate) struct Names {
    /// The segments' starts, oldest first.
    pub(crate) starts: VecDeque<JournalPosition>,
    /// Segments that were never finished.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Names {
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, JournalError> {
        let (mut starts, mut unfinished) = (VecDeque::new(), Vec::new());
        for name in disk.list(folder).map_err(io_error("list", folder))? {
            if name.ends_with(UNFINISHED) {
                unfinished.push(folder.join(name));
            } else if let Some(start) = parse_name(&name) {
                // The names have leading zeros, so their order is that of the numbers.
                starts.push_back(start);
            }
        }
        Ok(Self { starts, unfinished })
    }
}

/// The segments' starts, oldest first. Removes what an earlier start did not finish.
pub(crate) fn list(
    disk: &dyn Disk,
    folder: &Path,
) -> Result<VecDeque<JournalPosition>, JournalError> {
    let names = Names::read(disk, folder)?;
    for path in names.unfinished {
        disk.remove_file(&path).map_err(io_error("remove", &path))?;
    }
    Ok(names.starts)
}

/// Reads a segment that ends where the next one starts, and takes its records in.
pub(crate) fn read_sealed(
    disk: &dyn Disk,
    folder: &Path,
    start: JournalPosition,
    end: JournalPosition,
    records: &mut Records,
) -> Result<(), JournalError> {
    let path = path(folder, start);
    look_at(disk, &path, start, Some(end), records).map(drop)
}

/// Reads a segment and takes its records in; changes nothing. Returns what is to be cut from the newest one; of an older
/// one, what lies in the unused end.
pub(crate) fn look_at(
    disk: &dyn Disk,
    path: &Path,
    start: JournalPosition,
    next: Option<JournalPosition>,
    records: &mut Records,
) -> Result<Option<Cut>, JournalError> {
    let (_, contents) = read(disk, path, OpenMode::Read)?;
    let scan = Scan::of(&contents, start);
    match next {
        Some(end) if start.plus(scan.end) != end => return Err(damaged(path, &scan, end)),
        Some(_) => {}
        None => check_active(path, contents.len() as u64, &scan)?,
    }
    let cut = what_to_cut(&contents, &scan);
    take_in(contents, &scan, records);
    Ok(cut)
}

/// Reads the newest segment, takes its records in, cuts off what was never finished, and makes sure of what is left.
pub(crate) fn read_active(
    disk: &dyn Disk,
    folder: &Path,
    start: JournalPosition,
    records: &mut Records,
) -> Result<(SegmentFile, JournalPosition, Option<Cut>), JournalError> {
    let path = path(folder, start);
    let (file, mut contents) = read(disk, &path, OpenMode::Write)?;
    let scan = Scan::of(&contents, start);
    let len = contents.len() as u64;
    check_active(&path, len, &scan)?;
    let segment = SegmentFile {
        file,
        path,
        start,
        len,
    };
    let cut = what_to_cut(&contents, &scan);
    drop_the_unfinished(&mut contents, &scan);
    segment.rewrite(&contents, scan.synced_to)?;
    let end = start.plus(padded(cut_from(&scan)));
    take_in(contents, &scan, records);
    Ok((segment, end, cut))
}

/// Everything from the first bad byte on becomes zeros, so that nothing of it can ever be read again.
fn drop_the_unfinished(contents: &mut [u8], scan: &Scan) {
    if let Some(torn) = scan.torn.filter(|torn| 0 < torn.whole_records) {
        contents[scan.end..scan.end + HEADER_BYTES].copy_from_slice(&shortened(torn).encode());
    }
    contents[cut_from(scan)..].fill(0);
}

/// The name of the segment's file: its start, with leading zeros so that names sort as numbers do.
pub(crate) fn path(folder: &Path, start: JournalPosition) -> PathBuf {
    folder.join(format!("{:020}{EXTENSION}", start.0))
}

fn parse_name(name: &str) -> Option<JournalPosition> {
    let digits = name.strip_suffix(EXTENSION)?;
    (digits.len() == 20)
        .then(|| digits.parse().ok().map(JournalPosition))
        .flatten()
}

fn read(
    disk: &dyn Disk,
    path: &Path,
    mode: OpenMode,
) -> Result<(Box<dyn DiskFile>, Vec<u8>), JournalError> {
    let file = disk.open(path, mode).map_err(io_error("open", path))?;
    let len = file.len().map_err(io_error("read", path))?;
    if SEGMENT_BYTES_MAX < len {
        return Err(JournalError::Damaged {
            path: path.to_owned(),
            byte: len,
            found: "the file is too long",
            synced_to: 0,
        });
    }
    let mut contents = vec![0; usize::try_from(len).expect("below 1 GiB")];
    let count = file
        .read_at(&mut contents, 0)
        .map_err(io_error("read", path))?;
    if count < contents.len() {
        return Err(io_error("read", path)(ErrorKind::UnexpectedEof.into()));
    }
    Ok((file, contents))
}

/// Everything up to `synced_to` must be whole, the file as long as it was made, and the newest one.
fn check_active(path: &Path, len: u64, scan: &Scan) -> Result<(), JournalError> {
    if scan.start.plus(scan.first_bad_byte()) < scan.synced_to {
        return Err(damaged(path, scan, scan.synced_to));
    }
    let (byte, found) = if !is_length_as_made(len, scan) {
        (len, "the file is not as long as it was made")
    } else if scan.sealed {
        (scan.end as u64, "the segment that follows is missing")
    } else {
        return Ok(());
    };
    Err(JournalError::Damaged {
        path: path.to_owned(),
        byte,
        found,
        synced_to: scan.synced_to.0,
    })
}

/// The records share the file's bytes: one allocation, given back with the last of them.
fn take_in(contents: Vec<u8>, scan: &Scan, records: &mut Records) {
    let contents = Bytes::from(contents);
    records.extend(
        scan.records
            .iter()
            .map(|(position, range)| (*position, contents.slice(range.clone()))),
    );
}

/// Where the zeros begin after a cut.
fn cut_from(scan: &Scan) -> usize {
    match scan.torn {
        Some(torn) if 0 < torn.whole_records => scan.first_bad_byte(),
        Some(_) | None => scan.end,
    }
}

/// The header of what is left of a batch.
fn shortened(torn: TornBatch) -> Header {
    let body_bytes = u32::try_from(torn.whole_bytes).expect("fewer than its header had");
    Header {
        body_bytes,
        record_count: torn.whole_records,
        ..torn.header
    }
}

/// Segments get their names when they have their full length, which each header repeats. Without a header, a length
/// that no segment can have is all there is to see.
fn is_length_as_made(len: u64, scan: &Scan) -> bool {
    let least = 2 * HEADER_BYTES as u64;
    least <= len
        && len.is_multiple_of(HEADER_BYTES as u64)
        && scan.segment_bytes.is_none_or(|made| made == len)
}

/// What an unfinished batch has left. A marker right at the end is what belongs there. A batch of which the first records
/// are whole is cut even where nothing but zeros follows: its header promises more.
fn what_to_cut(contents: &[u8], scan: &Scan) -> Option<Cut> {
    let from = cut_from(scan);
    let marker = if scan.marked { HEADER_BYTES } else { 0 };
    if scan.torn.is_none() && dirty_bytes_behind(contents, from + marker) == 0 {
        return None;
    }
    Some(Cut {
        position: scan.start.plus(from),
        bytes: dirty_bytes_behind(contents, from) as u64,
    })
}

/// How many bytes from `from` on reach up to the last one that is not zero.
fn dirty_bytes_behind(contents: &[u8], from: usize) -> usize {
    let rest = contents.get(from..).unwrap_or_default();
    rest.iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

fn damaged(path: &Path, scan: &Scan, synced_to: JournalPosition) -> JournalError {
    let found = match scan.torn {
        Some(_) => "a record is not whole",
        None => "a batch is not whole",
    };
    let byte = scan.first_bad_byte() as u64;
    JournalError::Damaged {
        path: path.to_owned(),
        byte,
        found,
        synced_to: synced_to.0,
    }
}
