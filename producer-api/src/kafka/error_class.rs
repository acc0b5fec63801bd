//! What a delivery report's error says about its record, one decision per error.
//!
//! A call that waits is given up only for what no operator, no restart and no passing of time can change: the log says
//! of the record's very bytes that they are none. A size, a time, a right or a setting is not of that kind.
//!
//! Source: Kafka's protocol errors, `rd_kafka_resp_err_t`, and librdkafka's `rd_kafka_handle_Produce_error`.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

use super::append_error::AppendError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// It never left this process.
    NotSent,
    /// The log took nothing, for a reason that can pass or be mended.
    NotStored,
    /// The log took nothing and will say the same of the same bytes for ever.
    Permanent,
    /// It may be in the log or get there yet.
    Unknown,
}

/// What a delivery report's error says about the record.
pub(super) fn append_error_of(error: KafkaError) -> AppendError {
    let class = error
        .rdkafka_error_code()
        .map_or(ErrorClass::Unknown, class_of);
    match class {
        ErrorClass::NotSent => AppendError::Unavailable,
        ErrorClass::NotStored => AppendError::NotStored(error),
        ErrorClass::Permanent => AppendError::Rejected(error),
        ErrorClass::Unknown => AppendError::OutcomeUnknown(Some(error)),
    }
}

pub(super) fn class_of(code: RDKafkaErrorCode) -> ErrorClass {
    use RDKafkaErrorCode as Code;
    match code {
        // Purged from, or never let into, librdkafka's own queue.
        Code::PurgeQueue | Code::QueueFull => ErrorClass::NotSent,

        // The record's bytes are no record. Ours are made by one encoder, so this is a bug there or in the log.
        Code::InvalidRecord => ErrorClass::Permanent,

        // About the record, by settings of the topic or by clocks: `max.message.bytes`, `segment.bytes`,
        // `message.timestamp.*.max.ms`, `message.format.version`.
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidTimestamp
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType
        // About the log. log-core's full disk is a policy violation.
        | Code::PolicyViolation
        | Code::NotEnoughReplicas
        | Code::KafkaStorageError
        | Code::LogDirNotFound
        | Code::ThrottlingQuotaExceeded
        | Code::InvalidRequiredAcks
        | Code::InvalidConfig
        | Code::InvalidRequest
        | Code::UnsupportedVersion
        | Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        // About the topic: deleted, and made again by us.
        | Code::InvalidTopic
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::InvalidPartitions
        // About this client's rights.
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::SecurityDisabled
        // About this client: it cannot do what it is set to.
        | Code::UnsupportedFeature
        | Code::NotImplemented
        | Code::NotConfigured
        | Code::ReadOnly => ErrorClass::NotStored,

        // librdkafka stopped waiting, the answer got lost, or it is not said what was done before.
        Code::MessageTimedOut
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::NotEnoughReplicasAfterAppend
        | Code::PurgeInflight
        | Code::BrokerTransportFailure
        | Code::NetworkException
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::AllBrokersDown
        | Code::Fatal
        | Code::Unknown
        // Idempotent sequences: what went before is unclear.
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced
        | Code::Fenced
        | Code::GaplessGuarantee
        | Code::Inconsistent
        // A checksum that broke on the way: sent again, it may be whole.
        | Code::InvalidMessage
        | Code::BadMessage
        | Code::BadCompression
        // Not an answer to a produce request, as far as Kafka's protocol and librdkafka say. Should it ever be one,
        // nothing is concluded from it, and the record is sent again after its report.
        | Code::Begin
        | Code::End
        | Code::NoError
        | Code::Fail
        | Code::CriticalSystemResource
        | Code::Resolve
        | Code::PartitionEOF
        | Code::FileSystem
        | Code::InvalidArgument
        | Code::ISRInsufficient
        | Code::NodeUpdate
        | Code::SSL
        | Code::WaitingForCoordinator
        | Code::UnknownGroup
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::ExistingSubscription
        | Code::AssignPartitions
        | Code::RevokePartitions
        | Code::Conflict
        | Code::State
        | Code::UnknownProtocol
        | Code::Authentication
        | Code::NoOffset
        | Code::Outdated
        | Code::WaitCache
        | Code::Interrupted
        | Code::KeySerialization
        | Code::ValueSerialization
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::Partial
        | Code::NoEnt
        | Code::Underflow
        | Code::InvalidType
        | Code::Retry
        | Code::PollExceeded
        | Code::UnknownBroker
        | Code::Application
        | Code::AssignmentLost
        | Code::Noop
        | Code::AutoOffsetReset
        | Code::LogTruncation
        | Code::InvalidDifferentRecord
        | Code::OffsetOutOfRange
        | Code::InvalidMessageSize
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::OffsetMetadataTooLarge
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::IllegalGeneration
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::UnknownMemberId
        | Code::InvalidSessionTimeout
        | Code::RebalanceInProgress
        | Code::InvalidCommitOffsetSize
        | Code::GroupAuthorizationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAlreadyExists
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::NotController
        | Code::InvalidTransactionalState
        | Code::InvalidTransactionTimeout
        | Code::ConcurrentTransactions
        | Code::TransactionCoordinatorFenced
        | Code::OperationNotAttempted
        | Code::ReassignmentInProgress
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::InvalidPrincipalType
        | Code::NonEmptyGroup
        | Code::GroupIdNotFound
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ListenerNotFound
        | Code::TopicDeletionDisabled
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::MemberIdRequired
        | Code::PreferredLeaderNotAvailable
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId
        | Code::EligibleLeadersNotAvailable
        | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress
        | Code::GroupSubscribedToTopic
        | Code::UnstableOffsetCommit
        | Code::ResourceNotFound
        | Code::DuplicateResource
        | Code::UnacceptableCredential
        | Code::InconsistentVoterSet
        | Code::InvalidUpdateVersion
        | Code::FeatureUpdateFailed
        | Code::PrincipalDeserializationFailure
        | Code::FencedMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::UnsupportedAssignor
        | Code::StaleMemberEpoch
        | Code::UnknownSubscriptionId
        | Code::TelemetryTooLarge
        | Code::RebootstrapRequired
        | Code::EndAll => ErrorClass::Unknown,
        // The enum is open (`#[non_exhaustive]`); a test holds that every code of this librdkafka stands above.
        _ => ErrorClass::Unknown,
    }
}
