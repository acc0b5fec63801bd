//! WebSocket (RFC 6455) as the server speaks it: the handshake's answer, frames in, frames out.
//!
//! Bytes in, bytes out. Nothing is buffered but half a header and the payload of a control frame, so a socket
//! that says nothing costs a few dozen bytes; a message's payload is handed on as it arrives. Extensions are not
//! negotiated: a compressed frame could not be shared by all sockets, and an alert is a few hundred bytes.

mod close;
mod decoder;
mod encoder;
mod handshake;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod utf8;

pub use close::CloseCode;
pub use decoder::{Decoder, Event, Opcode, WebSocketError};
pub use encoder::{FrameHeader, PING_FRAME, close_frame, frame, pong_frame};
pub use handshake::{Handshake, HandshakeError};
