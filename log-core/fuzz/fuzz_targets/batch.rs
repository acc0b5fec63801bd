//! What a producer may send as a batch: nothing panics, and what passes reads back to its end.
//!
//! The checksum is put right first, as a fuzzer cannot guess it: `cargo +nightly fuzz run batch`.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use log_core::record::{
    BatchHeader, BatchLimits, Compression, CompressionLevels, Records, ValidBatch, with_checksum,
};

fuzz_target!(|bytes: &[u8]| {
    let limits = BatchLimits {
        unpacked_bytes_max: 1 << 20,
        ..BatchLimits::ANY_TIME
    };
    check(&Bytes::copy_from_slice(bytes), &limits);
    check(&with_checksum(BytesMut::from(bytes)), &limits);
});

fn check(bytes: &Bytes, limits: &BatchLimits) {
    if let Ok(header) = BatchHeader::parse(bytes) {
        Records::new(header, bytes).take(1000).for_each(drop);
    }
    let Ok(valid) = ValidBatch::check(bytes, limits) else {
        return;
    };
    let count = Records::new(*valid.header(), valid.bytes())
        .map(|record| record.expect("it was checked"))
        .count();
    assert_eq!(u32::try_from(count), Ok(valid.header().record_count));
    let packed = valid
        .recompressed(Compression::Zstd, CompressionLevels::default())
        .expect("a level within range");
    ValidBatch::check(packed.bytes(), &BatchLimits::ANY_TIME)
        .expect("the same records, packed anew");
}
