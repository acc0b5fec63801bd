//! What a group's leader hands to a member (Kafka's `ConsumerProtocolAssignment`). The log passes those bytes on as they
//! are; only the tool that shows a group to a person looks inside.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::protocol::{Decodable, Message};

use super::bounded::Bounded;

/// The topics in an assignment with their partitions' wire numbers; `None` where the bytes are none.
pub fn partitions(assignment: &Bytes) -> Option<Vec<(String, Vec<i32>)>> {
    let mut bytes = assignment.clone();
    let version = bytes.try_get_i16().ok()?;
    // Later versions only add fields at the end.
    let version = version.min(ConsumerProtocolAssignment::VERSIONS.max);
    let assignment = ConsumerProtocolAssignment::decode(&mut Bounded::new(bytes), version).ok()?;
    let topic = |topic: kafka_protocol::messages::consumer_protocol_assignment::TopicPartition| {
        (topic.topic.to_string(), topic.partitions)
    };
    Some(
        assignment
            .assigned_partitions
            .into_iter()
            .map(topic)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    #[test]
    fn the_partitions_of_an_assignment_are_read_whatever_its_version() {
        let topic = TopicPartition::default()
            .with_topic(StrBytes::from_static_str("an-alert").into())
            .with_partitions(vec![0, 2]);
        let assignment =
            ConsumerProtocolAssignment::default().with_assigned_partitions(vec![topic]);
        for version in 0..=3 {
            let mut bytes = BytesMut::new();
            bytes.put_i16(version);
            assignment.encode(&mut bytes, version).expect("encodes");
            let read = partitions(&bytes.freeze());
            assert_eq!(read, Some(vec![("an-alert".to_owned(), vec![0, 2])]));
        }
    }

    #[test]
    fn other_bytes_are_no_assignment() {
        for bytes in [&b""[..], b"\0", b"\0\0\x7f\xff\xff\xff", b"range"] {
            assert_eq!(
                partitions(&Bytes::copy_from_slice(bytes)),
                None,
                "{bytes:?}"
            );
        }
    }
}
