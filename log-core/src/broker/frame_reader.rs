//! Frames off a socket: whole ones, within the limits, in the order they came.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::request_memory::{ConnectionMemory, FREE_BYTES, Held};
use crate::wire::{FrameError, LENGTH_BYTES, frame_length};

/// How much is asked of the socket at once, and taken ahead of what has arrived.
const READ_BYTES: usize = 64 * 1024;
/// How long a frame's length may take once it has begun, the rest of a frame to bring another byte, or to get its memory.
/// Too low drops slow links; too high lets a stalled sender keep what it has sent.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// What a frame must bring at least, on the average of its whole time: a sender of a byte now and then is stalled as well.
const BYTES_PER_SECOND_MIN: u32 = 64 * 1024;

/// Why there will be no further frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("closed in the middle of a frame")]
    Cut,
    #[error("a frame stalled, or came too slowly")]
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
    stalled_after: Duration,
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
            stalled_after: STALLED_AFTER,
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
        let within = self.stalled_after + time_for(length);
        let filled = timeout(within, self.fill_to(length, &mut held)).await;
        filled.unwrap_or(Err(ReadError::Stalled))?;
        Ok(Some((self.buffer.split_to(length).freeze(), held)))
    }

    async fn length(&mut self) -> Result<Option<usize>, ReadError> {
        if self.buffer.is_empty() {
            self.buffer.reserve(LENGTH_BYTES);
            let wait = self.idle_max;
            let read = timeout(wait, self.socket.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| ReadError::Idle(wait))?? == 0 {
                return Ok(None);
            }
        }
        let rest = timeout(self.stalled_after, self.rest_of_length()).await;
        rest.unwrap_or(Err(ReadError::Stalled))?;
        let prefix = self.buffer.split_to(LENGTH_BYTES);
        let prefix = prefix.as_ref().try_into().expect("split off as many");
        Ok(Some(frame_length(prefix, self.frame_bytes_max)?))
    }

    async fn rest_of_length(&mut self) -> Result<(), ReadError> {
        while self.buffer.len() < LENGTH_BYTES {
            self.buffer.reserve(LENGTH_BYTES);
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(ReadError::Cut);
            }
        }
        Ok(())
    }

    /// Reads until the buffer holds a whole frame, taking memory only for what the sender really sends.
    async fn fill_to(&mut self, length: usize, held: &mut Held) -> Result<(), ReadError> {
        let mut paid_for = FREE_BYTES;
        while self.buffer.len() < length {
            let ahead = (length - self.buffer.len()).min(READ_BYTES);
            if paid_for < self.buffer.len() + ahead {
                let more = self.memory.grow(held, ahead);
                timeout(self.stalled_after, more)
                    .await
                    .map_err(|_| ReadError::Stalled)?;
                paid_for += ahead;
            }
            self.buffer.reserve(ahead);
            let read = timeout(self.stalled_after, self.socket.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| ReadError::Stalled)?? == 0 {
                return Err(ReadError::Cut);
            }
        }
        Ok(())
    }
}

/// What a frame of so many bytes takes at the slowest.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 / f64::from(BYTES_PER_SECOND_MIN))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

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

    #[tokio::test]
    async fn a_frame_that_comes_byte_by_byte_has_one_time_limit_in_all() {
        let (mut sender, socket) = tokio::io::duplex(64);
        let memory = RequestMemory::new(1 << 20).share(1 << 20);
        let mut reader = FrameReader::new(socket, memory, 200_000, Duration::from_secs(60));
        reader.stalled_after = Duration::from_millis(300);
        let bytes = frame(100);
        let sending = async move {
            sender
                .write_all(&bytes[..LENGTH_BYTES])
                .await
                .expect("taken");
            for byte in &bytes[LENGTH_BYTES..] {
                if sender.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (read, ()) = tokio::join!(async move { reader.next().await.map(drop) }, sending);
        assert!(matches!(read, Err(ReadError::Stalled)), "{read:?}");
    }
}
