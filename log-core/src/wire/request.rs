//! Requests: the header, and a body for every (key, version) that [`versions`](super::versions) lists.

use bytes::{Buf, Bytes};
use kafka_protocol::error::ProtoError;
use kafka_protocol::messages::{self, ApiKey, RequestHeader};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::bounded::Bounded;
use super::versions::{for_each_served_api, served};

/// What a frame held.
#[derive(Debug)]
pub enum Incoming {
    /// A request that we serve.
    Request(Box<Request>),
    /// ApiVersions in a version that we do not know: answered in version 0 with an error and our ranges (KIP-511).
    UnknownApiVersions {
        /// Goes back with the answer.
        correlation_id: i32,
    },
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// Its API.
    pub key: ApiKey,
    /// The version of the body, and of the answer.
    pub version: i16,
    /// Goes back with the answer.
    pub correlation_id: i32,
    /// What the client calls itself (`client.id`).
    pub client_id: Option<StrBytes>,
    /// What it asks.
    pub body: RequestBody,
}

/// Why a frame is no request of ours. The connection is closed, as Kafka does: how to answer is unknown.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// An API that we do not serve.
    #[error("api key {key}: not served")]
    UnservedApi {
        /// The number in the header.
        key: i16,
    },
    /// A version that we do not serve.
    #[error("{api} version {version}: not served")]
    UnservedVersion {
        /// The API's name.
        api: &'static str,
        /// The number in the header.
        version: i16,
    },
    /// Cut short before the header's fixed part ended.
    #[error("request of {bytes} bytes: shorter than its header")]
    TooShort {
        /// How many there were.
        bytes: usize,
    },
    /// More elements than one request may have.
    #[error("{api} version {version}: too many elements")]
    TooManyElements {
        /// The API's name.
        api: &'static str,
        /// The number in the header.
        version: i16,
    },
    /// Bytes that do not fit the schema.
    #[error("{api} version {version}: does not fit its schema")]
    Malformed {
        /// The API's name.
        api: &'static str,
        /// The number in the header.
        version: i16,
        /// What the codec says.
        #[source]
        source: ProtoError,
    },
}

macro_rules! request_bodies {
    ($($api:ident, $request:ident, $response:ident, $advertised:expr, $accepted:expr;)+) => {
        /// The body of a request that we serve.
        #[derive(Debug)]
        pub enum RequestBody {
            $(
                #[doc = concat!("`", stringify!($api), "`")]
                $api(messages::$request),
            )+
        }

        fn decode_body(key: ApiKey, version: i16, bytes: &mut Bounded) -> Result<RequestBody, ProtoError> {
            match key {
                $(ApiKey::$api => messages::$request::decode(bytes, version).map(RequestBody::$api),)+
                _ => Err(ProtoError::UnknownApiKey),
            }
        }
    };
}
for_each_served_api!(request_bodies);

/// Decodes one frame. Bytes after the body are left alone, as Kafka does: some clients send them. The bytes of record batches and strings are shared with the frame, not copied.
///
/// # Errors
/// [`DecodeError`]; nothing is known about the sender's state after it.
pub fn decode_request(frame: Bytes) -> Result<Incoming, DecodeError> {
    let mut fixed = frame.as_ref();
    let bytes = fixed.len();
    if bytes < 8 {
        return Err(DecodeError::TooShort { bytes });
    }
    let (key, version, correlation_id) = (fixed.get_i16(), fixed.get_i16(), fixed.get_i32());

    let api = served(key).ok_or(DecodeError::UnservedApi { key })?;
    if !api.accepted.contains(version) {
        if api.key == ApiKey::ApiVersions {
            return Ok(Incoming::UnknownApiVersions { correlation_id });
        }
        return Err(DecodeError::UnservedVersion {
            api: api.name,
            version,
        });
    }
    decode_known(frame, api.key, api.name, version)
}

fn decode_known(
    frame: Bytes,
    key: ApiKey,
    api: &'static str,
    version: i16,
) -> Result<Incoming, DecodeError> {
    let mut bytes = Bounded::new(frame);
    let decoded = RequestHeader::decode(&mut bytes, key.request_header_version(version))
        .and_then(|header| Ok((header, decode_body(key, version, &mut bytes)?)));
    let (header, body) = match decoded {
        Ok(decoded) => decoded,
        Err(_) if bytes.is_exhausted() => {
            return Err(DecodeError::TooManyElements { api, version });
        }
        Err(source) => {
            return Err(DecodeError::Malformed {
                api,
                version,
                source,
            });
        }
    };
    Ok(Incoming::Request(Box::new(Request {
        key,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        body,
    })))
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::MetadataRequest;
    use kafka_protocol::protocol::{Encodable, encode_request_header_into_buffer};
    use proptest::prelude::*;

    use super::*;

    fn frame(key: ApiKey, version: i16, body: impl Encodable) -> Bytes {
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut bytes = BytesMut::new();
        encode_request_header_into_buffer(&mut bytes, &header).expect("header");
        body.encode(&mut bytes, version).expect("body");
        bytes.freeze()
    }

    #[test]
    fn a_request_is_decoded_with_its_header() {
        let bytes = frame(
            ApiKey::Metadata,
            12,
            MetadataRequest::default().with_topics(None),
        );

        let Incoming::Request(request) = decode_request(bytes).expect("decodes") else {
            panic!("a request")
        };

        assert_eq!(
            (request.key, request.version, request.correlation_id),
            (ApiKey::Metadata, 12, 7)
        );
        assert_eq!(request.client_id.as_deref(), Some("test"));
        assert!(matches!(request.body, RequestBody::Metadata(body) if body.topics.is_none()));
    }

    #[test]
    fn api_versions_of_an_unknown_version_is_recognised_by_its_header_alone() {
        let mut bytes = BytesMut::new();
        bytes.put_i16(ApiKey::ApiVersions as i16);
        bytes.put_i16(99);
        bytes.put_i32(41);
        bytes.put_slice(&[0xff; 9]);

        let incoming = decode_request(bytes.freeze()).expect("recognised");

        assert!(matches!(
            incoming,
            Incoming::UnknownApiVersions { correlation_id: 41 }
        ));
    }

    #[test]
    fn what_we_do_not_serve_is_refused() {
        let header = |key: i16, version: i16| {
            let mut bytes = BytesMut::new();
            bytes.put_i16(key);
            bytes.put_i16(version);
            bytes.put_i64(0);
            decode_request(bytes.freeze())
        };
        assert!(matches!(
            header(4, 0),
            Err(DecodeError::UnservedApi { key: 4 })
        ));
        assert!(matches!(
            header(-1, 0),
            Err(DecodeError::UnservedApi { key: -1 })
        ));
        assert!(matches!(
            header(0, 2),
            Err(DecodeError::UnservedVersion {
                api: "Produce",
                version: 2
            })
        ));
        assert!(matches!(
            header(1, 99),
            Err(DecodeError::UnservedVersion {
                api: "Fetch",
                version: 99
            })
        ));
    }

    /// librdkafka's Metadata for all topics, from version 9 on, is three bytes longer than its schema.
    #[test]
    fn bytes_after_the_body_are_left_alone_as_kafka_does() {
        let all = frame(
            ApiKey::Metadata,
            12,
            MetadataRequest::default().with_topics(None),
        );
        let mut bytes = BytesMut::from(all.as_ref());
        bytes.put_slice(&[0, 0, 0]);

        let Incoming::Request(request) = decode_request(bytes.freeze()).expect("decodes") else {
            panic!("a request")
        };

        assert!(matches!(request.body, RequestBody::Metadata(body) if body.topics.is_none()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_bytes_make_the_decoder_panic(
            api in 0..crate::wire::SERVED.len(),
            version in 0_i16..14,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = BytesMut::new();
            bytes.put_i16(crate::wire::SERVED[api].key as i16);
            bytes.put_i16(version);
            bytes.put_slice(&body);
            let _either_is_fine = decode_request(bytes.freeze()).is_ok();
        }
    }
}
