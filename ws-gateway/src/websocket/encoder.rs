//! Frames of a server: never masked, never fragmented, no extensions (RFC 6455 section 5.2).

use super::{CloseCode, Opcode};

const FIN: u8 = 0x80;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// A ping without payload.
pub const PING_FRAME: &[u8] = &[FIN | 0x9, 0];

/// Bytes that a control frame may carry (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The first bytes of a frame: two, four or ten, by the length of the payload.
#[derive(Debug, Clone, Copy)]
pub struct FrameHeader {
    bytes: [u8; 10],
    length: usize,
}

impl FrameHeader {
    /// Of a data frame that is a whole message.
    pub fn new(opcode: Opcode, payload_bytes: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = FIN | opcode.as_u8();
        let length = match payload_bytes {
            0..=125 => {
                bytes[1] = payload_bytes.to_be_bytes()[size_of::<usize>() - 1];
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&payload_bytes.to_be_bytes()[size_of::<usize>() - 2..]);
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }

    /// As it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A data frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    [FrameHeader::new(opcode, payload.len()).as_bytes(), payload].concat()
}

/// The answer to a ping: its payload.
pub fn pong_frame(payload: &[u8]) -> Vec<u8> {
    control_frame(PONG, payload)
}

/// A close frame. The reason is cut, at a character's beginning, to what a control frame may carry.
pub fn close_frame(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - size_of::<u16>());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    control_frame(
        CLOSE,
        &[&code.as_u16().to_be_bytes(), &reason.as_bytes()[..end]].concat(),
    )
}

fn control_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(
        payload.len() <= CONTROL_BYTES_MAX,
        "a control frame of {} bytes",
        payload.len()
    );
    let length = u8::try_from(payload.len()).expect("at most 125, asserted above");
    [&[FIN | opcode, length], payload].concat()
}
