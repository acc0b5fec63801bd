//! A piece of a file on its way: a checksum over its place and its bytes, then the bytes.

use bytes::Bytes;

/// At most so many bytes of a file go into one chunk.
pub const CHUNK_BYTES: usize = 1 << 20;
const CHECKSUM_BYTES: usize = 4;

/// The chunk that begins at `position` of the file.
pub(super) fn seal(file: u32, position: u64, bytes: &[u8]) -> Bytes {
    let mut chunk = Vec::with_capacity(CHECKSUM_BYTES + bytes.len());
    chunk.extend(checksum(file, position, bytes).to_be_bytes());
    chunk.extend(bytes);
    chunk.into()
}

/// The bytes of the chunk, which must be that one and no other.
pub(super) fn open(file: u32, position: u64, chunk: &[u8]) -> Option<&[u8]> {
    let (found, bytes) = chunk.split_first_chunk::<CHECKSUM_BYTES>()?;
    (u32::from_be_bytes(*found) == checksum(file, position, bytes)).then_some(bytes)
}

fn checksum(file: u32, position: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&file.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &position.to_be_bytes());
    crc32c::crc32c_append(crc, bytes)
}
