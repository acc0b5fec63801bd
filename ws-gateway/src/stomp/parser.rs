//! Bytes to frames: a byte machine that can stop and go on anywhere.
//!
//! Frames and the messages of the transport have nothing to do with each other: several frames may come in one
//! message, and one frame in several. Whatever the cuts, the frames are the same; and nothing is kept but the
//! frame that is being read, bounded by [`Limits`].
//!
//! ```text
//!            LF, CR LF, NUL                       LF                 LF of an empty line
//!           ┌──────┐                         ┌──────────┐
//!           ▼      │     any other byte      ▼          │
//!         Between ─┴───────────────────────▶ Head ──────┴────────────▶ Body
//!           ▲                                                           │ NUL
//!           └───────────────────────────────────────────────────────────┘
//! ```
//!
//! An error is final: what follows has no known beginning.

use super::{Command, Frame, Headers, Version, escape};

/// How much one frame may hold. Beyond it the sender is refused before the memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Header lines of a frame. Default 32 before CONNECT, 64 after.
    pub headers_max: usize,
    /// Bytes of one line, its end excluded. Default 10 KiB before CONNECT (a token of 8 KiB must fit), 16 KiB after.
    pub line_bytes_max: usize,
    /// Bytes of a body. Default none before CONNECT, 16 KiB after: nothing that is sent here needs more.
    pub body_bytes_max: usize,
}

impl Limits {
    /// For a client of whom nothing is known.
    pub const BEFORE_CONNECT: Limits = Limits {
        headers_max: 32,
        line_bytes_max: 10 * 1024,
        body_bytes_max: 0,
    };
    /// For a client whose token was verified.
    pub const AFTER_CONNECT: Limits = Limits {
        headers_max: 64,
        line_bytes_max: 16 * 1024,
        body_bytes_max: 16 * 1024,
    };
}

/// Why bytes are no frame. The stream cannot be read on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first line is no command of STOMP, in capitals.
    #[error("unknown command")]
    UnknownCommand,
    /// A NUL before the empty line that ends the head.
    #[error("the frame ends inside its head")]
    HeadCutShort,
    /// A CR that no LF follows, in 1.2.
    #[error("a carriage return stands alone in a line")]
    BareCarriageReturn,
    /// A header line without a colon, or with nothing before it.
    #[error("a header line is not `name:value`")]
    NotAHeader,
    /// A backslash followed by something that this version does not define.
    #[error("a header has an undefined escape")]
    UndefinedEscape,
    /// A header whose bytes are not UTF-8.
    #[error("a header is not UTF-8")]
    HeaderNotUtf8,
    /// A `content-length` that is not a number of octets.
    #[error("content-length is not a number of octets")]
    BadContentLength,
    /// No NUL where `content-length` says that the body ends.
    #[error("the body is longer than its content-length")]
    BodyNotTerminated,
    /// A body where there must be none.
    #[error("{} must not have a body", .0.as_str())]
    BodyNotAllowed(Command),
    /// More header lines than [`Limits::headers_max`].
    #[error("more than {0} headers")]
    TooManyHeaders(usize),
    /// A line beyond [`Limits::line_bytes_max`].
    #[error("a line is longer than {0} bytes")]
    LineTooLong(usize),
    /// A body beyond [`Limits::body_bytes_max`].
    #[error("the body is longer than {0} bytes")]
    BodyTooLong(usize),
}

/// Reads frames from bytes, however they are cut. Between frames it owns no memory.
#[derive(Debug)]
pub struct Parser {
    version: Version,
    limits: Limits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Between two frames: line ends are heart-beats.
    Between,
    /// In the lines up to the empty one.
    Head(Head),
    /// In the body, up to its NUL.
    Body(Body),
}

#[derive(Debug)]
struct Head {
    command: Option<Command>,
    headers: Headers,
    line: Vec<u8>,
}

#[derive(Debug)]
struct Body {
    frame: Frame,
    length: Option<usize>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::BEFORE_CONNECT)
    }
}

impl Parser {
    /// Waits for a first frame, whose version is not known yet: it is read as 1.2.
    pub fn new(limits: Limits) -> Self {
        Self {
            version: Version::V1_2,
            limits,
            stage: Stage::Between,
        }
    }

    /// From the next frame on: the version that was agreed on, and what may now be sent.
    pub fn set_version(&mut self, version: Version, limits: Limits) {
        self.version = version;
        self.limits = limits;
    }

    /// Bytes that the frame takes which the client has begun and not ended.
    pub fn bytes_held(&self) -> usize {
        match &self.stage {
            Stage::Between => 0,
            Stage::Head(head) => {
                size_of::<Head>() + head.line.capacity() + head.headers.bytes_held()
            }
            Stage::Body(body) => {
                size_of::<Body>() + body.frame.body.capacity() + body.frame.headers.bytes_held()
            }
        }
    }

    /// Takes bytes from the front of `input` until a frame is complete. `None`: all taken, none complete.
    ///
    /// # Errors
    ///
    /// The bytes are no STOMP. Do not call it again.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ParseError> {
        while !input.is_empty() {
            match &mut self.stage {
                Stage::Between => self.skip_line_ends(input),
                Stage::Head(_) => self.take_head(input)?,
                Stage::Body(_) => {
                    if let Some(frame) = self.take_body(input)? {
                        return Ok(Some(frame));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Line ends between frames are heart-beats; a NUL there is a frame's end sent twice, and harmless.
    fn skip_line_ends(&mut self, input: &mut &[u8]) {
        let skipped = input
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r' | 0))
            .count();
        *input = &input[skipped..];
        if !input.is_empty() {
            self.stage = Stage::Head(Head {
                command: None,
                headers: Headers::default(),
                line: Vec::new(),
            });
        }
    }

    fn take_head(&mut self, input: &mut &[u8]) -> Result<(), ParseError> {
        let Stage::Head(head) = &mut self.stage else {
            return Ok(());
        };
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            match byte {
                b'\n' => {
                    if head.end_line(self.version, &self.limits)? {
                        self.stage = Stage::Body(self.begin_body()?);
                        return Ok(());
                    }
                }
                0 => return Err(ParseError::HeadCutShort),
                _ if head.line.len() == self.limits.line_bytes_max => {
                    return Err(ParseError::LineTooLong(self.limits.line_bytes_max));
                }
                _ => head.line.push(byte),
            }
        }
        Ok(())
    }

    fn begin_body(&mut self) -> Result<Body, ParseError> {
        let Stage::Head(head) = std::mem::replace(&mut self.stage, Stage::Between) else {
            unreachable!("a body follows a head");
        };
        let command = head
            .command
            .expect("the first line of a head is its command");
        let frame = Frame {
            command,
            headers: head.headers,
            body: Vec::new(),
        };
        let length = frame
            .headers
            .get("content-length")
            .map(content_length)
            .transpose()?;
        if self.limits.body_bytes_max < length.unwrap_or(0) {
            return Err(ParseError::BodyTooLong(self.limits.body_bytes_max));
        }
        Ok(Body { frame, length })
    }

    fn take_body(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ParseError> {
        let Stage::Body(body) = &mut self.stage else {
            return Ok(None);
        };
        match body.length {
            Some(length) => body.take_counted(input, length)?,
            None => body.take_to_nul(input, self.limits.body_bytes_max)?,
        }
        let Some((_nul, rest)) = input.split_first() else {
            return Ok(None);
        };
        *input = rest;
        let Stage::Body(body) = std::mem::replace(&mut self.stage, Stage::Between) else {
            unreachable!("matched above");
        };
        body.finish(self.version).map(Some)
    }
}

impl Head {
    /// The line in hand is complete. Whether it was the empty one that ends the head.
    fn end_line(&mut self, version: Version, limits: &Limits) -> Result<bool, ParseError> {
        // 1.2 allows a CR before every LF. 1.0 and 1.1 do not, but no client means it as part of a value.
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let Some(command) = self.command else {
            self.command = Some(Command::from_bytes(&self.line).ok_or(ParseError::UnknownCommand)?);
            self.line.clear();
            return Ok(false);
        };
        if self.line.is_empty() {
            return Ok(true);
        }
        if self.headers.len() == limits.headers_max {
            return Err(ParseError::TooManyHeaders(limits.headers_max));
        }
        let (name, value) = header(&self.line, command, version)?;
        self.headers.push(name, value);
        self.line.clear();
        Ok(false)
    }
}

impl Body {
    /// Takes what `length` promises; leaves `input` at the NUL behind it, or empty.
    fn take_counted(&mut self, input: &mut &[u8], length: usize) -> Result<(), ParseError> {
        let missing = length - self.frame.body.len();
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.frame.body.extend_from_slice(taken);
        *input = rest;
        match rest.first() {
            None | Some(0) => Ok(()),
            Some(_) => Err(ParseError::BodyNotTerminated),
        }
    }

    /// Takes all up to the first NUL; leaves `input` there, or empty.
    fn take_to_nul(&mut self, input: &mut &[u8], body_bytes_max: usize) -> Result<(), ParseError> {
        let end = input
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(input.len());
        if body_bytes_max < self.frame.body.len() + end {
            return Err(ParseError::BodyTooLong(body_bytes_max));
        }
        self.frame.body.extend_from_slice(&input[..end]);
        *input = &input[end..];
        Ok(())
    }

    fn finish(mut self, version: Version) -> Result<Frame, ParseError> {
        let command = self.frame.command;
        if command == Command::Subscribe && version == Version::V1_0 {
            // "Any body is ignored" (STOMP 1.0 SUBSCRIBE).
            self.frame.body.clear();
        }
        if !self.frame.body.is_empty() && !command.may_have_body() {
            return Err(ParseError::BodyNotAllowed(command));
        }
        Ok(self.frame)
    }
}

/// A header line without its end, as name and value. 1.1 and 1.2 never trim. 1.0 has no rule about spaces and
/// its clients write `name: value`: one space is dropped.
fn header(line: &[u8], command: Command, version: Version) -> Result<(String, String), ParseError> {
    if version == Version::V1_2 && line.contains(&b'\r') {
        return Err(ParseError::BareCarriageReturn);
    }
    let colon = line
        .iter()
        .position(|&byte| byte == b':')
        .ok_or(ParseError::NotAHeader)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() {
        return Err(ParseError::NotAHeader);
    }
    let value = match value {
        [b' ', trimmed @ ..] if version == Version::V1_0 => trimmed,
        whole => whole,
    };
    let escapes = escape::Escapes::of(command, version);
    Ok((header_text(name, escapes)?, header_text(value, escapes)?))
}

fn header_text(raw: &[u8], escapes: escape::Escapes) -> Result<String, ParseError> {
    let text = escape::unescape(raw, escapes).ok_or(ParseError::UndefinedEscape)?;
    String::from_utf8(text).map_err(|_| ParseError::HeaderNotUtf8)
}

fn content_length(value: &str) -> Result<usize, ParseError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or(ParseError::BadContentLength)
}
