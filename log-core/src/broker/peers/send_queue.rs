//! What waits to go to one peer: bounded in bytes. When it is full the newest is dropped, for Raft repeats what matters
//! and a replica never waits for a link.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::consensus::Message;

/// Bytes that wait for one peer. Half of what a leader has under way for one follower at most (64 messages of a
/// mebibyte): past it the link is slower than the log, and what is dropped is sent again at the link's own pace.
const BYTES_MAX: usize = 32 << 20;
/// What a message takes beside its entries, about.
const MESSAGE_BYTES: usize = 128;

#[derive(Default)]
pub(super) struct SendQueue {
    waiting: Mutex<QueuedMessages>,
    filled: Notify,
}

#[derive(Default)]
struct QueuedMessages {
    messages: VecDeque<(Message, usize)>,
    bytes: usize,
}

/// A message was not taken: too much waits already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl SendQueue {
    /// Puts a message in line, or drops it.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn push(&self, message: Message) -> Result<(), Full> {
        let bytes = bytes_of(&message);
        {
            let mut waiting = self.lock();
            // A single message larger than the bound goes alone.
            if !waiting.messages.is_empty() && BYTES_MAX < waiting.bytes + bytes {
                return Err(Full);
            }
            waiting.bytes += bytes;
            waiting.messages.push_back((message, bytes));
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something is in line.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub(super) async fn filled(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes what is in line, in order, up to about `bytes_max` (at least one message).
    pub(super) fn take(&self, bytes_max: usize) -> Vec<Message> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while let Some((_, bytes)) = waiting.messages.front() {
            if !taken.is_empty() && bytes_max < taken_bytes + bytes {
                break;
            }
            let (message, bytes) = waiting.messages.pop_front().expect("just seen");
            waiting.bytes -= bytes;
            taken_bytes += bytes;
            taken.push(message);
        }
        taken
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Drops all that waits: it was meant for a moment that has passed. Says how many there were.
    pub(super) fn clear(&self) -> usize {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.messages).len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, QueuedMessages> {
        // Plain data, whole after every line that holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(message: &Message) -> usize {
    let entries = message.get_entries().iter();
    let entries = entries.map(|entry| entry.data.len() + entry.context.len() + MESSAGE_BYTES);
    MESSAGE_BYTES + message.get_snapshot().data.len() + entries.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn message(index: u64, bytes: usize) -> Message {
        let mut message = Message {
            index,
            ..Message::default()
        };
        let entry = Entry {
            data: vec![0; bytes].into(),
            ..Entry::default()
        };
        message.set_entries(vec![entry].into());
        message
    }

    fn indexes(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.index).collect()
    }

    #[test]
    fn messages_leave_in_the_order_they_came_as_many_as_one_write_takes() {
        let queue = SendQueue::default();
        for index in 1..=5 {
            queue.push(message(index, 1000)).expect("room");
        }
        assert_eq!(indexes(&queue.take(3000)), [1, 2]);
        assert_eq!(indexes(&queue.take(10)), [3], "at least one");
        assert_eq!(indexes(&queue.take(1 << 20)), [4, 5]);
    }

    #[test]
    fn a_full_line_drops_what_comes_and_takes_again_once_there_is_room() {
        let queue = SendQueue::default();
        for index in 1..=4 {
            let taken = queue.push(message(index, 10 << 20));
            assert_eq!(taken.is_ok(), index <= 3, "message {index}");
        }
        assert_eq!(indexes(&queue.take(1)), [1]);
        queue.push(message(5, 10 << 20)).expect("room again");
        assert_eq!(indexes(&queue.take(usize::MAX)), [2, 3, 5]);
        assert_eq!(queue.clear(), 0);
    }
}
