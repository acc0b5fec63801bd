//! A client's frames (RFC 6455 section 5), judged by tungstenite.
//!
//! A `WebSocketContext` for each socket would hold a kilobyte and more while the socket is idle. So whole frames are cut
//! out of the bytes that came, where they lie if they are whole, and a context judges them that lives no longer than
//! their message. An idle reader owns no heap; what a client has begun to send and not ended is kept here, and
//! [`MessageReader::bytes_held`] says how much that is.

use std::{
    borrow::Cow,
    io::{self, Cursor, Read, Write},
};

use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig, WebSocketContext, frame::FrameHeader},
};

use super::CloseCode;

/// Bytes that a message may hold. Residents send less than 1 KiB; a CONNECT with the longest token has some 10.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The least that a context reads at once: a header and a short message.
const READ_BYTES_MIN: usize = 64;

/// Why the connection fails (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// Against the protocol, as tungstenite says.
    #[error(transparent)]
    Protocol(ProtocolError),
    /// A length written in more bytes than it needs (section 5.2): the one fault that tungstenite lets pass.
    #[error("a length is not written in the fewest bytes")]
    BadLength,
    /// Text, or a close reason, that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A message of more bytes than these.
    #[error("a message is longer than {0} bytes")]
    TooBig(usize),
}

impl WebSocketError {
    /// The code to close with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            WebSocketError::Protocol(_) | WebSocketError::BadLength => CloseCode::Protocol,
            WebSocketError::NotUtf8 => CloseCode::InvalidData,
            WebSocketError::TooBig(_) => CloseCode::TooBig,
        }
    }
}

/// Reads a client's messages from bytes, however they are cut.
#[derive(Debug)]
pub struct MessageReader {
    message_bytes_max: usize,
    /// A frame whose end has not come yet.
    cut: Vec<u8>,
    /// A message whose last fragment has not come yet.
    open: Option<Box<OpenMessage>>,
}

#[derive(Debug)]
struct OpenMessage {
    context: WebSocketContext,
    /// Of its fragments, and of the control frames between them.
    bytes: usize,
}

/// A frame as it came, header and payload. It reads as a socket does that has nothing more for now.
struct WholeFrame<'a> {
    bytes: Cow<'a, [u8]>,
    header_bytes: usize,
    read: usize,
}

impl Default for MessageReader {
    fn default() -> Self {
        Self::new(MESSAGE_BYTES_MAX)
    }
}

impl MessageReader {
    /// At the beginning of a connection.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            cut: Vec::new(),
            open: None,
        }
    }

    /// Takes bytes from the front of `input` until they say something. `None`: all taken.
    ///
    /// # Errors
    ///
    /// The connection must be failed with the error's code. Do not call it again.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WebSocketError> {
        while let Some(frame) = self.take_frame(input)? {
            if let Some(message) = self.judge(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Bytes that the frame and the message take which the client has begun and not ended.
    pub fn bytes_held(&self) -> usize {
        // The context keeps a buffer of its longest frame, and collects the fragments in one that grows by doubling.
        let open = self.open.as_ref();
        let open = open.map_or(0, |open| size_of::<OpenMessage>() + 3 * open.bytes);
        self.cut.capacity() + open
    }

    /// `None`: all taken, and the next frame is not whole yet.
    fn take_frame<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<WholeFrame<'a>>, WebSocketError> {
        if self.cut.is_empty()
            && let Some((header_bytes, frame_bytes)) = self.frame_lengths(input)?
            && let Some((frame, rest)) = input.split_at_checked(frame_bytes)
        {
            *input = rest;
            return Ok(Some(WholeFrame::new(Cow::Borrowed(frame), header_bytes)));
        }
        loop {
            let lengths = self.frame_lengths(&self.cut)?;
            // A header is completed byte by byte: what follows it may be of another frame.
            let missing = lengths.map_or(1, |(_, frame_bytes)| frame_bytes - self.cut.len());
            if let Some((header_bytes, _)) = lengths
                && missing == 0
            {
                let frame = Cow::Owned(std::mem::take(&mut self.cut));
                return Ok(Some(WholeFrame::new(frame, header_bytes)));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.cut.extend_from_slice(taken);
            *input = rest;
        }
    }

    /// How long the header is, and how long the frame, that `bytes` begin with. `None`: the header is not whole.
    fn frame_lengths(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, WebSocketError> {
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|error| self.failed(error))?;
        let Some((header, payload_bytes)) = parsed else {
            return Ok(None);
        };
        let header_bytes = header.len(payload_bytes);
        if cursor.position() != header_bytes as u64 {
            return Err(WebSocketError::BadLength);
        }
        let payload_bytes = usize::try_from(payload_bytes)
            .ok()
            .filter(|bytes| *bytes <= self.message_bytes_max)
            .ok_or(WebSocketError::TooBig(self.message_bytes_max))?;
        Ok(Some((header_bytes, header_bytes + payload_bytes)))
    }

    /// `None`: the message goes on in another frame.
    fn judge(&mut self, mut frame: WholeFrame<'_>) -> Result<Option<Message>, WebSocketError> {
        let open = self.open.take();
        let is_inside = open.is_some();
        let mut message = open.map_or_else(|| self.begin(&frame), |open| *open);
        message.bytes += frame.bytes.len();
        match message.context.read(&mut frame) {
            Ok(said) => {
                if is_inside && (said.is_ping() || said.is_pong()) {
                    self.open = Some(Box::new(message));
                }
                Ok(Some(said))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.open = Some(Box::new(message));
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn begin(&self, first_frame: &WholeFrame<'_>) -> OpenMessage {
        let config = WebSocketConfig::default()
            .read_buffer_size(first_frame.bytes.len().max(READ_BYTES_MIN))
            .max_frame_size(Some(self.message_bytes_max))
            .max_message_size(Some(self.message_bytes_max));
        OpenMessage {
            context: WebSocketContext::new(Role::Server, Some(config)),
            bytes: 0,
        }
    }

    /// An error of tungstenite's, without the client's text that it may carry.
    fn failed(&self, error: Error) -> WebSocketError {
        match error {
            Error::Protocol(error) => WebSocketError::Protocol(error),
            Error::Utf8(_) => WebSocketError::NotUtf8,
            Error::Capacity(_) => WebSocketError::TooBig(self.message_bytes_max),
            // The others are about sockets, and a frame that was cut out is none.
            _ => WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake),
        }
    }
}

impl<'a> WholeFrame<'a> {
    fn new(bytes: Cow<'a, [u8]>, header_bytes: usize) -> Self {
        Self {
            bytes,
            header_bytes,
            read: 0,
        }
    }
}

impl Read for WholeFrame<'_> {
    /// Header and payload apart: the context then has room for the payload, and takes no more memory for it.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_in_header = self.read < self.header_bytes;
        let end = if is_in_header {
            self.header_bytes
        } else {
            self.bytes.len()
        };
        let mut rest = &self.bytes[self.read..end];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = rest.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

impl Write for WholeFrame<'_> {
    /// What the context would answer is thrown away: the connection knows what it has said already, and answers itself.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
