//! The log's tail, read back at the start and followed from then on: what earlier runs and other instances stored.
//!
//! Read uncommitted, since none of our programs writes transactions and an aborted call that is known is better than
//! a stored one that is not. No group is joined and nothing is committed: the group's name only satisfies librdkafka.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event_model::{
    Decoded, Event, EventTime, Place, RecordView, Topic, decode, fold::ID_MEMORY, header,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    log_producer::LogProducer,
    logging_context::LoggingContext,
    record::tag,
    settings::{LogSettings, client_config, with_properties},
};
use crate::{
    clock,
    recent_calls::{RecentCall, RecentCalls},
};

/// How long one question to the log may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// After the log did not answer.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_millis(250);
/// How soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Read back by number as well as by time: a clock that is ahead does not hide the last calls.
const RECORDS_MIN: i64 = 1000;

type TailConsumer = BaseConsumer<LoggingContext>;

impl ConsumerContext for LoggingContext {}

/// Reads until `stop`. Blocks; what the log does not answer is asked again.
pub(crate) fn follow_tail(
    log: &Arc<LogProducer>,
    settings: &LogSettings,
    calls: &RecentCalls,
    stop: &CancellationToken,
) {
    let mut complained = false;
    while !stop.is_cancelled() {
        if !log.health().is_available() {
            std::thread::sleep(POLL_TIMEOUT);
            continue;
        }
        match Tail::begin(log, settings, calls.calls_max(), stop) {
            Ok(Some(mut tail)) => tail.read(log, calls, stop),
            Ok(None) => return,
            Err(error) if !complained => {
                complained = true;
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the log's tail cannot be read: keys that were used before this start are not known yet"
                );
            }
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "the log's tail still cannot be read"
            ),
        }
        std::thread::sleep(ASK_AGAIN_INTERVAL);
    }
}

struct Tail {
    consumer: TailConsumer,
    /// Which making of the topics this reads: after another one it begins again.
    topics_generation: u64,
    backlog: Option<Backlog>,
}

/// What the log held when the reading began, as far as it has been read.
struct Backlog {
    /// Where each partition ended that has not been read so far.
    ends: BTreeMap<(Topic, i32), i64>,
    /// How often each partition's end was met. librdkafka does not say of which topic.
    ends_met: BTreeMap<i32, usize>,
    found: Vec<RecentCall>,
}

impl Tail {
    /// `None`: it was stopped meanwhile.
    fn begin(
        log: &LogProducer,
        settings: &LogSettings,
        records_max: usize,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, KafkaError> {
        let topics_generation = log.health().topics_generation();
        let consumer = consumer(settings)?;
        let (mut assignment, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
        for topic in Topic::ALL {
            for partition in 0..partition_count(&consumer, topic)? {
                if stop.is_cancelled() {
                    return Ok(None);
                }
                let (start, end) = span(&consumer, topic, partition, records_max)?;
                assignment.add_partition_offset(topic.name(), partition, Offset::Offset(start))?;
                if start < end {
                    ends.insert((topic, partition), end);
                }
            }
        }
        consumer.assign(&assignment)?;
        let backlog = Some(Backlog {
            ends,
            ends_met: BTreeMap::new(),
            found: Vec::new(),
        });
        Ok(Some(Self {
            consumer,
            topics_generation,
            backlog,
        }))
    }

    fn read(&mut self, log: &LogProducer, calls: &RecentCalls, stop: &CancellationToken) {
        while !stop.is_cancelled() && log.health().topics_generation() == self.topics_generation {
            self.finish_backlog(calls);
            match self.consumer.poll(POLL_TIMEOUT) {
                None => {
                    if let Some(backlog) = &mut self.backlog {
                        backlog.take_ends_for_met();
                    }
                }
                Some(Ok(message)) => {
                    let call = recent_call(&message);
                    match &mut self.backlog {
                        Some(backlog) => backlog.add(&message, call),
                        None => {
                            if let Some(call) = call {
                                calls.add(call, clock::steady());
                            }
                        }
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(backlog) = &mut self.backlog {
                        *backlog.ends_met.entry(partition).or_default() += 1;
                    }
                }
                Some(Err(error)) => debug!(
                    error = &error as &dyn std::error::Error,
                    "trouble with the log's tail"
                ),
            }
        }
    }

    fn finish_backlog(&mut self, calls: &RecentCalls) {
        let Some(backlog) = self.backlog.take_if(|backlog| backlog.ends.is_empty()) else {
            return;
        };
        info!(calls = backlog.found.len(), "the log's tail is read");
        calls.add_tail(
            backlog.found,
            EventTime::from(clock::wall()),
            clock::steady(),
        );
    }
}

impl Backlog {
    fn add(&mut self, message: &BorrowedMessage<'_>, call: Option<RecentCall>) {
        self.found.extend(call);
        let Some(topic) = Topic::from_name(message.topic()) else {
            return;
        };
        let partition = (topic, message.partition());
        if self
            .ends
            .get(&partition)
            .is_some_and(|end| *end <= message.offset() + 1)
        {
            self.ends.remove(&partition);
        }
    }

    /// A partition may end in a transaction's marker, which no consumer is handed: then its end is met and nothing
    /// comes. Met twice is met by both topics.
    fn take_ends_for_met(&mut self) {
        let met = &self.ends_met;
        self.ends.retain(|(_, partition), _| {
            met.get(partition)
                .is_none_or(|times| *times < Topic::ALL.len())
        });
    }
}

fn consumer(settings: &LogSettings) -> Result<TailConsumer, KafkaError> {
    let mut config = client_config(settings);
    config
        .set("group.id", "producer-api")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_uncommitted")
        .set("fetch.error.backoff.ms", "100")
        // A few calls a second at most: what it reads ahead need not be much.
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.message.max.bytes", "1048576");
    with_properties(config, settings).create_with_context(LoggingContext)
}

fn partition_count(consumer: &TailConsumer, topic: Topic) -> Result<i32, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic.name()), ASK_TIMEOUT)?;
    let known = metadata
        .topics()
        .iter()
        .find(|known| known.name() == topic.name());
    match known.map(|known| known.partitions().len()) {
        None | Some(0) => Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition,
        )),
        Some(count) => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
    }
}

/// Where to begin, and where the partition ends: [`ID_MEMORY`] back, and bounded by number from both sides.
fn span(
    consumer: &TailConsumer,
    topic: Topic,
    partition: i32,
    records_max: usize,
) -> Result<(i64, i64), KafkaError> {
    let (low, end) = consumer.fetch_watermarks(topic.name(), partition, ASK_TIMEOUT)?;
    let since = EventTime::from(clock::wall()).minus(ID_MEMORY);
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic.name(), partition, Offset::Offset(since.as_millis()))?;
    let answered = consumer.offsets_for_times(asked, ASK_TIMEOUT)?;
    let by_time = match answered.elements().first().map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => offset,
        // Nothing is that young.
        _ => end,
    };
    let records_max = i64::try_from(records_max).unwrap_or(i64::MAX);
    let start = by_time
        .min(end - RECORDS_MIN)
        .max(end.saturating_sub(records_max));
    Ok((start.max(low), end))
}

/// What the record says of its call. `None`: it is not one of a call, so no client asks for it here.
fn recent_call(message: &BorrowedMessage<'_>) -> Option<RecentCall> {
    let place = Place {
        topic: Topic::from_name(message.topic())?,
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
    };
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| {
            let headers = headers.iter();
            headers
                .map(|header| (header.key, header.value.unwrap_or_default()))
                .collect()
        })
        .unwrap_or_default();
    let view = RecordView {
        place,
        time: EventTime::from_millis(message.timestamp().to_millis().unwrap_or(-1)),
        headers: &headers,
        value: message.payload(),
    };
    let Ok(Decoded::Event(recorded)) = decode(&view) else {
        return None;
    };
    let house = match &recorded.event {
        Event::Raised(alert) => Some((alert.line.clone(), alert.house.clone())),
        Event::Accepted(_) => None,
    };
    Some(RecentCall {
        id: recorded.event.id(),
        topic: place.topic,
        at: recorded.event.at(),
        place: Some(place),
        caller: tag(&headers, header::CALLER),
        key: tag(&headers, header::IDEMPOTENCY_KEY),
        house,
    })
}
