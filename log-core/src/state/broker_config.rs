//! The settings of a broker that DescribeConfigs answers, under Kafka's names and with this log's defaults. They are read
//! at start and shown, never changed over the wire; what a running broker was given replaces the default there.

use super::config_key::{Accepts, ConfigKey};

const fn key(
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        default,
        accepts,
        doc,
    }
}

/// Every key of a broker, by name.
pub const BROKER_KEYS: &[ConfigKey] = &[
    key(
        "advertised.listeners",
        "",
        Accepts::Text,
        "Where clients are told to connect.",
    ),
    key(
        "auto.create.topics.enable",
        "false",
        Accepts::Boolean,
        "Whether asking for a topic's metadata makes it.",
    ),
    key(
        "broker.id",
        "0",
        Accepts::Int(0, i32::MAX),
        "This broker's id.",
    ),
    key(
        "broker.rack",
        "",
        Accepts::Text,
        "Where this broker stands.",
    ),
    key(
        "compression.type",
        "producer",
        Accepts::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "A topic's codec unless it says otherwise.",
    ),
    key(
        "default.replication.factor",
        "1",
        Accepts::Int(1, 32_767),
        "Replicas of a topic whose creator names none.",
    ),
    key(
        "delete.topic.enable",
        "true",
        Accepts::Boolean,
        "Whether topics can be deleted.",
    ),
    key(
        "group.initial.rebalance.delay.ms",
        "0",
        Accepts::Int(0, i32::MAX),
        "How long a new group waits for more members.",
    ),
    key(
        "group.max.session.timeout.ms",
        "1800000",
        Accepts::Int(1, i32::MAX),
        "The longest session timeout a member may ask for.",
    ),
    key(
        "group.max.size",
        "2147483647",
        Accepts::Int(1, i32::MAX),
        "Members a group may have.",
    ),
    key(
        "group.min.session.timeout.ms",
        "6000",
        Accepts::Int(1, i32::MAX),
        "The shortest session timeout a member may ask for.",
    ),
    key(
        "listeners",
        "PLAINTEXT://127.0.0.1:9092",
        Accepts::Text,
        "Where this broker listens.",
    ),
    key(
        "log.cleanup.policy",
        "delete",
        Accepts::ListOf(&["delete"]),
        "What happens to old records.",
    ),
    key(
        "log.message.timestamp.type",
        "CreateTime",
        Accepts::OneOf(&["CreateTime", "LogAppendTime"]),
        "A topic's timestamps unless it says otherwise.",
    ),
    key(
        "log.retention.bytes",
        "-1",
        Accepts::Long(-1, i64::MAX),
        "A topic's retention unless it says otherwise.",
    ),
    key(
        "log.retention.ms",
        "604800000",
        Accepts::Long(-1, i64::MAX),
        "A topic's retention unless it says otherwise.",
    ),
    key(
        "log.roll.ms",
        "604800000",
        Accepts::Long(1, i64::MAX),
        "A topic's segment age unless it says otherwise.",
    ),
    key(
        "log.segment.bytes",
        "1073741824",
        Accepts::Int(1 << 20, i32::MAX),
        "A topic's segment size unless it says otherwise.",
    ),
    key(
        "message.max.bytes",
        "1048588",
        Accepts::Int(0, i32::MAX),
        "A topic's largest batch unless it says otherwise.",
    ),
    key(
        "min.insync.replicas",
        "1",
        Accepts::Int(1, i32::MAX),
        "A topic's required replicas unless it says otherwise.",
    ),
    key(
        "num.partitions",
        "2",
        Accepts::Int(1, i32::MAX),
        "Partitions of a topic whose creator names no number.",
    ),
    key(
        "offset.metadata.max.bytes",
        "4096",
        Accepts::Int(0, i32::MAX),
        "Bytes of metadata in an offset commit.",
    ),
    key(
        "offsets.retention.minutes",
        "10080",
        Accepts::Int(1, i32::MAX),
        "How long an empty group's offsets are kept.",
    ),
    key(
        "process.roles",
        "broker,controller",
        Accepts::List,
        "Every broker is a controller too.",
    ),
    key(
        "producer.id.expiration.ms",
        "86400000",
        Accepts::Int(1, i32::MAX),
        "How long an idle producer is remembered.",
    ),
    key(
        "socket.request.max.bytes",
        "104857600",
        Accepts::Int(1, i32::MAX),
        "Bytes of the largest request.",
    ),
    key(
        "transaction.max.timeout.ms",
        "900000",
        Accepts::Int(1, i32::MAX),
        "The longest transaction timeout a producer may ask for.",
    ),
    key(
        "transactional.id.expiration.ms",
        "604800000",
        Accepts::Int(1, i32::MAX),
        "How long an idle transactional id is remembered.",
    ),
    key(
        "unclean.leader.election.enable",
        "false",
        Accepts::OneOf(&["false"]),
        "Whether a replica that lacks acknowledged records may lead: never.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_its_own_key_accepts_and_the_table_is_sorted() {
        for key in BROKER_KEYS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
        assert!(BROKER_KEYS.is_sorted_by(|one, next| one.name < next.name));
    }
}
