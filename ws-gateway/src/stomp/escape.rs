//! Header names and values on the wire: each version has its own escapes (STOMP 1.2, Value Encoding).

use super::{Command, Version};

/// Which escapes hold in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// None: 1.0, and CONNECT, STOMP and CONNECTED in every version.
    None,
    /// `\n \c \\`: 1.1.
    WithoutCarriageReturn,
    /// `\r \n \c \\`: 1.2.
    All,
}

impl Escapes {
    pub(super) fn of(command: Command, version: Version) -> Self {
        match version {
            _ if command.is_unescaped() => Escapes::None,
            Version::V1_0 => Escapes::None,
            Version::V1_1 => Escapes::WithoutCarriageReturn,
            Version::V1_2 => Escapes::All,
        }
    }
}

/// Appends `text` as it may stand in a header line. What cannot be said without escapes becomes a space: a
/// line end in a value would otherwise begin a header of the sender's choosing.
pub(super) fn escape_into(out: &mut Vec<u8>, text: &str, escapes: Escapes) {
    for &byte in text.as_bytes() {
        match (byte, escapes) {
            (b'\\', Escapes::WithoutCarriageReturn | Escapes::All) => {
                out.extend_from_slice(b"\\\\")
            }
            (b':', Escapes::WithoutCarriageReturn | Escapes::All) => out.extend_from_slice(b"\\c"),
            (b'\n', Escapes::WithoutCarriageReturn | Escapes::All) => out.extend_from_slice(b"\\n"),
            (b'\r', Escapes::All) => out.extend_from_slice(b"\\r"),
            (b'\n' | b'\r' | 0, _) => out.push(b' '),
            (plain, _) => out.push(plain),
        }
    }
}

/// The text that `raw` stands for, or `None` if an escape in it does not exist in this version: such a frame
/// must be refused.
pub(super) fn unescape(raw: &[u8], escapes: Escapes) -> Option<Vec<u8>> {
    if escapes == Escapes::None || !raw.contains(&b'\\') {
        return Some(raw.to_vec());
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'\\' => text.push(escaped(*rest.next()?, escapes)?),
            plain => text.push(plain),
        }
    }
    Some(text)
}

fn escaped(code: u8, escapes: Escapes) -> Option<u8> {
    match (code, escapes) {
        (b'\\', _) => Some(b'\\'),
        (b'n', _) => Some(b'\n'),
        (b'c', _) => Some(b':'),
        (b'r', Escapes::All) => Some(b'\r'),
        _ => None,
    }
}
