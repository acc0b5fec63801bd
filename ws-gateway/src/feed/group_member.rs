//! This gateway as a member of a consumer group, for an operator's tools: who it is, where it runs, how far it is behind.
//!
//! The feed reads partitions that it assigns to itself, and no coordinator can stop it. Beside it a client of its own joins the
//! group `ws-gateway.<instance>`, as the static member `<instance>` (KIP-345): it is assigned every partition, reads none,
//! and commits how far the feed has come, since a group with a member takes commits from nobody else.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use event_model::Topic;
use log_client::settings;
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use service_kit::error_value;
use tracing::{debug, warn};

use super::client_log::ClientLog;
use crate::{config::Config, readiness::Progress};

/// A member of the group from [`join`](Self::join) on, as long as it is polled.
pub(super) struct GroupMember {
    consumer: BaseConsumer<MemberContext>,
    committed: Progress,
}

/// Reads nothing of what it is assigned.
struct MemberContext {
    client_log: ClientLog,
    /// The last commit was not taken.
    refused: AtomicBool,
}

impl GroupMember {
    /// Not a member yet.
    pub(super) fn open(config: &Config, client_log: ClientLog) -> Result<Self, KafkaError> {
        let name = format!("ws-gateway.{}", config.instance);
        let mut settings = settings(&config.log, &name);
        settings
            .set("group.id", &name)
            .set("group.instance.id", &config.instance)
            // How long a gateway that is gone is shown.
            .set("session.timeout.ms", "10000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // It asks no leader of a partition for anything.
            .set("topic.metadata.refresh.interval.ms", "300000");
        let context = MemberContext {
            client_log,
            refused: AtomicBool::new(false),
        };
        Ok(Self {
            consumer: settings.create_with_context(context)?,
            committed: Progress::new(),
        })
    }

    /// Joins as soon as the log answers.
    pub(super) fn join(&self) {
        if let Err(error) = self.consumer.subscribe(&Topic::ALL.map(Topic::name)) {
            warn!(
                error = error_value(&error),
                "operators are not shown this gateway as a member of its group"
            );
        }
    }

    /// Stays a member, for so long.
    pub(super) fn poll(&self, wait: Duration) {
        if let Some(Err(error)) = self.consumer.poll(wait) {
            debug!(error = error_value(&error), "trouble with the group");
        }
    }

    /// Sends how far the feed has come, if that is further than it was.
    pub(super) fn commit(&mut self, progress: Progress) {
        let refused = &self.consumer.context().refused;
        if !refused.swap(false, Ordering::Relaxed) && progress == self.committed {
            return;
        }
        let sent = offsets(&progress)
            .and_then(|offsets| self.consumer.commit(&offsets, CommitMode::Async));
        match sent {
            Ok(()) => self.committed = progress,
            Err(error) => {
                debug!(error = error_value(&error), "the lag is not shown");
                refused.store(true, Ordering::Relaxed);
            }
        }
    }
}

fn offsets(progress: &Progress) -> KafkaResult<TopicPartitionList> {
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), next) in progress {
        let partition = i32::try_from(*partition).expect("the client counts partitions in an i32");
        let next = Offset::Offset(i64::try_from(*next).expect("an offset came from an i64"));
        offsets.add_partition_offset(topic.name(), partition, next)?;
    }
    Ok(offsets)
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.client_log.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The only fatal one here: another member of this name has joined.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            warn!(
                reason,
                "another gateway has this one's instance name: operators are shown that one only"
            );
            return;
        }
        self.client_log.error(error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        _assigned: &mut TopicPartitionList,
    ) {
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                consumer.assign(&TopicPartitionList::new())
            }
            _ => consumer.unassign(),
        };
        if let Err(error) = done {
            debug!(error = error_value(&error), "trouble with the group");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(error = error_value(&error), "the lag is not shown");
            self.refused.store(true, Ordering::Relaxed);
        }
    }
}
