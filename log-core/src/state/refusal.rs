//! Why a command was not carried out. In every case nothing was changed.
//!
//! Each variant is one answer to a client; its doc names the Kafka error code that the door maps it to.

use super::node::FeatureLevel;
use super::topic_config::InvalidConfig;
use crate::ids::{NodeId, ProducerEpoch, ProducerId, Sequence, TopicId, TopicName, TopicPartition};

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// NOT_LEADER_OR_FOLLOWER: the proposer had lost the lead when its command was ordered; safe to send again.
    #[error("proposed by a leader of another epoch")]
    ProposerDeposed,
    /// TOPIC_ALREADY_EXISTS.
    #[error("topic {name} exists")]
    TopicExists {
        /// Its name.
        name: TopicName,
    },
    /// UNKNOWN_TOPIC_OR_PARTITION: there is none, or the topic was deleted (and perhaps made again) meanwhile.
    #[error("no partition {partition}")]
    UnknownPartition {
        /// Which.
        partition: TopicPartition,
    },
    /// UNKNOWN_TOPIC_ID.
    #[error("no topic with id {id}")]
    UnknownTopicId {
        /// Which.
        id: TopicId,
    },
    /// INVALID_PARTITIONS.
    #[error("{requested} partitions, allowed are {least} to {most}")]
    InvalidPartitions {
        /// How many were asked for.
        requested: u32,
        /// The fewest that make sense.
        least: u32,
        /// The most that are allowed.
        most: u32,
    },
    /// INVALID_CONFIG.
    #[error(transparent)]
    InvalidConfig(#[from] InvalidConfig),
    /// CORRUPT_MESSAGE: the proposed bytes are no batch that a producer may send. The door checks first, so this is damage.
    #[error("batch for {partition} is none")]
    CorruptBatch {
        /// Where it should have gone.
        partition: TopicPartition,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("producer {producer}: sequence {found}, next is {expected}")]
    OutOfOrderSequence {
        /// Whose.
        producer: ProducerId,
        /// What it sent.
        found: Sequence,
        /// What it should have sent.
        expected: Sequence,
    },
    /// INVALID_PRODUCER_EPOCH: a later incarnation of the producer has written or was announced.
    #[error("producer {producer}: epoch {found} is fenced by {current}")]
    InvalidProducerEpoch {
        /// Whose.
        producer: ProducerId,
        /// What it sent.
        found: ProducerEpoch,
        /// The present one.
        current: ProducerEpoch,
    },
    /// INVALID_TXN_STATE: a transactional batch outside the producer's open transaction, or a plain one inside.
    #[error("producer {producer}: {what}")]
    InvalidTransactionState {
        /// Whose.
        producer: ProducerId,
        /// What does not fit.
        what: &'static str,
    },
    /// BROKER_ID_NOT_REGISTERED.
    #[error("no broker {node}")]
    UnknownNode {
        /// Which.
        node: NodeId,
    },
    /// FEATURE_UPDATE_FAILED.
    #[error("feature level {level} is not supported by broker {node}")]
    FeatureLevelUnsupported {
        /// The level.
        level: FeatureLevel,
        /// Who lacks it.
        node: NodeId,
    },
    /// INVALID_UPDATE_VERSION.
    #[error("feature level {to} is below the present {from}")]
    FeatureLevelFalls {
        /// The present one.
        from: FeatureLevel,
        /// The one asked for.
        to: FeatureLevel,
    },
}
