//! What goes between two nodes, as bytes: a length, a checksum, a kind and a body. Bytes <-> values; no sockets.
//!
//! ```text
//! len u32 | crc32c u32 | kind u8 | body          len counts kind and body, crc covers them; big endian
//! ```
//!
//! The checksum is not against an enemy (the handshake is) but against a broken cable, switch or memory: TCP's own
//! sixteen bits let through what a log must not believe.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the kind: length and checksum.
pub const FRAME_HEAD_BYTES: usize = 8;
/// The largest frame between nodes that have proved who they are: one entry as large as the journal takes (8 MiB), and a
/// mebibyte for what surrounds it.
pub const FRAME_BYTES_MAX: usize = 9 << 20;
/// The largest frame of a handshake: names and numbers only. A stranger gets no more memory than this.
pub const HANDSHAKE_BYTES_MAX: usize = 4 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The caller says who it is and what it wants.
    Hello = 1,
    /// The answerer says who it is, and proves the secret.
    Greeting = 2,
    /// The caller proves the secret.
    Proof = 3,
    /// The caller is let in.
    Welcome = 4,
    /// One end ends the handshake and says why.
    Refusal = 5,
    /// A message of the consensus.
    Message = 16,
    /// How a node is.
    Status = 17,
    /// A question.
    Request = 32,
    /// Its answer.
    Answer = 33,
}

impl FrameKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Hello,
        Self::Greeting,
        Self::Proof,
        Self::Welcome,
        Self::Refusal,
        Self::Message,
        Self::Status,
        Self::Request,
        Self::Answer,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFrame {
    /// What it is.
    pub kind: FrameKind,
    /// What it says.
    pub body: Bytes,
}

/// Why bytes are no frame. Where the next one would begin is unknown then: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than it may be; nothing was read or kept of it.
    #[error("a frame of {len} bytes, where at most {max} are taken")]
    TooLong {
        /// What its head says.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Not even a kind.
    #[error("an empty frame")]
    Empty,
    /// Changed on its way.
    #[error("a frame was damaged on its way")]
    Checksum,
    /// A kind that this software does not know.
    #[error("a frame of kind {found}, which this software does not know")]
    Kind {
        /// The kind's number.
        found: u8,
    },
}

/// Appends a frame to `to`. The body is written by `body`, straight to where it goes.
///
/// # Panics
/// When the body is longer than a length can say.
pub fn put_frame(to: &mut BytesMut, kind: FrameKind, body: impl FnOnce(&mut BytesMut)) {
    let head = to.len();
    to.put_bytes(0, FRAME_HEAD_BYTES);
    to.put_u8(kind as u8);
    body(to);
    let said = &to[head + FRAME_HEAD_BYTES..];
    let len = u32::try_from(said.len()).expect("a frame's body is far below 4 GiB");
    let checksum = crc32c::crc32c(said);
    to[head..head + 4].copy_from_slice(&len.to_be_bytes());
    to[head + 4..head + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// How many bytes follow a head.
///
/// # Errors
/// [`FrameError::TooLong`], [`FrameError::Empty`]: before any memory is taken.
pub fn body_len(head: [u8; FRAME_HEAD_BYTES], max: usize) -> Result<usize, FrameError> {
    let len = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if max < len {
        return Err(FrameError::TooLong { len, max });
    }
    if len == 0 {
        return Err(FrameError::Empty);
    }
    Ok(len)
}

/// Reads what followed a head.
///
/// # Errors
/// [`FrameError::Checksum`], [`FrameError::Kind`], [`FrameError::Empty`].
pub fn read_frame(head: [u8; FRAME_HEAD_BYTES], mut said: Bytes) -> Result<PeerFrame, FrameError> {
    let checksum = u32::from_be_bytes(head[4..].try_into().expect("four bytes"));
    if crc32c::crc32c(&said) != checksum {
        return Err(FrameError::Checksum);
    }
    if said.is_empty() {
        return Err(FrameError::Empty);
    }
    let found = said.get_u8();
    let kind = FrameKind::of(found).ok_or(FrameError::Kind { found })?;
    Ok(PeerFrame { kind, body: said })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(frame: &PeerFrame) -> BytesMut {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, frame.kind, |to| to.put_slice(&frame.body));
        bytes
    }

    /// As a connection reads: the head, then as much as it says.
    fn read(mut bytes: Bytes, max: usize) -> Result<PeerFrame, FrameError> {
        let head = *bytes
            .split_to(FRAME_HEAD_BYTES)
            .first_chunk()
            .expect("a head");
        let len = body_len(head, max)?;
        read_frame(head, bytes.split_to(len))
    }

    fn any_frame() -> impl Strategy<Value = PeerFrame> {
        let kind = any::<u8>().prop_filter_map("a kind", FrameKind::of);
        let body = proptest::collection::vec(any::<u8>(), 0..300);
        (kind, body).prop_map(|(kind, body)| PeerFrame {
            kind,
            body: body.into(),
        })
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_as_it_was_written(frame in any_frame()) {
            prop_assert_eq!(read(bytes_of(&frame).freeze(), FRAME_BYTES_MAX), Ok(frame));
        }

        #[test]
        fn a_changed_bit_is_noticed_wherever_it_is(frame in any_frame(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = bytes_of(&frame);
            // A changed length is a longer frame that never ends, or a shorter one with a wrong checksum.
            let at = at.index(bytes.len() - 4) + 4;
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read(bytes.freeze(), FRAME_BYTES_MAX), Err(FrameError::Checksum));
        }

        #[test]
        fn nonsense_is_refused_and_never_panics(head: [u8; FRAME_HEAD_BYTES], said in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _refused_by_its_length = body_len(head, FRAME_BYTES_MAX).is_err();
            prop_assert!(read_frame(head, said.into()).is_err());
        }
    }

    #[test]
    fn a_long_frame_is_refused_by_its_head_alone() {
        let head = [0xff; FRAME_HEAD_BYTES];
        let refused = body_len(head, HANDSHAKE_BYTES_MAX);
        assert!(
            matches!(refused, Err(FrameError::TooLong { .. })),
            "{refused:?}"
        );
        assert_eq!(body_len([0; FRAME_HEAD_BYTES], 9), Err(FrameError::Empty));
    }

    #[test]
    fn a_kind_of_a_later_version_is_refused_by_its_number() {
        let body = Bytes::from_static(&[99, 1, 2]);
        let mut head = [0; FRAME_HEAD_BYTES];
        head[4..].copy_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        assert_eq!(read_frame(head, body), Err(FrameError::Kind { found: 99 }));
    }
}
