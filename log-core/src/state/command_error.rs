//! Why a command was not carried out. In every case nothing was changed.
//!
//! Each variant is one answer to a client; its doc names the Kafka error code that the door maps it to.

use super::feature_level::FeatureLevel;
use super::topic_config::InvalidConfig;
use crate::ids::{
    Generation, GroupId, GroupInstanceId, NodeId, Offset, ProducerEpoch, ProducerId, Sequence,
    TopicId, TopicName, TopicPartition, TransactionalId,
};

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
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
    /// UNKNOWN_TOPIC_ID; UNKNOWN_TOPIC_OR_PARTITION where the client had named the topic by its name.
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
    /// UNKNOWN_TOPIC_OR_PARTITION for those named, OPERATION_NOT_ATTEMPTED for the others of the request.
    #[error("{} partitions are unknown", partitions.len())]
    UnknownPartitions {
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// OFFSET_OUT_OF_RANGE.
    #[error("offset {requested} of {partition} is past the high watermark {high_watermark}")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// What was asked for.
        requested: Offset,
        /// How far it goes.
        high_watermark: Offset,
    },
    /// POLICY_VIOLATION: the topic's records must not be deleted one by one.
    #[error("{partition}: records of a topic with mayday.acks.min=all go by retention only")]
    RecordsProtected {
        /// Where.
        partition: TopicPartition,
    },
    /// PRODUCER_FENCED; INVALID_PRODUCER_EPOCH to clients whose request version is older than that code (InitProducerId
    /// before 4, AddPartitionsToTxn, AddOffsetsToTxn and EndTxn before 2), and always in TxnOffsetCommit.
    #[error("producer {producer} of transactional id {id}: epoch {found} is fenced by {current}")]
    ProducerFenced {
        /// Whose.
        id: TransactionalId,
        /// The producer that asked.
        producer: ProducerId,
        /// In which epoch it asked.
        found: ProducerEpoch,
        /// The present one.
        current: ProducerEpoch,
    },
    /// INVALID_PRODUCER_ID_MAPPING: the transactional id is not known, or it belongs to another producer id.
    #[error("transactional id {id} does not belong to producer {producer}")]
    InvalidProducerIdMapping {
        /// The transactional id.
        id: TransactionalId,
        /// Who claims it.
        producer: ProducerId,
    },
    /// ILLEGAL_GENERATION.
    #[error("group {group}: generation {found:?}, present is {current:?}")]
    IllegalGeneration {
        /// The group.
        group: GroupId,
        /// What was named.
        found: Option<Generation>,
        /// The present one; `None` where there is no such group.
        current: Option<Generation>,
    },
    /// UNKNOWN_MEMBER_ID.
    #[error("group {group} has no such member")]
    UnknownMember {
        /// The group.
        group: GroupId,
    },
    /// FENCED_INSTANCE_ID: another member has taken over the static identity.
    #[error("group {group}: {instance} is another member now")]
    FencedInstance {
        /// The group.
        group: GroupId,
        /// The static identity.
        instance: GroupInstanceId,
    },
    /// GROUP_ID_NOT_FOUND.
    #[error("no group {group}")]
    GroupNotFound {
        /// Which.
        group: GroupId,
    },
    /// NON_EMPTY_GROUP: it has members, or offsets of an open transaction.
    #[error("group {group} is not empty")]
    GroupNotEmpty {
        /// Which.
        group: GroupId,
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
