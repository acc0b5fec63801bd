//! Frames off a socket: whole ones, within the limits, in the order they came.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::request_memory::{ConnectionMemory, FREE_BYTES, Held};
use crate::wire::{FrameError, LENGTH_BYTES, frame_length};

/// How much is asked of the socket at once, and taken ahead of what has arrived.
const READ_BYTES: usize = 64 * 1024;
/// How long the rest of a frame may take to bring another byte, or to get its memory. Too low drops slow links; too
/// high lets a stalled sender keep what it has sent.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Why there will be no further frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("closed in the middle of a frame")]
    Cut,
    #[error("a frame stalled for {STALLED_AFTER:?}")]
    Stalled,
    #[error("nothing was asked for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

pub(super) struct FrameReader<R> {
    socket: R,
    buffer: BytesMut,
    memory: ConnectionMemory,
    frame_bytes_max: usize,
    idle_max: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(
        socket: R,
        memory: ConnectionMemory,
        frame_bytes_max: usize,
        idle_max: Duration,
    ) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            memory,
            frame_bytes_max,
            idle_max,
        }
    }

    /// The next frame and the memory it holds; `None` when the sender is done.
    ///
    /// # Errors
    /// [`ReadError`]; where the next frame would begin is unknown then.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Held)>, ReadError> {
        let Some(length) = self.length().await? else {
            return Ok(None);
        };
        let mut held = self.memory.admit(length).await;
        self.fill_to(length, &mut held).await?;
        Ok(Some((self.buffer.split_to(length).freeze(), held)))
    }

    async fn length(&mut self) -> Result<Option<usize>, ReadError> {
        while self.buffer.len() < LENGTH_BYTES {
            let wait = if self.buffer.is_empty() {
                self.idle_max
            } else {
                STALLED_AFTER
            };
            self.buffer.reserve(LENGTH_BYTES);
            let read = timeout(wait, self.socket.read_buf(&mut self.buffer)).await;
            match read.map_err(|_| ReadError::Idle(wait))?? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(ReadError::Cut),
                _ => {}
            }
        }
        let prefix = self.buffer.split_to(LENGTH_BYTES);
        let prefix = prefix.as_ref().try_into().expect("split off as many");
        Ok(Some(frame_length(prefix, self.frame_bytes_max)?))
    }

    /// Reads until the buffer holds a whole frame, taking memory only for what the sender really sends.
    async fn fill_to(&mut self, length: usize, held: &mut Held) -> Result<(), ReadError> {
        let mut paid_for = FREE_BYTES;
        while self.buffer.len() < length {
            let ahead = (length - self.buffer.len()).min(READ_BYTES);
            if paid_for < self.buffer.len() + ahead {
                let more = self.memory.grow(held, ahead);
                timeout(STALLED_AFTER, more)
                    .await
                    .map_err(|_| ReadError::Stalled)?;
                paid_for += ahead;
            }
            self.buffer.reserve(ahead);
            let read = timeout(STALLED_AFTER, self.socket.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| ReadError::Stalled)?? == 0 {
                return Err(ReadError::Cut);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::request_memory::RequestMemory;

    fn reader(bytes: &[u8]) -> FrameReader<&[u8]> {
        let memory = RequestMemory::new(1 << 20).share(1 << 20);
        FrameReader::new(bytes, memory, 200_000, Duration::from_secs(1))
    }

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(length).expect("small").to_be_bytes().to_vec();
        bytes.resize(LENGTH_BYTES + length, 7);
        bytes
    }

    #[tokio::test]
    async fn frames_come_whole_and_in_order() {
        let bytes = [frame(10), frame(150_000), frame(20)].concat();
        let mut reader = reader(&bytes);
        for length in [10, 150_000, 20] {
            let (frame, _held) = reader.next().await.expect("a frame").expect("not the end");
            assert_eq!(frame.len(), length);
        }
        assert!(reader.next().await.expect("the end").is_none());
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error_and_not_the_end() {
        for cut in [1, 3, 4, 13] {
            assert!(
                matches!(reader(&frame(10)[..cut]).next().await, Err(ReadError::Cut)),
                "cut at {cut}"
            );
        }
    }

    #[tokio::test]
    async fn a_nonsense_length_is_refused_without_reading_on() {
        assert!(matches!(
            reader(&[0xff; 64]).next().await,
            Err(ReadError::Frame(_))
        ));
        assert!(matches!(
            reader(b"GET / HTTP/1.1\r\n").next().await,
            Err(ReadError::Frame(_))
        ));
    }
}
