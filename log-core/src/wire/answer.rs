//! The client's side of the wire: a request to bytes, and the bytes of its answer to a value.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};

use super::bounded::Bounded;

/// Why a request has no bytes, or bytes are no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The codec cannot write the request in that version.
    #[error("request {key} version {version} cannot be written: {found}")]
    Unwritable {
        /// The API's number.
        key: i16,
        /// Its version.
        version: i16,
        /// What the codec says.
        found: String,
    },
    /// The bytes are no answer of that version.
    #[error("answer to request {key} version {version} cannot be read: {found}")]
    Unreadable {
        /// The API's number.
        key: i16,
        /// Its version.
        version: i16,
        /// What the codec says.
        found: String,
    },
    /// The answer is one to another request.
    #[error("answer to request number {expected} carries number {found}")]
    OtherRequest {
        /// The correlation id sent.
        expected: i32,
        /// The correlation id received.
        found: i32,
    },
}

/// A request as it goes over the wire, with its length in front.
///
/// # Errors
/// [`AnswerError::Unwritable`]
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &'static str,
) -> Result<Bytes, AnswerError> {
    let unwritable = |found: String| AnswerError::Unwritable {
        key: R::KEY,
        version,
        found,
    };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(client_id)));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header)
        .map_err(|error| unwritable(error.to_string()))?;
    request
        .encode(&mut body, version)
        .map_err(|error| unwritable(error.to_string()))?;
    let length = i32::try_from(body.remaining()).map_err(|error| unwritable(error.to_string()))?;
    let mut frame = BytesMut::with_capacity(super::LENGTH_BYTES + body.len());
    frame.put_i32(length);
    frame.extend_from_slice(&body);
    Ok(frame.freeze())
}

/// Reads the answer in a frame without its length.
///
/// # Errors
/// [`AnswerError::Unreadable`], [`AnswerError::OtherRequest`]
pub fn decode_answer<R: Request>(
    frame: Bytes,
    version: i16,
    correlation_id: i32,
) -> Result<R::Response, AnswerError> {
    let unreadable = |found: String| AnswerError::Unreadable {
        key: R::KEY,
        version,
        found,
    };
    let mut bytes = Bounded::new(frame);
    let header = ResponseHeader::decode(
        &mut bytes,
        <R::Response as HeaderVersion>::header_version(version),
    )
    .map_err(|error| unreadable(error.to_string()))?;
    if header.correlation_id != correlation_id {
        return Err(AnswerError::OtherRequest {
            expected: correlation_id,
            found: header.correlation_id,
        });
    }
    R::Response::decode(&mut bytes, version).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::MetadataRequest;

    use super::*;

    #[test]
    fn bytes_that_are_no_answer_are_an_error() {
        for bytes in [&b""[..], b"\0\0", b"\0\0\0\x07\0\0\0\0\0\x7f\xff\xff\xff"] {
            let read = decode_answer::<MetadataRequest>(Bytes::copy_from_slice(bytes), 8, 7);
            assert!(
                matches!(read, Err(AnswerError::Unreadable { .. })),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn an_answer_to_another_request_is_none_to_this_one() {
        let read = decode_answer::<MetadataRequest>(Bytes::from_static(b"\0\0\0\x08"), 8, 7);
        assert!(matches!(
            read,
            Err(AnswerError::OtherRequest {
                expected: 7,
                found: 8
            })
        ));
    }
}
