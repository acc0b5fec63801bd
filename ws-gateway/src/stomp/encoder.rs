//! Frames to bytes, and the two halves of a MESSAGE that goes to many.
//!
//! A MESSAGE to a thousand subscriptions differs only in the subscription's id and its spelling of the
//! destination. So it is written as two halves: the [`MessageHead`], made once per subscription, and the shared
//! rest, made once per event. The halves joined are one frame.

use super::{Command, Frame, Version, escape};

/// The frame as it goes on the wire, NUL included. A body brings its `content-length` unless it is there already.
pub fn encode(frame: &Frame, version: Version) -> Vec<u8> {
    let escapes = escape::Escapes::of(frame.command, version);
    let mut out = Vec::with_capacity(128 + frame.body.len());
    out.extend_from_slice(frame.command.as_str().as_bytes());
    out.push(b'\n');
    for (name, value) in frame.headers.iter() {
        header_into(&mut out, name, value, escapes);
    }
    if !frame.body.is_empty() && frame.headers.get("content-length").is_none() {
        header_into(
            &mut out,
            "content-length",
            &frame.body.len().to_string(),
            escapes,
        );
    }
    out.push(b'\n');
    out.extend_from_slice(&frame.body);
    out.push(0);
    out
}

fn header_into(out: &mut Vec<u8>, name: &str, value: &str, escapes: escape::Escapes) {
    escape::escape_into(out, name, escapes);
    out.push(b':');
    escape::escape_into(out, value, escapes);
    out.push(b'\n');
}

/// The first half of every MESSAGE of one subscription: command, `subscription`, `destination`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageHead(Box<[u8]>);

impl MessageHead {
    /// For a subscription as the client named it; only 1.0 lets a subscription have no id.
    pub fn new(version: Version, id: Option<&str>, destination: &str) -> Self {
        let escapes = escape::Escapes::of(Command::Message, version);
        let mut head = Vec::with_capacity(48 + id.map_or(0, str::len) + destination.len());
        head.extend_from_slice(b"MESSAGE\n");
        if let Some(id) = id {
            header_into(&mut head, "subscription", id, escapes);
        }
        header_into(&mut head, "destination", destination, escapes);
        Self(head.into_boxed_slice())
    }

    /// Ends inside the headers: the shared rest follows.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same for one message that the client may name in an ACK.
    pub fn with_ack(&self, number: Option<u64>) -> Vec<u8> {
        let mut head = self.0.to_vec();
        if let Some(number) = number {
            header_into(&mut head, "ack", &number.to_string(), escape::Escapes::None);
        }
        head
    }
}

/// The second half of a MESSAGE: the headers that are the same for all, `content-length`, body and NUL.
///
/// The values are ours and the same bytes in every version, so they hold nothing that any version escapes.
pub fn shared_rest(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(160 + body.len());
    for (name, value) in headers {
        debug_assert!(
            is_plain(name) && is_plain(value),
            "{name}: {value}: needs escapes"
        );
        header_into(&mut rest, name, value, escape::Escapes::None);
    }
    header_into(
        &mut rest,
        "content-length",
        &body.len().to_string(),
        escape::Escapes::None,
    );
    rest.push(b'\n');
    rest.extend_from_slice(body);
    rest.push(0);
    rest
}

/// Whether a header's text is the same in all versions, and safe from clients that trim values or undo escapes
/// one after the other.
fn is_plain(text: &str) -> bool {
    text.trim() == text && !text.contains(['\\', ':', '\r', '\n', '\0'])
}

/// What a client is told when it is refused. Constant words in the headers; what varies is in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorText {
    /// `code`: what a program decides by.
    pub code: &'static str,
    /// `retry`: whether to come back, and with what.
    pub retry: &'static str,
    /// `message`: a few words for a log.
    pub message: &'static str,
    /// The body: a sentence for a person.
    pub detail: String,
    /// Whether to list the versions that are spoken here.
    pub lists_versions: bool,
}

/// The ERROR frame that says `text`, to the frame that carried the receipt id `receipt`.
pub(super) fn error(version: Version, text: &ErrorText, receipt: Option<&str>) -> Vec<u8> {
    debug_assert!(is_plain(text.code) && is_plain(text.retry) && is_plain(text.message));
    let mut frame = Frame::new(Command::Error)
        .with("message", text.message)
        .with("code", text.code)
        .with("retry", text.retry);
    if text.lists_versions {
        frame = frame.with("version", Version::LIST);
    }
    if let Some(id) = receipt {
        frame = frame.with("receipt-id", id);
    }
    encode(
        &frame
            .with("content-type", "text/plain")
            .with_body(text.detail.as_bytes()),
        version,
    )
}
