//! WebSocket (RFC 6455) as the server speaks it: the handshake's answer, messages in, frames out.
//!
//! Bytes in, bytes out. tungstenite judges what a client sends; frames out are our own, since all sockets share their
//! bytes. Extensions are not negotiated: a compressed frame could not be shared, and an alert is a few hundred bytes.

mod close_code;
mod encoder;
mod handshake;
mod message_reader;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use close_code::CloseCode;
pub use encoder::{
    PING_FRAME, close_frame, close_reply, message_frame, message_header, pong_frame,
};
pub use handshake::{Handshake, HandshakeError};
pub use message_reader::{MESSAGE_BYTES_MAX, MessageReader, WebSocketError};
pub use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::coding::{self, OpCode},
};
