//! Responses: length, header and body, with record batches shared, not copied.

use bytes::{Buf, BufMut};
use kafka_protocol::error::ProtoError;
use kafka_protocol::messages::{self, ApiKey, ResponseHeader};
use kafka_protocol::protocol::{Encodable, SegmentedBuf};

use super::versions::{codec_version, for_each_served_api};

/// A response as it goes out: its own bytes and shared record batches, in order.
pub struct Reply(SegmentedBuf);

impl Reply {
    /// How many bytes go out, the length in front included.
    pub fn len(&self) -> usize {
        self.0.remaining()
    }

    /// The bytes to write.
    pub fn into_buf(self) -> impl Buf + Send {
        self.0
    }
}

/// Why a response could not be written. A bug of ours: a value that its version cannot carry.
#[derive(Debug, thiserror::Error)]
#[error("{api:?} version {version}: response does not fit its schema")]
pub struct EncodeError {
    api: ApiKey,
    version: i16,
    #[source]
    source: ProtoError,
}

macro_rules! response_bodies {
    ($($api:ident, $request:ident, $response:ident, $advertised:expr, $accepted:expr;)+) => {
        /// The body of an answer.
        #[derive(Debug)]
        pub enum ResponseBody {
            $(
                #[doc = concat!("`", stringify!($api), "`")]
                $api(messages::$response),
            )+
        }

        impl ResponseBody {
            /// The API it answers.
            pub fn key(&self) -> ApiKey {
                match self { $(Self::$api(_) => ApiKey::$api,)+ }
            }

            fn encode(&self, buffer: &mut SegmentedBuf, version: i16) -> Result<(), ProtoError> {
                match self { $(Self::$api(body) => body.encode(buffer, version),)+ }
            }
        }

        $(impl From<messages::$response> for ResponseBody {
            fn from(body: messages::$response) -> Self {
                Self::$api(body)
            }
        })+
    };
}
for_each_served_api!(response_bodies);

/// Encodes one answer. The header of ApiVersions is always version 0, so that a client which does not know us yet can
/// read it (KIP-511); the codec's table has that.
///
/// # Errors
/// [`EncodeError`] when a value does not exist in that version.
pub fn encode_response(
    correlation_id: i32,
    version: i16,
    body: &ResponseBody,
) -> Result<Reply, EncodeError> {
    let api = body.key();
    fill(correlation_id, version, body)
        .map(Reply)
        .map_err(|source| EncodeError {
            api,
            version,
            source,
        })
}

fn fill(
    correlation_id: i32,
    version: i16,
    body: &ResponseBody,
) -> Result<SegmentedBuf, ProtoError> {
    let mut buffer = SegmentedBuf::new();
    buffer.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header.encode(&mut buffer, body.key().response_header_version(version))?;
    body.encode(&mut buffer, codec_version(body.key(), version))?;

    let length = buffer.remaining() - super::LENGTH_BYTES;
    let length = i32::try_from(length).map_err(|_| ProtoError::FieldTooLarge {
        field: "response",
        size: length,
    })?;
    buffer.patch_i32(0, length)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{ApiVersionsResponse, FetchResponse};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn bytes_of(reply: Reply) -> Bytes {
        let length = reply.len();
        reply.into_buf().copy_to_bytes(length)
    }

    #[test]
    fn the_header_of_api_versions_is_version_0_whatever_the_body() {
        let reply = encode_response(9, 3, &ApiVersionsResponse::default().into()).expect("encodes");
        let mut bytes = bytes_of(reply);

        assert_eq!(bytes.get_i32(), i32::try_from(bytes.len()).expect("small"));
        assert_eq!(bytes.get_i32(), 9);
        assert!(ApiVersionsResponse::decode(&mut bytes, 3).is_ok());
        assert!(bytes.is_empty());
    }

    #[test]
    fn record_batches_go_out_as_they_are() {
        let batch = Bytes::from(vec![5; 70_000]);
        let partition = PartitionData::default().with_records(Some(batch.clone()));
        let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
        let response = FetchResponse::default().with_responses(vec![topic]);

        let mut bytes = bytes_of(encode_response(9, 12, &response.into()).expect("encodes"));

        bytes.advance(super::super::LENGTH_BYTES);
        ResponseHeader::decode(&mut bytes, 1).expect("header");
        let response = FetchResponse::decode(&mut bytes, 12).expect("decodes");
        assert_eq!(response.responses[0].partitions[0].records, Some(batch));
    }
}
