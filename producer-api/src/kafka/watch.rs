//! Whether the log is there, and whether it would take a call: its topics made, its leader answering, nothing in the way.
//!
//! One task asks the leader for the end of a partition now and then, which also opens the connections that the first
//! record needs. The log counts as gone only after it has been silent for longer than an election takes: until then
//! calls wait for it, after that they are refused at once. A topic that was deleted is made again.

use std::{sync::Arc, time::Duration};

use event_model::{PARTITIONS, Topic};
use rdkafka::{producer::Producer, types::RDKafkaErrorCode};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    log_producer::LogProducer,
    topic_producer::NativeProducer,
    topics::{self, TopicSettings},
};

/// Between two looks while all is well: a call between them finds out by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks while the log is silent.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_millis(250);
/// How long one look waits.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1000);
/// Every so many looks, the topics and what they are set to are looked at too.
const LOOKS_PER_INSPECTION: u32 = 5;

/// Makes the topics, looks after the log, and makes them again should they be deleted, until it is dropped.
pub(crate) async fn watch_log(log: Arc<LogProducer>, settings: TopicSettings) {
    loop {
        let found = make_topics(&log, &settings).await;
        log.reach().topics_are_there();
        info!("the log is there");
        tokio::select! {
            () = found.inspect() => keep_looking(&log, &found).await,
            () = keep_looking(&log, &found) => {}
        }
        log.reach().topics_are_lost();
        warn!("a topic of the calls is gone: it is made again");
    }
}

async fn make_topics(log: &LogProducer, settings: &TopicSettings) -> topics::Found {
    let mut tries = 0u64;
    loop {
        match topics::ensure(settings).await {
            Ok(found) => return found,
            // Once is enough for a person to look; the reason may change all the same.
            Err(error) if tries == 0 => warn!(
                error = &error as &dyn std::error::Error,
                "the topics are not there yet"
            ),
            Err(error) => debug!(
                tries,
                error = &error as &dyn std::error::Error,
                "the topics are still not there"
            ),
        }
        tries += 1;
        log.reach().silent();
        sleep(LOOK_AGAIN_INTERVAL).await;
    }
}

/// Returns when a topic is gone.
async fn keep_looking(log: &Arc<LogProducer>, topics: &topics::Found) {
    let mut looks = 0u32;
    loop {
        let seen = look(log).await;
        log.reach().age_failure();
        let due = looks.is_multiple_of(LOOKS_PER_INSPECTION);
        if seen == Look::TopicUnknown || (seen == Look::Answered && due) {
            match topics.state().await {
                Ok(topics::State::Missing) => return,
                Ok(topics::State::There(obstacle)) => log.reach().set_obstacle(obstacle),
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "the topics could not be looked at"
                ),
            }
        }
        looks = looks.wrapping_add(1);
        sleep(match seen {
            Look::Answered => LOOK_INTERVAL,
            Look::TopicUnknown | Look::Silent => LOOK_AGAIN_INTERVAL,
        })
        .await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Answered,
    /// The log is there, and says that a topic is not.
    TopicUnknown,
    Silent,
}

async fn look(log: &Arc<LogProducer>) -> Look {
    let on_duty = Arc::clone(log);
    let seen = tokio::task::spawn_blocking(move || {
        // Through both producers: a look keeps the connection to the leader open.
        let mut seen = Look::Answered;
        for topic in Topic::ALL {
            let producer = on_duty.topic_producer(topic);
            producer.replace_if_fatal();
            seen = seen.max(look_at(&producer.producer(), topic));
            if seen == Look::Silent {
                break;
            }
        }
        seen
    })
    .await
    .unwrap_or(Look::Silent);
    match seen {
        Look::Answered | Look::TopicUnknown => log.reach().seen(),
        Look::Silent => log.reach().silent(),
    }
    seen
}

/// The leader of each partition says where it ends, which it may only while it leads.
fn look_at(producer: &NativeProducer, topic: Topic) -> Look {
    let partitions = i32::try_from(PARTITIONS.get()).expect("there are a few partitions");
    let mut seen = Look::Answered;
    for partition in 0..partitions {
        let answered = producer
            .client()
            .fetch_watermarks(topic.name(), partition, LOOK_TIMEOUT);
        match answered.map_err(|error| error.rdkafka_error_code()) {
            Ok(_) => {}
            // A log whose topics were made with fewer partitions has answered, too.
            Err(Some(
                RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            )) => seen = Look::TopicUnknown,
            Err(_) => return Look::Silent,
        }
    }
    seen
}
