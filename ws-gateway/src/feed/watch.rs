//! Whether the log answers: asked every few seconds, so that a gateway that hears nothing because nothing happens can
//! be told from one that hears nothing because it is cut off. The thread that waits in between keeps the group's member alive.

use std::{sync::Arc, time::Duration};

use event_model::Topic;
use rdkafka::error::KafkaError;
use serde_json::json;
use service_kit::clock::Clock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Consumer, group_member::GroupMember};
use crate::{
    metrics,
    readiness::Readiness,
    shard::{LogEnds, Notice, ShardCommand, ShardEnded, ShardHandle},
};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take: a log that elects a leader is not cut off.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How soon a stop is noticed.
const NAP: Duration = Duration::from_millis(500);

/// Asks the leader of every partition where the log ends.
pub(super) struct Watch {
    pub(super) consumer: Arc<Consumer>,
    pub(super) member: GroupMember,
    pub(super) partitions: Vec<(Topic, u32)>,
    pub(super) shards: Vec<ShardHandle>,
    pub(super) clock: Clock,
    pub(super) readiness: Readiness,
    pub(super) stop: CancellationToken,
}

impl Watch {
    /// Asks, and tells the subscribers of notices when the answer changes, the shards where the log ends, and the
    /// operator how old the residents' view is and how far the feed has come.
    pub(super) fn run(mut self) {
        self.member.join();
        let mut answered = true;
        loop {
            let asked = self.log_ends();
            let answers = asked.is_ok();
            metrics::log_answers(answers);
            if let Ok(ends) = asked
                && self.tell_ends(ends).is_err()
            {
                return;
            }
            if answers != answered && tell(&self.shards, answers).is_err() {
                return;
            }
            answered = answers;
            self.member.commit(self.readiness.progress());
            if !self.nap() {
                break;
            }
        }
        self.member.commit(self.readiness.progress());
    }

    fn log_ends(&self) -> Result<LogEnds, KafkaError> {
        let asked_at = self.clock.elapsed();
        let named: Vec<_> = self
            .partitions
            .iter()
            .map(|(topic, partition)| (topic.name(), *partition))
            .collect();
        let ends = log_client::ends(&self.consumer, &named, ANSWER_WITHIN)?;
        Ok(LogEnds {
            asked_at,
            ends: self.partitions.iter().copied().zip(ends).collect(),
        })
    }

    fn tell_ends(&self, ends: LogEnds) -> Result<(), ShardEnded> {
        self.readiness.log_ended_at(ends.clone());
        for shard in &self.shards {
            shard.send_blocking(ShardCommand::LogEnds(ends.clone()))?;
        }
        Ok(())
    }

    /// Whether to go on.
    fn nap(&self) -> bool {
        let naps = ASK_EVERY.as_millis() / NAP.as_millis();
        (0..naps).all(|_| {
            self.member.poll(NAP);
            if let Some(age) = self.readiness.view_age() {
                metrics::view_age(age);
            }
            !self.stop.is_cancelled()
        })
    }
}

fn tell(shards: &[ShardHandle], answers: bool) -> Result<(), ShardEnded> {
    let notice = if answers {
        info!("the log answers again");
        Notice {
            name: "healthy",
            body: json!({"type": "healthy"}),
            lasts: false,
        }
    } else {
        warn!("the log does not answer: residents are told that nothing new can be heard");
        Notice {
            name: "degraded",
            body: json!({"type": "degraded", "reason": "log"}),
            lasts: true,
        }
    };
    for shard in shards {
        shard.send_blocking(ShardCommand::Notify(notice.clone()))?;
    }
    Ok(())
}
