//! What may arrive at the port for peers: nothing panics, whatever the bytes.
//!
//! The first byte chooses what the rest is said to be, so that most runs get past the frame:
//! `cargo +nightly fuzz run peer`.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use log_core::testing::peers::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameKind, body_len, put_frame, read_frame,
};
use log_core::testing::peers::hear;

fuzz_target!(|bytes: &[u8]| {
    read_and_hear(Bytes::copy_from_slice(bytes));
    if let [kind, rest @ ..] = bytes {
        let kind = FrameKind::ALL[usize::from(*kind) % FrameKind::ALL.len()];
        let mut frame = BytesMut::new();
        put_frame(&mut frame, kind, |to| to.put_slice(rest));
        assert!(read_and_hear(frame.freeze()), "our own frame is read");
    }
});

/// As a connection does: the head, then as much as it says.
fn read_and_hear(mut bytes: Bytes) -> bool {
    if bytes.len() < FRAME_HEAD_BYTES {
        return false;
    }
    let head = *bytes
        .split_to(FRAME_HEAD_BYTES)
        .first_chunk()
        .expect("split off as many");
    let Ok(len) = body_len(head, FRAME_BYTES_MAX) else {
        return false;
    };
    assert!(len <= FRAME_BYTES_MAX);
    if bytes.len() < len {
        return false;
    }
    match read_frame(head, bytes.split_to(len)) {
        Ok(frame) => {
            let _understood_or_not = hear(&frame);
            true
        }
        Err(_) => false,
    }
}
