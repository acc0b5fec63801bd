//! What a client may send as a request: nothing panics, whatever the bytes.
//!
//! The first two bytes choose an API and a version that we serve, so that most runs reach a body:
//! `cargo +nightly fuzz run request`.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use log_core::testing::wire::{LENGTH_BYTES, SERVED, decode_request, frame_length};

const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let _as_it_is = decode_request(Bytes::copy_from_slice(bytes)).is_ok();
    if let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() {
        assert!(frame_length(*prefix, LIMIT).unwrap_or(LIMIT) <= LIMIT);
    }
    if let [api, version, rest @ ..] = bytes {
        let api = &SERVED[usize::from(*api) % SERVED.len()];
        let versions = i32::from(api.accepted.last - api.accepted.first) + 1;
        let version = api.accepted.first
            + i16::try_from(i32::from(*version) % versions).expect("a small number");
        let mut frame = BytesMut::new();
        frame.put_i16(api.key as i16);
        frame.put_i16(version);
        frame.put_i32(7);
        frame.put_slice(rest);
        let _with_a_header_of_ours = decode_request(frame.freeze()).is_ok();
    }
});
