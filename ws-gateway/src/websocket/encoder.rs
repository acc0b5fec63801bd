//! Frames of a server: never masked, never fragmented, no extensions (RFC 6455 section 5.2).

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::{
    CloseFrame, Frame, FrameHeader, Utf8Bytes,
    coding::{self, OpCode},
};

use super::CloseCode;

/// A ping without payload.
pub const PING_FRAME: &[u8] = &[0x89, 0];

/// Bytes of a close reason: what a control frame may carry (RFC 6455 section 5.5), less the code.
const REASON_BYTES_MAX: usize = 125 - size_of::<u16>();

/// The header of a frame that is a whole message.
pub fn message_header(opcode: OpCode) -> FrameHeader {
    FrameHeader {
        opcode,
        ..FrameHeader::default()
    }
}

/// A frame that is a whole message.
pub fn message_frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = message_header(opcode);
    let mut bytes = Vec::with_capacity(header.len(payload.len() as u64) + payload.len());
    header
        .format(payload.len() as u64, &mut bytes)
        .expect("a vector takes all");
    bytes.extend_from_slice(payload);
    bytes
}

/// The answer to a ping: its payload.
pub fn pong_frame(payload: Bytes) -> Vec<u8> {
    formatted(Frame::pong(payload))
}

/// A close frame. The reason is cut, at a character's beginning, to what a control frame may carry.
pub fn close_frame(code: CloseCode, reason: &str) -> Vec<u8> {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    formatted(Frame::close(Some(CloseFrame {
        code: code.as_u16().into(),
        reason: reason[..end].into(),
    })))
}

/// The answer to a client's close frame: its code, if it said one (RFC 6455 section 5.5.1).
pub fn close_reply(code: Option<coding::CloseCode>) -> Vec<u8> {
    let reason = Utf8Bytes::default();
    formatted(Frame::close(code.map(|code| CloseFrame { code, reason })))
}

fn formatted(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a vector takes all");
    bytes
}
