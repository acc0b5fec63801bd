//! The frame around every request and response: a length of four bytes, big-endian, then as many bytes.

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// Why a length is refused. The connection is of no more use: where the next frame begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Less than the smallest request header, or negative.
    #[error("frame length {length}: needs at least {MIN_BYTES} bytes")]
    TooShort {
        /// What the frame claimed.
        length: i32,
    },
    /// More than the limit; nothing was allocated for it.
    #[error("frame length {length}: above socket.request.max.bytes {limit}")]
    TooLarge {
        /// What the frame claimed.
        length: i32,
        /// What is allowed.
        limit: usize,
    },
}

/// API key, version and correlation id: without them a frame is no request.
const MIN_BYTES: usize = 8;

/// Reads and checks a frame's length.
///
/// # Errors
/// [`FrameError`] when no request can have that length.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let claimed = i32::from_be_bytes(prefix);
    let Ok(length) = usize::try_from(claimed) else {
        return Err(FrameError::TooShort { length: claimed });
    };
    if length < MIN_BYTES {
        return Err(FrameError::TooShort { length: claimed });
    }
    if limit < length {
        return Err(FrameError::TooLarge {
            length: claimed,
            limit,
        });
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_outside_the_limits_is_refused_before_anything_is_read() {
        let read = |length: i32| frame_length(length.to_be_bytes(), 1024);
        for length in [i32::MIN, -1, 0, 7] {
            assert_eq!(read(length), Err(FrameError::TooShort { length }));
        }
        assert_eq!(read(8), Ok(8));
        assert_eq!(read(1024), Ok(1024));
        for length in [1025, i32::MAX] {
            assert_eq!(
                read(length),
                Err(FrameError::TooLarge {
                    length,
                    limit: 1024
                })
            );
        }
    }
}
