//! What housekeeping does, and has done.

use std::fmt;

use crate::ids::{GroupId, TopicPartition};
use crate::state::{FeatureLevel, Response};

/// What a command of housekeeping is for.
#[derive(Clone, Debug)]
pub(crate) enum Housework {
    /// Records of this partition are beyond their retention.
    Retention(TopicPartition),
    /// Transactions are open for too long.
    Transactions,
    /// Producers, offsets or transactional ids were unused for long.
    Unused,
    /// This group has neither members nor offsets: nothing would tell it from one that never was (Kafka's
    /// `cleanupGroupMetadata`).
    UnusedGroup(GroupId),
    /// Every node knows a later level, and no operator has to be asked.
    Level,
}

/// What housekeeping has changed.
#[derive(Debug)]
pub(crate) struct Housekept {
    /// What was to be done.
    pub(crate) work: Housework,
    /// What has come of it.
    pub(crate) response: Response,
}

impl fmt::Display for Housekept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.work, &self.response) {
            (Housework::Retention(partition), Response::LogStart { log_start_offset }) => {
                write!(
                    f,
                    "{partition}: records before offset {log_start_offset} are beyond their retention and deleted"
                )
            }
            (Housework::Transactions, Response::TransactionsExpired { ids }) => {
                write!(
                    f,
                    "{} transactions were open for too long and are aborted",
                    ids.len()
                )
            }
            (Housework::UnusedGroup(group), _) => {
                write!(f, "group {group} is unused and forgotten")
            }
            (Housework::Level, _) => write!(
                f,
                "the log works at the latest level, {}",
                FeatureLevel::LATEST
            ),
            (work, response) => write!(f, "{work:?}: {response:?}"),
        }
    }
}
