//! Frames of a client, as they arrive (RFC 6455 section 5): masked, perhaps fragmented, perhaps hostile.

use super::{CloseCode, close, utf8::Utf8Check};

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl Opcode {
    /// As it stands in a frame.
    pub fn as_u8(self) -> u8 {
        match self {
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
        }
    }
}

/// What a client's bytes say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A piece of a message, unmasked. Text was checked to be UTF-8 up to here, but for a cut character.
    Data(Opcode, &'a [u8]),
    /// The message is complete.
    MessageEnd,
    /// To be answered with the same payload.
    Ping(Vec<u8>),
    /// An answer, or a sign of life.
    Pong,
    /// The client closes, with this code if it says one. Nothing that follows counts.
    Close(Option<u16>),
}

/// Why the connection fails (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// A client masks every frame (section 5.1).
    #[error("a frame is not masked")]
    NotMasked,
    /// A reserved bit is set, and no extension was negotiated.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that does not exist.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// Control frames are never fragmented (section 5.5).
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// Control frames carry at most 125 bytes.
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    /// A length written in more bytes than it needs, or with its highest bit set.
    #[error("a length is not written in the fewest bytes")]
    BadLength,
    /// A continuation of nothing.
    #[error("a continuation without a beginning")]
    UnexpectedContinuation,
    /// A new message inside another.
    #[error("a message begins inside another")]
    UnexpectedMessage,
    /// A close frame with one byte, or with a code that must not be sent.
    #[error("a close frame with a bad code")]
    BadClose,
    /// Text, or a close reason, that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// The message is longer than it may be.
    #[error("a message is longer than {0} bytes")]
    TooBig(u64),
}

impl WebSocketError {
    /// The code to close with.
    pub fn close_code(self) -> CloseCode {
        match self {
            WebSocketError::NotMasked
            | WebSocketError::ReservedBit
            | WebSocketError::ReservedOpcode
            | WebSocketError::FragmentedControl
            | WebSocketError::ControlTooLong
            | WebSocketError::BadLength
            | WebSocketError::UnexpectedContinuation
            | WebSocketError::UnexpectedMessage
            | WebSocketError::BadClose => CloseCode::Protocol,
            WebSocketError::NotUtf8 => CloseCode::InvalidData,
            WebSocketError::TooBig(_) => CloseCode::TooBig,
        }
    }
}

const HEADER_BYTES_MAX: usize = 14;
const CONTROL_BYTES_MAX: u64 = 125;

/// Reads a client's frames. Bytes go in as they arrive, in place: they are unmasked where they lie.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: u64,
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    control: Vec<u8>,
}

/// The frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    is_final: bool,
    mask: [u8; 4],
    mask_at: usize,
    missing: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Ping,
    Pong,
    Close,
}

/// The message whose frames are arriving.
#[derive(Debug)]
struct Message {
    opcode: Opcode,
    bytes: u64,
    utf8: Utf8Check,
}

impl Decoder {
    /// At the beginning of a connection.
    pub fn new(message_bytes_max: u64) -> Self {
        Self {
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
            control: Vec::new(),
        }
    }

    /// From the next frame on.
    pub fn set_message_bytes_max(&mut self, bytes: u64) {
        self.message_bytes_max = bytes;
    }

    /// Takes bytes from the front of `input` until they say something. `None`: all taken.
    ///
    /// # Errors
    ///
    /// The connection must be failed with the error's code. Do not call it again.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, WebSocketError> {
        loop {
            if self.frame.is_none() && !self.take_header(input)? {
                return Ok(None);
            }
            if let Some(event) = self.take_payload(input)? {
                return Ok(Some(event));
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Whether a whole header has come.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<bool, WebSocketError> {
        while self.header_len < header_bytes(&self.header[..self.header_len]) {
            let Some((first, rest)) = std::mem::take(input).split_first_mut() else {
                return Ok(false);
            };
            self.header[self.header_len] = *first;
            self.header_len += 1;
            *input = rest;
            if self.header_len == 2 {
                self.check_first_two()?;
            }
        }
        self.begin_frame()?;
        Ok(true)
    }

    /// What can be known to be wrong before the length and the mask have come.
    fn check_first_two(&self) -> Result<(), WebSocketError> {
        let (first, second) = (self.header[0], self.header[1]);
        let is_final = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(WebSocketError::ReservedBit);
        }
        if second & 0x80 == 0 {
            return Err(WebSocketError::NotMasked);
        }
        match first & 0x0f {
            0x0 if self.message.is_none() => Err(WebSocketError::UnexpectedContinuation),
            0x1 | 0x2 if self.message.is_some() => Err(WebSocketError::UnexpectedMessage),
            0x0..=0x2 => Ok(()),
            0x8..=0xA if !is_final => Err(WebSocketError::FragmentedControl),
            0x8..=0xA if CONTROL_BYTES_MAX < u64::from(second & 0x7f) => {
                Err(WebSocketError::ControlTooLong)
            }
            0x8..=0xA => Ok(()),
            _ => Err(WebSocketError::ReservedOpcode),
        }
    }

    fn begin_frame(&mut self) -> Result<(), WebSocketError> {
        let header = &self.header[..self.header_len];
        let (length, mask) = length_and_mask(header)?;
        let kind = match header[0] & 0x0f {
            0x8 => Kind::Close,
            0x9 => Kind::Ping,
            0xA => Kind::Pong,
            0x1 => self.begin_message(Opcode::Text),
            0x2 => self.begin_message(Opcode::Binary),
            _ => Kind::Data,
        };
        if kind == Kind::Data {
            self.count_message_bytes(length)?;
        }
        let is_final = self.header[0] & 0x80 != 0;
        self.frame = Some(Frame {
            kind,
            is_final,
            mask,
            mask_at: 0,
            missing: length,
        });
        self.header_len = 0;
        Ok(())
    }

    fn begin_message(&mut self, opcode: Opcode) -> Kind {
        self.message = Some(Message {
            opcode,
            bytes: 0,
            utf8: Utf8Check::default(),
        });
        Kind::Data
    }

    /// Judged by the header: a message that is too long is refused before it is sent.
    fn count_message_bytes(&mut self, length: u64) -> Result<(), WebSocketError> {
        let message = self
            .message
            .as_mut()
            .expect("a data frame belongs to a message");
        message.bytes = message.bytes.saturating_add(length);
        if self.message_bytes_max < message.bytes {
            return Err(WebSocketError::TooBig(self.message_bytes_max));
        }
        Ok(())
    }

    fn take_payload<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, WebSocketError> {
        let frame = self.frame.as_mut().expect("a payload follows a header");
        let taken =
            usize::try_from(frame.missing).map_or(input.len(), |missing| missing.min(input.len()));
        let (piece, rest) = std::mem::take(input).split_at_mut(taken);
        *input = rest;
        frame.unmask(piece);
        if frame.kind == Kind::Data {
            return self.data(piece);
        }
        self.control.extend_from_slice(piece);
        if frame.missing != 0 {
            return Ok(None);
        }
        let kind = frame.kind;
        self.frame = None;
        control(kind, std::mem::take(&mut self.control)).map(Some)
    }

    /// A data frame's last bytes and the end of its message are two events: the end comes with the next call.
    fn data<'a>(&mut self, piece: &'a [u8]) -> Result<Option<Event<'a>>, WebSocketError> {
        let message = self
            .message
            .as_mut()
            .expect("a data frame belongs to a message");
        if !piece.is_empty() {
            if message.opcode == Opcode::Text {
                message
                    .utf8
                    .push(piece)
                    .map_err(|_| WebSocketError::NotUtf8)?;
            }
            return Ok(Some(Event::Data(message.opcode, piece)));
        }
        let Some(frame) = self.frame.take_if(|frame| frame.missing == 0) else {
            return Ok(None);
        };
        if !frame.is_final {
            return Ok(None);
        }
        message.utf8.finish().map_err(|_| WebSocketError::NotUtf8)?;
        self.message = None;
        Ok(Some(Event::MessageEnd))
    }
}

impl Frame {
    fn unmask(&mut self, piece: &mut [u8]) {
        for (at, byte) in piece.iter_mut().enumerate() {
            *byte ^= self.mask[(self.mask_at + at) % 4];
        }
        self.mask_at = (self.mask_at + piece.len()) % 4;
        self.missing -= piece.len() as u64;
    }
}

/// How long the header is that begins so: two bytes say it.
fn header_bytes(begun: &[u8]) -> usize {
    match begun.get(1).map(|second| second & 0x7f) {
        None => 2,
        Some(126) => 2 + 2 + 4,
        Some(127) => 2 + 8 + 4,
        Some(_) => 2 + 4,
    }
}

fn length_and_mask(header: &[u8]) -> Result<(u64, [u8; 4]), WebSocketError> {
    let (length, mask) = header[1..].split_at(header.len() - 1 - 4);
    let mask = mask.try_into().expect("the last four bytes of a header");
    let extended = length[1..]
        .iter()
        .fold(0u64, |length, &byte| length << 8 | u64::from(byte));
    match (length[0] & 0x7f, extended) {
        (126, 0..126) | (127, 0..0x1_0000) | (127, 0x8000_0000_0000_0000..) => {
            Err(WebSocketError::BadLength)
        }
        (126 | 127, extended) => Ok((extended, mask)),
        (short, _) => Ok((u64::from(short), mask)),
    }
}

fn control(kind: Kind, payload: Vec<u8>) -> Result<Event<'static>, WebSocketError> {
    match kind {
        Kind::Ping => Ok(Event::Ping(payload)),
        Kind::Pong => Ok(Event::Pong),
        Kind::Close => close_event(&payload),
        Kind::Data => unreachable!("data is not control"),
    }
}

fn close_event(payload: &[u8]) -> Result<Event<'static>, WebSocketError> {
    match payload {
        [] => Ok(Event::Close(None)),
        [_] => Err(WebSocketError::BadClose),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close::may_be_sent(code) {
                return Err(WebSocketError::BadClose);
            }
            std::str::from_utf8(reason).map_err(|_| WebSocketError::NotUtf8)?;
            Ok(Event::Close(Some(code)))
        }
    }
}
