//! The five codecs of Kafka's records, packing and unpacking.
//!
//! Unpacking is a stream: a decoder holds its window, never the whole output, so that a kilobyte which unpacks to a
//! gigabyte costs a window until its reader's limit stops it. The windows: gzip 32 KiB, lz4 4 MiB, zstd 8 MiB (what RFC
//! 8878 section 3.1.1.1.2 asks every decoder to support; producers with zstd levels above 19 may ask for more and are
//! refused), snappy one block.

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How the records of a batch are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, in the framing of xerial's snappy-java or bare.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// How hard to pack: the topic's `compression.gzip.level` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevels {
    /// 1 to 9, or -1 for the codec's own choice.
    pub gzip: i32,
    /// 1 to 17.
    pub lz4: i32,
    /// -131072 to 22.
    pub zstd: i32,
}

impl Default for CompressionLevels {
    /// Kafka's.
    fn default() -> Self {
        Self {
            gzip: -1,
            lz4: 9,
            zstd: 3,
        }
    }
}

/// log2 of the largest zstd window taken.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Compression {
    /// The codec that Kafka has given this number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .get(usize::from(code))
            .copied()
    }

    /// Kafka's number for the codec.
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Unpacks `packed` as it is read.
    pub(super) fn unpack<'a>(self, packed: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Snappy => Box::new(SnappyReader::new(packed)),
            Self::Lz4 => Box::new(lz4::Decoder::new(packed)?),
            Self::Zstd => Box::new(zstd_reader(packed)?),
        })
    }

    /// Packs `plain`.
    ///
    /// # Errors
    /// What the codec says about its level; never about the bytes.
    pub(super) fn pack(self, plain: &[u8], levels: CompressionLevels) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(plain.to_vec()),
            Self::Gzip => pack_gzip(plain, levels.gzip),
            Self::Snappy => pack_snappy(plain),
            Self::Lz4 => pack_lz4(plain, levels.lz4),
            Self::Zstd => zstd::stream::encode_all(plain, levels.zstd),
        }
    }
}

fn zstd_reader(packed: &[u8]) -> io::Result<impl Read + '_> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(packed)?;
    reader.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(reader)
}

fn pack_gzip(plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = u32::try_from(level)
        .map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain)?;
    encoder.finish()
}

fn pack_lz4(plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = u32::try_from(level).map_err(io::Error::other)?;
    let mut encoder = lz4::EncoderBuilder::new()
        .level(level)
        // Kafka's own Java reader knows independent blocks only.
        .block_mode(lz4::BlockMode::Independent)
        .build(Vec::new())?;
    encoder.write_all(plain)?;
    let (packed, finished) = encoder.finish();
    finished.map(|()| packed)
}

/// What snappy-java's output stream begins with: its magic, version 1, readable by version 1.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_MAGIC_BYTES: usize = 8;
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

fn pack_snappy(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = XERIAL_HEADER.to_vec();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let block = snap::raw::Encoder::new().compress_vec(block)?;
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        packed.extend(length.to_be_bytes());
        packed.extend(block);
    }
    Ok(packed)
}

/// Unpacks snappy block after block: in xerial's framing each block has its length in front; without the framing (as
/// librdkafka sends it) all is one block.
struct SnappyReader<'a> {
    packed: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    read: usize,
}

impl<'a> SnappyReader<'a> {
    fn new(packed: &'a [u8]) -> Self {
        // Version numbers behind the magic are not compared: snappy-java never changed them.
        let framed = packed.len() >= XERIAL_HEADER.len()
            && packed[..XERIAL_MAGIC_BYTES] == XERIAL_HEADER[..XERIAL_MAGIC_BYTES];
        let packed = if framed {
            &packed[XERIAL_HEADER.len()..]
        } else {
            packed
        };
        Self {
            packed,
            framed,
            block: Vec::new(),
            read: 0,
        }
    }

    fn unpack_next_block(&mut self) -> io::Result<()> {
        let block = if self.framed {
            self.split_framed_block()?
        } else {
            std::mem::take(&mut self.packed)
        };
        self.block = unpack_snappy_block(block)?;
        self.read = 0;
        Ok(())
    }

    fn split_framed_block(&mut self) -> io::Result<&'a [u8]> {
        let (length, rest) = self
            .packed
            .split_first_chunk::<4>()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
        let (block, rest) = rest
            .split_at_checked(length)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.packed = rest;
        Ok(block)
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() && !self.packed.is_empty() {
            self.unpack_next_block()?;
        }
        let count = (&self.block[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// A block says in front how long it will be. Snappy cannot pack tighter than 64 bytes into a copy of 3, so a claim
/// beyond that is a lie, and is refused before memory is taken for it.
fn unpack_snappy_block(block: &[u8]) -> io::Result<Vec<u8>> {
    const RATIO_MAX: usize = 64 / 3 + 1;
    let claimed = snap::raw::decompress_len(block)?;
    if block.len().saturating_mul(RATIO_MAX) < claimed {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "snappy block claims an impossible length",
        ));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(block)?)
}
