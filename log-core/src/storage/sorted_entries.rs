//! Searching a file of sorted entries of one size without reading all of it.

use std::io::{self, ErrorKind};

use super::growing_file::GrowingFile;

/// An entry, and the byte that it begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryAt<E> {
    pub(super) byte: u64,
    pub(super) entry: E,
}

/// The last entry for which `holds`; it holds for a prefix of the entries.
pub(super) fn last_where<const N: usize, E>(
    file: &GrowingFile,
    decode: impl Fn([u8; N]) -> E,
    holds: impl Fn(&E) -> bool,
) -> io::Result<Option<EntryAt<E>>> {
    let count = file.bytes() / N as u64;
    let (mut first, mut end) = (0, count);
    // Readers are mostly at the tail: try the last entry first.
    let mut middle = count.saturating_sub(1);
    let mut found = None;
    while first < end {
        let entry = decode(entry_at(file, middle)?);
        if holds(&entry) {
            found = Some(EntryAt {
                byte: middle * N as u64,
                entry,
            });
            first = middle + 1;
        } else {
            end = middle;
        }
        middle = first + (end - first) / 2;
    }
    Ok(found)
}

fn entry_at<const N: usize>(file: &GrowingFile, index: u64) -> io::Result<[u8; N]> {
    let bytes = file.read(index * N as u64, N as u64)?;
    bytes
        .try_into()
        .map_err(|_| ErrorKind::UnexpectedEof.into())
}
