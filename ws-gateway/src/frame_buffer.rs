//! One message on its way to many sockets: the shared rest stays where it is, and each head is written in front of it, so
//! that a delivery copies a few dozen bytes and is one write.

use bytes::Bytes;

use crate::websocket::{self, OpCode};

/// Room for the frame header and most heads; a longer head makes more.
const HEAD_BYTES: usize = 512;

/// A message whose head is still to be written.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    buffer: Vec<u8>,
    rest_at: usize,
    rest: Bytes,
}

impl FrameBuffer {
    /// Takes the next message.
    pub(crate) fn load(&mut self, rest: &Bytes) {
        self.rest = rest.clone();
        self.lay_out(HEAD_BYTES);
    }

    /// What all its receivers share.
    pub(crate) fn rest(&self) -> &Bytes {
        &self.rest
    }

    fn lay_out(&mut self, head_bytes: usize) {
        self.rest_at = head_bytes;
        self.buffer.resize(head_bytes, 0);
        self.buffer.extend_from_slice(&self.rest);
    }

    /// The whole WebSocket frame for one subscription.
    pub(crate) fn address(&mut self, opcode: OpCode, head: &[u8]) -> &[u8] {
        let header = websocket::message_header(opcode);
        let payload_bytes = (head.len() + self.rest.len()) as u64;
        let header_bytes = header.len(payload_bytes);
        let head_bytes = header_bytes + head.len();
        if self.rest_at < head_bytes {
            self.lay_out(head_bytes);
        }
        let begin = self.rest_at - head_bytes;
        let (mut before, after) = self.buffer[begin..self.rest_at].split_at_mut(header_bytes);
        header
            .format(payload_bytes, &mut before)
            .expect("the header is as long as it says");
        after.copy_from_slice(head);
        &self.buffer[begin..]
    }
}
