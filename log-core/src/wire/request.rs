//! Requests: the header, and a body for every (key, version) that [`versions`](super::versions) lists.

use bytes::{Buf, Bytes};
use kafka_protocol::error::ProtoError;
use kafka_protocol::messages::{self, ApiKey, RequestHeader};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::bounded::Bounded;
use super::versions::{codec_version, for_each_served_api, served};

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
    /// An API, or a version of it, that ApiVersions does not name.
    #[error("api key {key} version {version}: not served")]
    Unserved {
        /// The API's number in the header.
        key: i16,
        /// The version in the header.
        version: i16,
        /// What the client calls itself, where the header says so; at most 64 characters.
        client_id: String,
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
        #[allow(dead_code, reason = "of some requests it matters only that they were made")]
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

    let unserved = |frame: &[u8]| DecodeError::Unserved {
        key,
        version,
        client_id: client_id(frame),
    };
    let Some(api) = served(key) else {
        return Err(unserved(fixed));
    };
    if !api.accepted.contains(version) {
        if api.key == ApiKey::ApiVersions {
            return Ok(Incoming::UnknownApiVersions { correlation_id });
        }
        return Err(unserved(fixed));
    }
    decode_known(frame, api.key, api.name, version)
}

/// The client's name behind the fixed part of a header: all its versions but the first have it there (KIP-482 kept it so).
fn client_id(mut rest: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 64;
    let length = match rest.len() {
        2.. => usize::try_from(rest.get_i16()).unwrap_or(0),
        _ => 0,
    };
    let name = String::from_utf8_lossy(rest.get(..length).unwrap_or_default());
    name.chars().take(CHARACTERS_MAX).collect()
}

fn decode_known(
    frame: Bytes,
    key: ApiKey,
    api: &'static str,
    version: i16,
) -> Result<Incoming, DecodeError> {
    let mut bytes = Bounded::new(frame);
    let decoded =
        RequestHeader::decode(&mut bytes, key.request_header_version(version)).and_then(|header| {
            let body = decode_body(key, codec_version(key, version), &mut bytes)?;
            Ok((header, body))
        });
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
    fn a_groups_name_is_as_long_as_kafka_lets_it_be_and_no_longer() {
        for version in [0, 9] {
            let join = |bytes: usize| {
                let name = StrBytes::from_string("x".repeat(bytes));
                let request = messages::JoinGroupRequest::default().with_group_id(name.into());
                let header = [11_i16, version].map(i16::to_be_bytes).concat();
                let mut frame = BytesMut::from(&header[..]);
                // Correlation id, no client id, and from version 6 on no tagged fields.
                frame.put_i32(7);
                frame.put_i16(-1);
                if 6 <= version {
                    frame.put_u8(0);
                }
                // The codec's own encoder is not asked for what no client may send.
                request.encode(&mut frame, version).ok()?;
                Some(decode_request(frame.freeze()))
            };
            let longest = i16::MAX as usize;
            assert!(join(longest).expect("encodes").is_ok(), "version {version}");
            if let Some(decoded) = join(longest + 1) {
                assert!(decoded.is_err(), "version {version}");
            }
        }
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
        for (asked, of) in [(4, 0), (-1, 0), (0, 2), (1, 99)] {
            let Err(DecodeError::Unserved { key, version, .. }) = header(asked, of) else {
                panic!("{asked} version {of} is served")
            };
            assert_eq!((key, version), (asked, of));
        }
    }

    #[test]
    fn of_what_is_not_served_the_client_is_known_where_the_header_names_it() {
        let named = |name: &[u8], length: i16| {
            let mut bytes = BytesMut::new();
            bytes.put_i16(4);
            bytes.put_i16(0);
            bytes.put_i32(1);
            bytes.put_i16(length);
            bytes.put_slice(name);
            match decode_request(bytes.freeze()) {
                Err(DecodeError::Unserved { client_id, .. }) => client_id,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(named(b"sarama", 6), "sarama");
        for (name, length) in [(&b""[..], -1), (b"cut", 9), (b"", 0)] {
            assert_eq!(named(name, length), "");
        }
        assert_eq!(named(&[b'x'; 200], 200).len(), 64);
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
