//! What one socket could not take yet. Empty, and without memory, for every socket that keeps up.
//!
//! Invariants: the queued bytes are the sum of the queued frames; frames go out whole and in order, so nothing
//! can come between the two halves of one.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
};

use bytes::Bytes;

/// Frames written with one system call. Linux takes 1,024 slices; more than a few dozen gain nothing.
const FRAMES_PER_WRITE: usize = 32;

/// What a queued frame costs besides its bytes: without it the answers to many small pings would cost far more than
/// they count.
const FRAME_OVERHEAD: usize = 96;

/// The queue is full: the reader is too slow for what is sent to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SlowConsumer;

/// A bounded queue of frames, the first of which may have been sent in part.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    first_written: usize,
    bytes_queued: usize,
}

/// A frame in two halves: its own, and what it shares with the same frame of other sockets.
#[derive(Debug)]
struct Frame {
    head: Box<[u8]>,
    rest: Bytes,
}

impl Frame {
    fn len(&self) -> usize {
        self.head.len() + self.rest.len()
    }
}

/// What became of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is sent.
    Empty,
    /// The socket takes no more now.
    Blocked,
}

impl Outbox {
    /// Whether a frame may go to the socket directly.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Memory that it holds, about.
    pub(crate) fn cost(&self) -> usize {
        self.bytes_queued + FRAME_OVERHEAD * self.frames.len()
    }

    #[cfg(test)]
    pub(crate) fn bytes_queued(&self) -> usize {
        self.bytes_queued
    }

    /// Queues a frame of which `written` bytes have gone out already, which only the first one may have. Full
    /// means the client is slow: it is disconnected with a reason, because one slow reader must not hold back an
    /// alert to everyone else. A frame begun is always taken: its other half is on the wire.
    pub(crate) fn push(
        &mut self,
        head: &[u8],
        rest: Bytes,
        written: usize,
        bytes_max: usize,
    ) -> Result<(), SlowConsumer> {
        assert!(
            written == 0 || self.frames.is_empty(),
            "a frame was begun inside another"
        );
        let frame = Frame {
            head: head.into(),
            rest,
        };
        if written == 0 && bytes_max < self.cost() + frame.len() + FRAME_OVERHEAD {
            return Err(SlowConsumer);
        }
        self.bytes_queued += frame.len();
        if written != 0 {
            self.first_written = written;
        }
        self.frames.push_back(frame);
        Ok(())
    }

    /// Drops every frame that has not been begun, to make room for a last word.
    pub(crate) fn drop_unbegun(&mut self) {
        let kept = usize::from(self.first_written != 0);
        self.frames.truncate(kept);
        self.bytes_queued = self.frames.iter().map(Frame::len).sum();
    }

    /// Writes until the queue is empty or the socket blocks.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<Flushed> {
        while !self.frames.is_empty() {
            match socket.write_vectored(&self.slices()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // The memory of a bad moment is not kept for a good day.
        *self = Self::default();
        Ok(Flushed::Empty)
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * FRAMES_PER_WRITE);
        let mut skip = self.first_written;
        for half in self
            .frames
            .iter()
            .take(FRAMES_PER_WRITE)
            .flat_map(|frame| [&*frame.head, &*frame.rest])
        {
            let skipped = skip.min(half.len());
            skip -= skipped;
            if skipped < half.len() {
                slices.push(IoSlice::new(&half[skipped..]));
            }
        }
        slices
    }

    fn advance(&mut self, written: usize) {
        self.first_written += written;
        while let Some(first) = self.frames.front().map(Frame::len)
            && first <= self.first_written
        {
            self.first_written -= first;
            self.bytes_queued -= first;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A socket that takes a few bytes at a time.
    struct Trickle {
        room: Vec<usize>,
        taken: Vec<u8>,
    }

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.room.pop() {
                None | Some(0) => Err(io::ErrorKind::WouldBlock.into()),
                Some(room) => {
                    let n = room.min(bytes.len());
                    self.taken.extend_from_slice(&bytes[..n]);
                    Ok(n)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_and_in_order_however_little_the_socket_takes(
            frames in proptest::collection::vec(("[a-z]{0,9}", "[a-z]{1,30}"), 1..40),
            room in proptest::collection::vec(1usize..50, 0..60),
            begun in 0usize..5,
        ) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (at, (head, rest)) in frames.iter().enumerate() {
                let written = if at == 0 { begun.min(head.len() + rest.len() - 1) } else { 0 };
                outbox.push(head.as_bytes(), Bytes::copy_from_slice(rest.as_bytes()), written, 1 << 20).unwrap();
                expected.extend_from_slice(&[head.as_bytes(), rest.as_bytes()].concat()[written..]);
            }
            let mut socket = Trickle { room, taken: Vec::new() };
            outbox.flush(&mut socket).unwrap();
            prop_assert!(expected.starts_with(&socket.taken));
            socket.room = vec![usize::MAX; 5_000];
            prop_assert_eq!(outbox.flush(&mut socket).unwrap(), Flushed::Empty);
            prop_assert_eq!(socket.taken, expected);
            prop_assert_eq!(outbox.bytes_queued(), 0);
        }
    }

    #[test]
    fn a_full_outbox_refuses_and_keeps_what_it_has() {
        let mut outbox = Outbox::default();
        outbox
            .push(b"", Bytes::from_static(b"0123456789"), 3, 15)
            .unwrap();
        let room_for_five = 2 * FRAME_OVERHEAD + 15;

        assert_eq!(
            outbox.push(b"", Bytes::from_static(b"012345"), 0, room_for_five),
            Err(SlowConsumer)
        );
        assert_eq!(outbox.bytes_queued(), 10);
    }

    #[test]
    fn a_thousand_answers_of_two_bytes_count_as_what_they_hold() {
        let mut outbox = Outbox::default();
        let fits = (0..10_000)
            .take_while(|_| {
                let pong = Bytes::from_static(b"\x8a\x00");
                outbox.push(b"", pong, 0, 64 * 1024).is_ok()
            })
            .count();
        assert!(fits < 1_000, "{fits} frames in 64 KiB");
    }

    #[test]
    fn a_last_word_follows_the_frame_that_was_begun_and_no_other() {
        let mut outbox = Outbox::default();
        outbox
            .push(b"", Bytes::from_static(b"begun"), 2, 100)
            .unwrap();
        outbox
            .push(b"", Bytes::from_static(b"waiting"), 0, 1_000)
            .unwrap();

        outbox.drop_unbegun();
        outbox
            .push(b"", Bytes::from_static(b"bye"), 0, 1_000)
            .unwrap();

        let mut socket = Trickle {
            room: vec![usize::MAX; 9],
            taken: Vec::new(),
        };
        outbox.flush(&mut socket).unwrap();
        assert_eq!(socket.taken, b"gunbye");
    }
}
