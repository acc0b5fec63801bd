//! Whether the log is there, and whether it would take a call: its topics made, its leader answering, nothing in the way.
//!
//! One task asks the leaders of the topics' partitions for their ends, in turn, which also opens the connections that the
//! first record needs. The log counts as unavailable only after it has not answered for longer than an election takes: until then
//! calls wait for it, after that they are refused at once. A topic that was deleted is made again.

use std::{sync::Arc, time::Duration};

use event_model::{PARTITIONS, Topic};
use rdkafka::{producer::Producer, types::RDKafkaErrorCode};
use service_kit::error_value;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    log_producer::LogProducer,
    topic_producer::NativeProducer,
    topics::{self, TopicSettings},
};

/// Between two probes while all is well: a call between them finds out by itself.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two probes while the log does not answer.
const PROBE_RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long one probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1000);
/// Every so many probes, the topics and what they are set to are looked at too.
const PROBES_PER_INSPECTION: u32 = 5;

/// Makes the topics, looks after the log, and makes them again should they be deleted, until it is dropped.
pub(crate) async fn run_health_checks(log: Arc<LogProducer>, settings: TopicSettings) {
    loop {
        let found = create_topics(&log, &settings).await;
        log.health().record_topics_found();
        info!("the log is there");
        tokio::select! {
            () = found.inspect() => keep_probing(&log, &found).await,
            () = keep_probing(&log, &found) => {}
        }
        log.health().record_topics_missing();
        warn!("a topic of the calls is gone: it is made again");
    }
}

async fn create_topics(log: &LogProducer, settings: &TopicSettings) -> topics::ExistingTopics {
    let mut tries = 0u64;
    loop {
        match topics::create_missing(settings).await {
            Ok(found) => return found,
            // Once is enough for a person to look; the reason may change all the same.
            Err(error) if tries == 0 => {
                warn!(error = error_value(&error), "the topics are not there yet")
            }
            Err(error) => debug!(
                tries,
                error = error_value(&error),
                "the topics are still not there"
            ),
        }
        tries += 1;
        log.health().record_unanswered();
        sleep(PROBE_RETRY_INTERVAL).await;
    }
}

/// Returns when a topic is gone.
async fn keep_probing(log: &Arc<LogProducer>, topics: &topics::ExistingTopics) {
    let mut probes = 0u32;
    loop {
        let seen = probe(log, probes).await;
        log.health().age_failure();
        let due = probes.is_multiple_of(PROBES_PER_INSPECTION);
        if seen == ProbeResult::TopicUnknown || (seen == ProbeResult::Answered && due) {
            match topics.state().await {
                Ok(topics::TopicsState::Missing) => return,
                Ok(topics::TopicsState::There(misconfiguration)) => {
                    log.health().set_misconfiguration(misconfiguration)
                }
                Err(error) => debug!(
                    error = error_value(&error),
                    "the topics could not be looked at"
                ),
            }
        }
        // A partition that does not answer is asked until it does: its calls wait for it.
        probes = probes.wrapping_add(u32::from(seen != ProbeResult::Unanswered));
        sleep(match seen {
            ProbeResult::Answered => PROBE_INTERVAL,
            ProbeResult::TopicUnknown | ProbeResult::Unanswered => PROBE_RETRY_INTERVAL,
        })
        .await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProbeResult {
    Answered,
    /// The log is there, and says that a topic is not.
    TopicUnknown,
    Unanswered,
}

/// Asks about one partition of each topic: the next `number` asks about the next one, so that an idle log is asked little.
async fn probe(log: &Arc<LogProducer>, number: u32) -> ProbeResult {
    let prober = Arc::clone(log);
    let seen = tokio::task::spawn_blocking(move || {
        // Through both producers: a probe keeps the connection to the leader open.
        let mut seen = ProbeResult::Answered;
        for topic in Topic::ALL {
            let producer = prober.topic_producer(topic);
            producer.replace_if_fatal();
            seen = seen.max(probe_partition(&producer.producer(), topic, number));
            if seen == ProbeResult::Unanswered {
                break;
            }
        }
        seen
    })
    .await
    .unwrap_or(ProbeResult::Unanswered);
    match seen {
        ProbeResult::Answered | ProbeResult::TopicUnknown => log.health().record_answer(),
        ProbeResult::Unanswered => log.health().record_unanswered(),
    }
    seen
}

/// The leader of a partition says where it ends, which it may only while it leads.
fn probe_partition(producer: &NativeProducer, topic: Topic, number: u32) -> ProbeResult {
    let partition = i32::try_from(number % PARTITIONS).expect("there are a few partitions");
    let answered = producer
        .client()
        .fetch_watermarks(topic.name(), partition, PROBE_TIMEOUT);
    match answered.map_err(|error| error.rdkafka_error_code()) {
        Ok(_) => ProbeResult::Answered,
        // A log whose topics were made with fewer partitions has answered, too.
        Err(Some(
            RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition,
        )) => ProbeResult::TopicUnknown,
        Err(_) => ProbeResult::Unanswered,
    }
}
