//! What one socket could not take yet. Empty, and without memory, for every socket that keeps up.
//!
//! Invariants: the queued bytes are the sum of the queued frames; frames go out whole and in order, so nothing
//! can come between the two halves of one.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// Frames written with one system call. Linux takes 1,024 slices; more than a few dozen gain nothing.
const FRAMES_PER_WRITE: usize = 32;

/// What a queued frame costs besides its bytes: without it the answers to many small pings would cost far more than
/// they count.
const FRAME_OVERHEAD: usize = 96;

/// Why bytes were not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The queue is full: the client reads more slowly than it is sent to.
    Slow,
    /// The socket is gone.
    Gone,
}

/// A bounded queue of frames, the first of which may have been sent in part.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    frames: VecDeque<QueuedFrame>,
    first_written: usize,
    bytes_queued: usize,
    bytes_max: usize,
    /// What all queues of the shard cost, of which this one's part is `counted`.
    total: Arc<AtomicUsize>,
    counted: usize,
}

/// A frame in two halves: its own, and what it shares with the same frame of other sockets.
#[derive(Debug)]
struct QueuedFrame {
    head: Box<[u8]>,
    rest: Bytes,
}

impl QueuedFrame {
    fn len(&self) -> usize {
        self.head.len() + self.rest.len()
    }
}

/// What became of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushOutcome {
    /// All is sent.
    Empty,
    /// The socket takes no more now.
    Blocked,
}

impl WriteQueue {
    /// Empty. What it costs is part of `total`.
    pub(crate) fn new(bytes_max: usize, total: Arc<AtomicUsize>) -> Self {
        Self {
            frames: VecDeque::new(),
            first_written: 0,
            bytes_queued: 0,
            bytes_max,
            total,
            counted: 0,
        }
    }

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
        head: Box<[u8]>,
        rest: Bytes,
        written: usize,
    ) -> Result<(), SendError> {
        let cost = self.cost() + head.len() + rest.len() + FRAME_OVERHEAD;
        if written == 0 && self.bytes_max < cost {
            return Err(SendError::Slow);
        }
        self.push_last(head, rest, written);
        Ok(())
    }

    /// The same however full the queue is: for a few bytes that nothing follows.
    pub(crate) fn push_last(&mut self, head: Box<[u8]>, rest: Bytes, written: usize) {
        assert!(
            written == 0 || self.frames.is_empty(),
            "a frame was begun inside another"
        );
        let frame = QueuedFrame { head, rest };
        self.bytes_queued += frame.len();
        if written != 0 {
            self.first_written = written;
        }
        self.frames.push_back(frame);
        self.count();
    }

    /// Drops every frame that has not been begun, to make room for a last word.
    pub(crate) fn drop_unbegun(&mut self) {
        let kept = usize::from(self.first_written != 0);
        self.frames.truncate(kept);
        self.bytes_queued = self.frames.iter().map(QueuedFrame::len).sum();
        self.count();
    }

    fn count(&mut self) {
        let cost = self.cost();
        self.total.fetch_add(cost, Ordering::Relaxed);
        self.total.fetch_sub(self.counted, Ordering::Relaxed);
        self.counted = cost;
    }

    /// Writes until the queue is empty or the socket blocks.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<FlushOutcome> {
        let flushed = self.write_to(socket);
        if self.frames.is_empty() {
            // Free the buffer: a socket that was slow once must not hold its queue's capacity while it is idle.
            self.frames = VecDeque::new();
        }
        self.count();
        flushed
    }

    fn write_to(&mut self, socket: &mut impl Write) -> io::Result<FlushOutcome> {
        while !self.frames.is_empty() {
            match socket.write_vectored(&self.slices()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(FlushOutcome::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FlushOutcome::Empty)
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
        while let Some(first) = self.frames.front().map(QueuedFrame::len)
            && first <= self.first_written
        {
            self.first_written -= first;
            self.bytes_queued -= first;
            self.frames.pop_front();
        }
    }
}

impl Drop for WriteQueue {
    fn drop(&mut self) {
        self.total.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(bytes_max: usize) -> WriteQueue {
        WriteQueue::new(bytes_max, Arc::default())
    }

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
            let mut queue = queue(1 << 20);
            let mut expected = Vec::new();
            for (at, (head, rest)) in frames.iter().enumerate() {
                let written = if at == 0 { begun.min(head.len() + rest.len() - 1) } else { 0 };
                queue.push(head.as_bytes().into(), Bytes::copy_from_slice(rest.as_bytes()), written).unwrap();
                expected.extend_from_slice(&[head.as_bytes(), rest.as_bytes()].concat()[written..]);
            }
            let mut socket = Trickle { room, taken: Vec::new() };
            queue.flush(&mut socket).unwrap();
            prop_assert!(expected.starts_with(&socket.taken));
            socket.room = vec![usize::MAX; 5_000];
            prop_assert_eq!(queue.flush(&mut socket).unwrap(), FlushOutcome::Empty);
            prop_assert_eq!(socket.taken, expected);
            prop_assert_eq!((queue.bytes_queued(), queue.total.load(Ordering::Relaxed)), (0, 0));
        }
    }

    #[test]
    fn a_full_queue_refuses_and_keeps_what_it_has() {
        let room_for_five = 2 * FRAME_OVERHEAD + 15;
        let mut queue = queue(room_for_five);
        let ten = Bytes::from_static(b"0123456789");
        queue.push(Box::default(), ten, 3).unwrap();

        let six = Bytes::from_static(b"012345");
        assert_eq!(queue.push(Box::default(), six, 0), Err(SendError::Slow));
        assert_eq!(queue.bytes_queued(), 10);
    }

    #[test]
    fn a_thousand_answers_of_two_bytes_count_as_what_they_hold() {
        let mut queue = queue(64 * 1024);
        let fits = (0..10_000)
            .take_while(|_| {
                queue
                    .push(Box::default(), Bytes::from_static(b"\x8a\x00"), 0)
                    .is_ok()
            })
            .count();
        assert!(fits < 1_000, "{fits} frames in 64 KiB");
    }

    #[test]
    fn a_last_word_follows_the_frame_that_was_begun_and_no_other() {
        let mut queue = queue(1_000);
        queue
            .push(Box::default(), Bytes::from_static(b"begun"), 2)
            .unwrap();
        queue
            .push(Box::default(), Bytes::from_static(b"waiting"), 0)
            .unwrap();

        queue.drop_unbegun();
        queue.push_last(Box::default(), Bytes::from_static(b"bye"), 0);

        let mut socket = Trickle {
            room: vec![usize::MAX; 9],
            taken: Vec::new(),
        };
        queue.flush(&mut socket).unwrap();
        assert_eq!(socket.taken, b"gunbye");
    }

    #[test]
    fn what_all_queues_of_a_shard_cost_is_the_sum_of_each() {
        let total = Arc::default();
        let queue = || WriteQueue::new(10_000, Arc::clone(&total));
        let (mut one, mut other) = (queue(), queue());
        for queue in [&mut one, &mut other] {
            queue
                .push(Box::default(), Bytes::from_static(b"waiting"), 0)
                .unwrap();
        }
        assert_eq!(total.load(Ordering::Relaxed), one.cost() + other.cost());

        drop(one);

        assert_eq!(total.load(Ordering::Relaxed), other.cost());
    }
}
