//! From our errors to Kafka's codes: one `match` for each, without a `_` arm, so that a new variant does not compile
//! until it is decided what a client is told (rules 1 to 8).

use kafka_protocol::ResponseError;

use crate::group::GroupError;
use crate::node::{Leadership, ProposeError};
use crate::record::InvalidBatch;
use crate::state::CommandError;
use crate::storage::ReadError;

/// What a client asked: a node that does not lead answers each in its own words (rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorScope {
    /// Records of a partition.
    Partition,
    /// A group or a transaction.
    Coordinator,
    /// Topics and settings.
    Controller,
}

/// Why this node does not serve such a request now; `None` when it does.
pub(super) fn not_leading(leadership: Leadership, scope: ErrorScope) -> Option<ResponseError> {
    match (leadership, scope) {
        (Leadership::Leader { .. }, _) => None,
        (Leadership::Starting, ErrorScope::Partition) => Some(ResponseError::LeaderNotAvailable),
        (Leadership::Starting, ErrorScope::Coordinator) => {
            Some(ResponseError::CoordinatorLoadInProgress)
        }
        (Leadership::Starting | Leadership::Follower { .. }, ErrorScope::Controller) => {
            Some(ResponseError::NotController)
        }
        (Leadership::Follower { .. }, ErrorScope::Partition) => {
            Some(ResponseError::NotLeaderOrFollower)
        }
        (Leadership::Follower { .. }, ErrorScope::Coordinator) => {
            Some(ResponseError::NotCoordinator)
        }
    }
}

/// A proposal without an outcome. Only what was certainly not written may say so (rule 2): clients read
/// NOT_LEADER_OR_FOLLOWER as "not persisted" and would send the batch again under a new sequence.
pub(super) fn of_propose_error(error: ProposeError, scope: ErrorScope) -> ResponseError {
    match (error, scope) {
        (ProposeError::NotLeader, ErrorScope::Partition) => ResponseError::NotLeaderOrFollower,
        (ProposeError::NotLeader, ErrorScope::Coordinator) => ResponseError::NotCoordinator,
        (ProposeError::NotLeader, ErrorScope::Controller) => ResponseError::NotController,
        (ProposeError::NotEnoughReplicas { .. }, _)
        | (ProposeError::Dropped, ErrorScope::Partition) => ResponseError::NotEnoughReplicas,
        (ProposeError::NotOnDisks { .. }, _) => ResponseError::NotEnoughReplicasAfterAppend,
        (ProposeError::Dropped, ErrorScope::Coordinator) => ResponseError::CoordinatorNotAvailable,
        (ProposeError::Dropped, ErrorScope::Controller) => ResponseError::RequestTimedOut,
        (ProposeError::TooLarge, ErrorScope::Partition) => ResponseError::MessageTooLarge,
        (ProposeError::TooLarge, ErrorScope::Coordinator | ErrorScope::Controller) => {
            ResponseError::InvalidRequest
        }
        (ProposeError::DiskFull | ProposeError::TooManyPartitions(_), _) => {
            ResponseError::PolicyViolation
        }
        (
            ProposeError::OutcomeUnknown | ProposeError::NotInTime | ProposeError::Stopped,
            ErrorScope::Coordinator,
        ) => ResponseError::CoordinatorNotAvailable,
        (
            ProposeError::OutcomeUnknown | ProposeError::NotInTime | ProposeError::Stopped,
            ErrorScope::Partition | ErrorScope::Controller,
        ) => ResponseError::RequestTimedOut,
    }
}

/// A read whose answer this node cannot say to be current. Nothing was written, so the client is sent on at once.
pub(super) fn of_unconfirmed_read(error: ProposeError, scope: ErrorScope) -> ResponseError {
    match error {
        ProposeError::NotLeader | ProposeError::OutcomeUnknown => {
            of_propose_error(ProposeError::NotLeader, scope)
        }
        ProposeError::Dropped
        | ProposeError::TooLarge
        | ProposeError::DiskFull
        | ProposeError::NotEnoughReplicas { .. }
        | ProposeError::TooManyPartitions(_)
        | ProposeError::NotInTime
        | ProposeError::NotOnDisks { .. }
        | ProposeError::Stopped => of_propose_error(ProposeError::Stopped, scope),
    }
}

/// A command that was not applied within its deadline. Whether it will be is not known. Older clients take no other
/// word for "ask again" from a coordinator.
pub(super) fn of_deadline(scope: ErrorScope) -> ResponseError {
    of_propose_error(ProposeError::OutcomeUnknown, scope)
}

/// A command that the state machine refused.
pub(super) fn of_command_error(refusal: &CommandError) -> ResponseError {
    match refusal {
        CommandError::ProposerDeposed => ResponseError::NotLeaderOrFollower,
        CommandError::TopicExists { .. } => ResponseError::TopicAlreadyExists,
        CommandError::UnknownPartition { .. } | CommandError::UnknownPartitions { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        CommandError::UnknownTopicId { .. } => ResponseError::UnknownTopicId,
        CommandError::InvalidPartitions { .. } => ResponseError::InvalidPartitions,
        CommandError::InvalidConfig(_) => ResponseError::InvalidConfig,
        CommandError::CorruptBatch { .. } => ResponseError::CorruptMessage,
        CommandError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        CommandError::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        CommandError::InvalidTransactionState { .. } => ResponseError::InvalidTxnState,
        CommandError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        CommandError::RecordsProtected { .. } => ResponseError::PolicyViolation,
        CommandError::ProducerFenced { .. } => ResponseError::ProducerFenced,
        CommandError::InvalidProducerIdMapping { .. } => ResponseError::InvalidProducerIdMapping,
        CommandError::IllegalGeneration { .. } => ResponseError::IllegalGeneration,
        CommandError::UnknownMember { .. } => ResponseError::UnknownMemberId,
        CommandError::FencedInstance { .. } => ResponseError::FencedInstanceId,
        CommandError::GroupNotFound { .. } => ResponseError::GroupIdNotFound,
        CommandError::GroupNotEmpty { .. } => ResponseError::NonEmptyGroup,
        CommandError::UnknownNode { .. } => ResponseError::BrokerIdNotRegistered,
        CommandError::FeatureLevelUnsupported { .. } => ResponseError::FeatureUpdateFailed,
        CommandError::FeatureLevelFalls { .. } => ResponseError::InvalidUpdateVersion,
    }
}

/// A member's request that its group refused.
pub(super) fn of_group_error(error: &GroupError) -> ResponseError {
    match error {
        GroupError::MemberIdRequired { .. } => ResponseError::MemberIdRequired,
        GroupError::UnknownMemberId => ResponseError::UnknownMemberId,
        GroupError::FencedInstanceId => ResponseError::FencedInstanceId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::GroupMaxSizeReached => ResponseError::GroupMaxSizeReached,
        GroupError::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
    }
}

/// A batch that was not proposed.
pub(super) fn of_invalid_batch(invalid: &InvalidBatch) -> ResponseError {
    match invalid {
        InvalidBatch::Length(_) | InvalidBatch::Crc => ResponseError::CorruptMessage,
        InvalidBatch::TooLarge { .. } | InvalidBatch::UnpacksTooLarge { .. } => {
            ResponseError::MessageTooLarge
        }
        InvalidBatch::Codec { .. } => ResponseError::UnsupportedCompressionType,
        InvalidBatch::Timestamp { .. } => ResponseError::InvalidTimestamp,
        InvalidBatch::Missing
        | InvalidBatch::Several { .. }
        | InvalidBatch::Magic { .. }
        | InvalidBatch::Header(_)
        | InvalidBatch::BaseOffset { .. }
        | InvalidBatch::Count { .. }
        | InvalidBatch::Control
        | InvalidBatch::Producer
        | InvalidBatch::Undecodable(_)
        | InvalidBatch::OffsetDelta { .. } => ResponseError::InvalidRecord,
    }
}

/// Records that could not be read.
pub(super) fn of_read_error(error: &ReadError) -> ResponseError {
    match error {
        ReadError::BelowStart { .. } => ResponseError::OffsetOutOfRange,
        ReadError::Io { .. } | ReadError::Damaged { .. } => ResponseError::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LeaderEpoch;

    #[test]
    fn only_what_was_certainly_not_written_is_said_to_be_safe_to_send_again() {
        let code = |error| of_propose_error(error, ErrorScope::Partition);
        assert_eq!(
            code(ProposeError::NotLeader),
            ResponseError::NotLeaderOrFollower
        );
        assert_eq!(
            code(ProposeError::Dropped),
            ResponseError::NotEnoughReplicas
        );
        assert_eq!(
            code(ProposeError::OutcomeUnknown),
            ResponseError::RequestTimedOut
        );
        assert_eq!(code(ProposeError::Stopped), ResponseError::RequestTimedOut);
    }

    #[test]
    fn a_leader_that_has_not_caught_up_asks_to_come_back_and_a_follower_sends_away() {
        let follower = Leadership::Follower { leader: None };
        let all = [
            ErrorScope::Partition,
            ErrorScope::Coordinator,
            ErrorScope::Controller,
        ];
        assert_eq!(
            all.map(|scope| not_leading(Leadership::Starting, scope)),
            [
                Some(ResponseError::LeaderNotAvailable),
                Some(ResponseError::CoordinatorLoadInProgress),
                Some(ResponseError::NotController),
            ]
        );
        assert_eq!(
            all.map(|scope| not_leading(follower, scope)),
            [
                Some(ResponseError::NotLeaderOrFollower),
                Some(ResponseError::NotCoordinator),
                Some(ResponseError::NotController),
            ]
        );
        let leader = Leadership::Leader {
            epoch: LeaderEpoch(1),
        };
        assert!(
            all.iter()
                .all(|scope| not_leading(leader, *scope).is_none())
        );
    }
}
