//! The settings of a topic: every key that Kafka 4 has, with its default, and `mayday.acks.min`.
//!
//! Read once into [`TopicSettings`] when they change, so that nothing is parsed on the way of a batch. Keys that only make
//! sense for what this log leaves out (compaction, tiers, throttled replication) are kept and shown, and values that ask
//! for what it leaves out are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config_key::{Accepts, ConfigKey, list_items};
use super::config_minimums::{AcksMin, TIMESTAMP_MS_MIN, message_bytes_min};
use crate::ids::TimestampMs;
use crate::record::{BatchLimits, Compression, CompressionLevels, SegmentSettings, TimestampType};

/// A setting that is not to be had. `needed` says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value}: needs {needed}")]
pub struct InvalidConfig {
    /// The setting.
    pub key: String,
    /// What was asked for.
    pub value: String,
    /// What it may be.
    pub needed: String,
}

/// The values that the log acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `mayday.acks.min`.
    pub acks_min: AcksMin,
    /// `compression.type`; `None` is "producer": as it was sent.
    pub compression: Option<Compression>,
    /// `compression.gzip.level` and its kin.
    pub compression_levels: CompressionLevels,
    /// `max.message.bytes`, one record at least, and what producers batch by default where only `acks=all` will do.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`, a second at least.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`, a second at least.
    pub timestamp_after_max_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `retention.ms`; `None` keeps for ever, as does an empty `cleanup.policy`.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`, per partition; `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`, `segment.ms`, `index.interval.bytes`.
    pub segment: SegmentSettings,
}

impl TopicSettings {
    /// What a batch must keep to at this time. Times are judged only where an operator has set a limit, and never where the
    /// log takes nothing but durable records (`mayday.acks.min=all`): those are calls, and no clock silences one.
    pub fn batch_limits(&self, now: TimestampMs) -> BatchLimits {
        // Where the log sets the time, what the producer wrote does not matter.
        let judged =
            self.timestamp_type == TimestampType::CreateTime && self.acks_min != AcksMin::All;
        let limit =
            |bound: i64, otherwise: i64| TimestampMs(if judged { bound } else { otherwise });
        BatchLimits {
            batch_bytes_max: self.max_message_bytes,
            unpacked_bytes_max: BatchLimits::UNPACKED_BYTES_MAX,
            timestamp_earliest: limit(now.0.saturating_sub(self.timestamp_before_max_ms), i64::MIN),
            timestamp_latest: limit(now.0.saturating_add(self.timestamp_after_max_ms), i64::MAX),
        }
    }
}

/// What a topic's creator or an operator has set, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct TopicConfig {
    overrides: BTreeMap<String, String>,
    settings: TopicSettings,
}

/// A setting and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigEntry<'a> {
    /// Its row: name, default, type, doc.
    pub key: &'static ConfigKey,
    /// What it is.
    pub value: &'a str,
    /// Whether nobody has set it on this topic.
    pub is_default: bool,
}

impl TopicConfig {
    /// Checks and reads what was set; the rest has its default.
    ///
    /// # Errors
    /// [`InvalidConfig`]: an unknown key, or a value that it may not have.
    pub fn new(overrides: BTreeMap<String, String>) -> Result<Self, InvalidConfig> {
        overrides
            .iter()
            .try_for_each(|(key, value)| check(key, value))?;
        let settings = Values(&overrides).settings();
        Ok(Self {
            overrides,
            settings,
        })
    }

    /// What was set.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// The value of a key, set or default; `None` for a key that no topic has.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.overrides
            .get(key)
            .map(String::as_str)
            .or_else(|| topic_key(key).map(|key| key.default))
    }

    /// Every key with its value, by name.
    pub fn entries(&self) -> impl Iterator<Item = ConfigEntry<'_>> {
        TOPIC_KEYS.iter().map(|key| {
            let set = self.overrides.get(key.name);
            ConfigEntry {
                key,
                value: set.map_or(key.default, String::as_str),
                is_default: set.is_none(),
            }
        })
    }

    /// What the log acts on.
    pub fn settings(&self) -> &TopicSettings {
        &self.settings
    }
}

impl TryFrom<BTreeMap<String, String>> for TopicConfig {
    type Error = InvalidConfig;
    fn try_from(overrides: BTreeMap<String, String>) -> Result<Self, InvalidConfig> {
        Self::new(overrides)
    }
}

impl From<TopicConfig> for BTreeMap<String, String> {
    fn from(config: TopicConfig) -> Self {
        config.overrides
    }
}

/// The row of a key.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

fn check(name: &str, value: &str) -> Result<(), InvalidConfig> {
    let invalid = |needed: String| InvalidConfig {
        key: name.to_owned(),
        value: value.to_owned(),
        needed,
    };
    let key = topic_key(name).ok_or_else(|| invalid("a key that topics have".to_owned()))?;
    key.check(value).map_err(invalid)
}

/// Reads checked values.
struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn settings(&self) -> TopicSettings {
        let acks_min = self.acks_min();
        let timestamp_ms = |name| self.number::<i64>(name).max(TIMESTAMP_MS_MIN);
        TopicSettings {
            acks_min,
            compression: self.compression(),
            compression_levels: CompressionLevels {
                gzip: self.number("compression.gzip.level"),
                lz4: self.number("compression.lz4.level"),
                zstd: self.number("compression.zstd.level"),
            },
            max_message_bytes: self
                .number::<usize>("max.message.bytes")
                .max(message_bytes_min(acks_min)),
            timestamp_type: self.timestamp_type(),
            timestamp_before_max_ms: timestamp_ms("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: timestamp_ms("message.timestamp.after.max.ms"),
            min_insync_replicas: self.number("min.insync.replicas"),
            retention_ms: self.retention("retention.ms"),
            retention_bytes: self.retention("retention.bytes"),
            segment: SegmentSettings {
                segment_bytes: self.number("segment.bytes"),
                segment_ms: self.number("segment.ms"),
                index_interval_bytes: self.number("index.interval.bytes"),
            },
        }
    }

    fn text(&self, name: &str) -> &str {
        let default = || {
            topic_key(name)
                .expect("the names here are rows of the table")
                .default
        };
        self.0.get(name).map_or_else(default, |value| value.trim())
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> N {
        let parsed = self.text(name).parse().ok();
        parsed
            .expect("values are checked against their row, and the rows' ranges fit the types here")
    }

    /// -1 is "no limit"; there is none either once `delete` was taken from `cleanup.policy`, as in Kafka.
    fn retention(&self, name: &str) -> Option<u64> {
        let deletes = list_items(self.text("cleanup.policy")).any(|word| word == "delete");
        let limit = u64::try_from(self.number::<i64>(name)).ok();
        limit.filter(|_| deletes)
    }

    fn acks_min(&self) -> AcksMin {
        match self.text("mayday.acks.min") {
            "all" => AcksMin::All,
            "1" => AcksMin::Leader,
            _ => AcksMin::None,
        }
    }

    fn timestamp_type(&self) -> TimestampType {
        match self.text("message.timestamp.type") {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    fn compression(&self) -> Option<Compression> {
        match self.text("compression.type") {
            "uncompressed" => Some(Compression::None),
            "gzip" => Some(Compression::Gzip),
            "snappy" => Some(Compression::Snappy),
            "lz4" => Some(Compression::Lz4),
            "zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }
}

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

const MS_MAX: i64 = i64::MAX;

/// A batch is one entry, and the journal takes entries up to 8 MiB: this leaves room for what stands around it.
const MAX_MESSAGE_BYTES_MAX: i32 = 6 << 20;

/// Every key of a topic, by name.
pub const TOPIC_KEYS: &[ConfigKey] = &[
    key(
        "cleanup.policy",
        "delete",
        Accepts::ListOf(&["delete"]),
        "What happens to old records; this log deletes, it does not compact; empty keeps them.",
    ),
    key(
        "compression.gzip.level",
        "-1",
        Accepts::Int(-1, 9),
        "How hard gzip packs, -1 for its own choice.",
    ),
    key(
        "compression.lz4.level",
        "9",
        Accepts::Int(1, 17),
        "How hard lz4 packs.",
    ),
    key(
        "compression.type",
        "producer",
        Accepts::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "The codec that batches are kept in; producer keeps what was sent.",
    ),
    key(
        "compression.zstd.level",
        "3",
        Accepts::Int(-131_072, 22),
        "How hard zstd packs.",
    ),
    key(
        "delete.retention.ms",
        "86400000",
        Accepts::Long(0, MS_MAX),
        "How long a compacted topic keeps tombstones; kept for tools.",
    ),
    key(
        "file.delete.delay.ms",
        "60000",
        Accepts::Long(0, MS_MAX),
        "Kept for tools: files go once a checkpoint covers their end.",
    ),
    key(
        "flush.messages",
        "9223372036854775807",
        Accepts::Long(1, i64::MAX),
        "Kept for tools: every acknowledged record is synced in the journal.",
    ),
    key(
        "flush.ms",
        "9223372036854775807",
        Accepts::Long(0, MS_MAX),
        "Kept for tools: every acknowledged record is synced in the journal.",
    ),
    key(
        "follower.replication.throttled.replicas",
        "",
        Accepts::List,
        "Kept for tools: all voters replicate alike.",
    ),
    key(
        "index.interval.bytes",
        "4096",
        Accepts::Int(0, i32::MAX),
        "Bytes of records between two entries of an index.",
    ),
    key(
        "leader.replication.throttled.replicas",
        "",
        Accepts::List,
        "Kept for tools: all voters replicate alike.",
    ),
    key(
        "local.retention.bytes",
        "-2",
        Accepts::Long(-2, i64::MAX),
        "Kept for tools: there is one tier.",
    ),
    key(
        "local.retention.ms",
        "-2",
        Accepts::Long(-2, MS_MAX),
        "Kept for tools: there is one tier.",
    ),
    key(
        "max.compaction.lag.ms",
        "9223372036854775807",
        Accepts::Long(1, MS_MAX),
        "Kept for tools: nothing is compacted.",
    ),
    key(
        "max.message.bytes",
        "1048588",
        Accepts::Int(0, MAX_MESSAGE_BYTES_MAX),
        "Bytes of the largest batch taken.",
    ),
    key(
        "mayday.acks.min",
        "0",
        Accepts::OneOf(&["0", "1", "all"]),
        "The weakest acks that producers may ask for; all also refuses DeleteRecords and transactions.",
    ),
    key(
        "message.timestamp.after.max.ms",
        "9223372036854775807",
        Accepts::Long(0, MS_MAX),
        "How far in the future a record's timestamp may lie; not judged where mayday.acks.min is all.",
    ),
    key(
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        Accepts::Long(0, MS_MAX),
        "How far in the past a record's timestamp may lie; not judged where mayday.acks.min is all.",
    ),
    key(
        "message.timestamp.type",
        "CreateTime",
        Accepts::OneOf(&["CreateTime", "LogAppendTime"]),
        "Who sets the records' timestamps.",
    ),
    key(
        "min.cleanable.dirty.ratio",
        "0.5",
        Accepts::Double(0.0, 1.0),
        "Kept for tools: nothing is compacted.",
    ),
    key(
        "min.compaction.lag.ms",
        "0",
        Accepts::Long(0, MS_MAX),
        "Kept for tools: nothing is compacted.",
    ),
    key(
        "min.insync.replicas",
        "1",
        Accepts::Int(1, i32::MAX),
        "Voters that must have a batch on disk before acks=all is answered.",
    ),
    key(
        "preallocate",
        "false",
        Accepts::Boolean,
        "Kept for tools: the journal is preallocated, segments are not.",
    ),
    key(
        "remote.log.copy.disable",
        "false",
        Accepts::Boolean,
        "Kept for tools: there is one tier.",
    ),
    key(
        "remote.log.delete.on.disable",
        "false",
        Accepts::Boolean,
        "Kept for tools: there is one tier.",
    ),
    key(
        "remote.storage.enable",
        "false",
        Accepts::OneOf(&["false"]),
        "There is one tier.",
    ),
    key(
        "retention.bytes",
        "-1",
        Accepts::Long(-1, i64::MAX),
        "Bytes of a partition that are kept, -1 for all.",
    ),
    key(
        "retention.ms",
        "604800000",
        Accepts::Long(-1, MS_MAX),
        "How long records are kept, -1 for ever.",
    ),
    key(
        "segment.bytes",
        "1073741824",
        Accepts::Int(1 << 20, i32::MAX),
        "Bytes at which a segment is closed.",
    ),
    key(
        "segment.index.bytes",
        "10485760",
        Accepts::Int(4, i32::MAX),
        "Kept for tools: indexes grow as needed.",
    ),
    key(
        "segment.jitter.ms",
        "0",
        Accepts::Long(0, MS_MAX),
        "Kept for tools: segments roll alike on every replica.",
    ),
    key(
        "segment.ms",
        "604800000",
        Accepts::Long(1, MS_MAX),
        "Age at which a segment is closed.",
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

    fn config(pairs: &[(&str, &str)]) -> Result<TopicConfig, InvalidConfig> {
        TopicConfig::new(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn every_default_is_a_value_its_own_key_accepts_and_the_table_is_sorted() {
        for key in TOPIC_KEYS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
        assert!(TOPIC_KEYS.is_sorted_by(|one, next| one.name < next.name));
    }

    #[test]
    fn a_topic_without_settings_has_those_of_kafka() {
        let config = config(&[]).unwrap();
        let settings = config.settings();

        assert_eq!(settings.retention_ms, Some(7 * 24 * 60 * 60 * 1000));
        assert_eq!(settings.retention_bytes, None);
        assert_eq!(settings.max_message_bytes, BatchLimits::BATCH_BYTES_MAX);
        assert_eq!(settings.segment, SegmentSettings::default());
        assert_eq!(settings.acks_min, AcksMin::None);
        assert_eq!(config.value("cleanup.policy"), Some("delete"));
    }

    #[test]
    fn a_value_out_of_its_range_names_the_key_and_what_it_needs() {
        let refused = config(&[("retention.ms", "-2")]).unwrap_err();

        assert_eq!(refused.key, "retention.ms");
        assert!(refused.needed.contains("from -1"), "{refused}");
    }

    #[test]
    fn what_this_log_leaves_out_is_refused_rather_than_ignored() {
        for (key, value) in [
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("unclean.leader.election.enable", "true"),
            ("remote.storage.enable", "true"),
            ("no.such.key", "1"),
        ] {
            assert!(config(&[(key, value)]).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn without_delete_in_its_cleanup_policy_a_topic_keeps_everything() {
        let limits = [("retention.ms", "1"), ("retention.bytes", "1")];
        let deletes = config(&[limits[0], limits[1], ("cleanup.policy", " delete ")]).unwrap();
        assert_eq!(deletes.settings().retention_ms, Some(1));
        let keeps = config(&[limits[0], limits[1], ("cleanup.policy", "")]).unwrap();
        let kept = keeps.settings();
        assert_eq!((kept.retention_ms, kept.retention_bytes), (None, None));
    }

    #[test]
    fn no_record_is_refused_for_its_time_unless_somebody_has_set_a_limit_and_no_call_ever() {
        let now = TimestampMs(1_800_000_000_000);
        let limits = |set: &[(&str, &str)]| {
            let limits = config(set).unwrap().settings().batch_limits(now);
            (limits.timestamp_earliest.0, limits.timestamp_latest.0)
        };
        let all = (i64::MIN, i64::MAX);
        let (earliest, latest) = limits(&[]);
        assert!(earliest <= now.0 - i64::MAX && latest == i64::MAX);

        let before = ("message.timestamp.before.max.ms", "60000");
        let after = ("message.timestamp.after.max.ms", "5000");
        assert_eq!(limits(&[before, after]), (now.0 - 60_000, now.0 + 5_000));
        assert_eq!(
            limits(&[before, after, ("message.timestamp.type", "LogAppendTime")]),
            all
        );
        assert_eq!(limits(&[before, after, ("mayday.acks.min", "all")]), all);
    }

    #[test]
    fn the_largest_times_do_not_overflow_the_limits_of_a_batch() {
        let settings = config(&[]).unwrap().settings().clone();

        assert_eq!(
            settings.batch_limits(TimestampMs(-2)).timestamp_earliest,
            TimestampMs(i64::MIN)
        );
        assert_eq!(
            settings
                .batch_limits(TimestampMs(i64::MAX))
                .timestamp_latest,
            TimestampMs(i64::MAX)
        );
    }
}
