//! What consumers write into their group's metadata (Kafka's `ConsumerProtocolSubscription`). The log keeps those bytes
//! as they are; only a request to delete a group's offsets must know what is subscribed to.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolSubscription;
use kafka_protocol::protocol::{Decodable, Message};

use super::bounded::Bounded;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// The topics in a subscription; `None` where the bytes are none.
pub fn topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut bytes = metadata.clone();
    let version = bytes.try_get_i16().ok()?;
    // Later versions only add fields at the end.
    let version = version.min(ConsumerProtocolSubscription::VERSIONS.max);
    let subscription =
        ConsumerProtocolSubscription::decode(&mut Bounded::new(bytes), version).ok()?;
    Some(
        subscription
            .topics
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    #[test]
    fn the_topics_of_a_subscription_are_read_whatever_its_version() {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_static_str("an-alert")]);
        for version in 0..=3 {
            let mut bytes = BytesMut::new();
            bytes.put_i16(version);
            subscription.encode(&mut bytes, version).expect("encodes");
            assert_eq!(
                topics(&bytes.freeze()),
                Some(vec!["an-alert".to_owned()]),
                "version {version}"
            );
        }
    }

    #[test]
    fn other_bytes_are_no_subscription() {
        for bytes in [&b""[..], b"\0", b"\0\0\xff\xff\xff\xff", b"range"] {
            assert_eq!(topics(&Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
