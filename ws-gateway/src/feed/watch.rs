//! Whether the log answers: asked every few seconds, so that a gateway that hears nothing because nothing happens can
//! be told from one that hears nothing because it is cut off.

use std::{sync::Arc, time::Duration};

use event_model::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    measure,
    shard::{Notice, Order, ShardEnded, ShardHandle},
};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take: a log that elects a leader is not cut off.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How soon a stop is noticed.
const NAP: Duration = Duration::from_millis(100);

/// Asks, and tells the subscribers of notices when the answer changes.
pub(super) fn run(consumer: &Arc<BaseConsumer>, shards: &[ShardHandle], stop: &CancellationToken) {
    let mut answered = true;
    while nap(stop) {
        let answers = consumer
            .fetch_metadata(Some(Topic::Alert.name()), ANSWER_WITHIN)
            .is_ok();
        measure::log_answers(answers);
        if answers != answered && tell(shards, answers).is_err() {
            return;
        }
        answered = answers;
    }
}

/// Whether to go on.
fn nap(stop: &CancellationToken) -> bool {
    let naps = ASK_EVERY.as_millis() / NAP.as_millis();
    (0..naps).all(|_| {
        std::thread::sleep(NAP);
        !stop.is_cancelled()
    })
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
        shard.order_blocking(Order::Notify(notice.clone()))?;
    }
    Ok(())
}
