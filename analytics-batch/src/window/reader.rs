//! The reader: one partition after the other through a Kafka client, so the records come in the same order in every run.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use event_model::{EventTime, Place, RecordView, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use service_kit::clock;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::{Meter, Offsets, Window};

/// How long one question to the log may take before it is asked again.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the reader waits for a record before it looks whether it should stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Rests shorter than this are saved up: the scheduler could not keep them.
const REST_MIN: Duration = Duration::from_millis(5);

/// Why the log could not be read. Nothing was written anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client refuses its settings.
    #[error("the log's client refuses its settings for {log}")]
    Client {
        /// Kafka's `bootstrap.servers`, as they were given.
        log: String,
        /// What it says.
        #[source]
        source: KafkaError,
    },
    /// No broker answers there.
    #[error("the log at {log} does not answer within {waited:.1?}")]
    Unreachable {
        /// Kafka's `bootstrap.servers`, as they were given.
        log: String,
        /// How long it was waited for.
        waited: Duration,
        /// The last try.
        #[source]
        source: KafkaError,
    },
    /// The log has no such topic: nothing was ever written, or this is another log.
    #[error("the log at {log} has no topic {topic}; producer-api creates it when it starts")]
    NoTopic {
        /// Kafka's `bootstrap.servers`, as they were given.
        log: String,
        /// The topic that is missing.
        topic: Topic,
    },
    /// A partition cannot be read.
    #[error("{topic}-{partition}: read from offset {offset}")]
    Partition {
        /// The partition's topic.
        topic: Topic,
        /// The partition, from 0.
        partition: u32,
        /// Where the reading was.
        offset: u64,
        /// What the client says.
        #[source]
        source: KafkaError,
    },
    /// A partition has records left, but none comes.
    #[error(
        "{topic}-{partition}: no record from offset {offset} on within {waited:.1?}, {end} is the end"
    )]
    Stalled {
        /// The partition's topic.
        topic: Topic,
        /// The partition, from 0.
        partition: u32,
        /// Where the reading was.
        offset: u64,
        /// Where it should end.
        end: u64,
        /// How long a record was waited for.
        waited: Duration,
    },
    /// The run was told to stop.
    #[error("told to stop while reading")]
    Stopped,
}

/// How to read.
#[derive(Clone, Debug)]
pub(crate) struct ReaderSettings {
    pub(crate) log: String,
    pub(crate) bytes_per_second: NonZeroU64,
    pub(crate) deadline: Duration,
}

/// A client that reads both topics. Blocks: it belongs on a thread of its own.
pub(crate) struct Reader {
    settings: ReaderSettings,
    consumer: BaseConsumer,
    stop: CancellationToken,
    pace: Pace,
    began: Instant,
}

impl Reader {
    pub(crate) fn new(
        settings: ReaderSettings,
        stop: CancellationToken,
    ) -> Result<Self, ReadError> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.log)
            // The client wants the name of a group even where partitions are assigned by hand; no offset is ever committed.
            .set("group.id", "analytics-batch")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            // No program of ours writes transactions; one of another client must not keep a call unheard until it ends.
            .set("isolation.level", "read_uncommitted")
            // Small answers: a large one would stand in the way of an alert on the log's sockets and disk.
            .set("fetch.max.bytes", "1048576")
            .set("max.partition.fetch.bytes", "1048576")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.error.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("socket.connection.setup.timeout.ms", "1000")
            .create()
            .map_err(|source| ReadError::Client {
                log: settings.log.clone(),
                source,
            })?;
        let pace = Pace::new(settings.bytes_per_second);
        Ok(Self {
            settings,
            consumer,
            stop,
            pace,
            began: clock::steady(),
        })
    }

    /// Asks what there is to read now.
    pub(crate) fn window(&self) -> Result<Window, ReadError> {
        let mut window = Window::default();
        for topic in Topic::ALL {
            for partition in self.partitions(topic)? {
                let (start, end) = self.ask(|consumer, timeout| {
                    consumer.fetch_watermarks(topic.name(), partition.cast_signed(), timeout)
                })?;
                window.insert(
                    topic,
                    partition,
                    Offsets {
                        start: offset(start),
                        end: offset(end),
                    },
                );
            }
        }
        Ok(window)
    }

    /// The partitions of a topic, once it exists: producer-api may be about to create it.
    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        let began = clock::steady();
        loop {
            let metadata =
                self.ask(|consumer, timeout| consumer.fetch_metadata(Some(topic.name()), timeout))?;
            let found = metadata
                .topics()
                .iter()
                .find(|found| found.name() == topic.name() && found.error().is_none());
            let mut partitions: Vec<u32> = found
                .into_iter()
                .flat_map(|found| found.partitions())
                .map(|partition| partition.id().cast_unsigned())
                .collect();
            if !partitions.is_empty() {
                partitions.sort_unstable();
                return Ok(partitions);
            }
            if self.settings.deadline <= began.elapsed() {
                return Err(ReadError::NoTopic {
                    log: self.settings.log.clone(),
                    topic,
                });
            }
            self.rest(POLL_TIMEOUT)?;
        }
    }

    /// Asks again until there is an answer or the deadline has passed.
    fn ask<T>(
        &self,
        question: impl Fn(&BaseConsumer, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, ReadError> {
        let began = clock::steady();
        loop {
            let left = self.settings.deadline.saturating_sub(began.elapsed());
            let source = match question(&self.consumer, left.min(ASK_TIMEOUT)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let waited = began.elapsed();
            if self.settings.deadline <= waited {
                return Err(ReadError::Unreachable {
                    log: self.settings.log.clone(),
                    waited,
                    source,
                });
            }
            self.rest(POLL_TIMEOUT)?;
        }
    }

    fn rest(&self, duration: Duration) -> Result<(), ReadError> {
        if self.stop.is_cancelled() {
            return Err(ReadError::Stopped);
        }
        std::thread::sleep(duration);
        Ok(())
    }

    /// Reads everything in the window, in order of topic, partition and offset.
    pub(crate) fn read(
        &mut self,
        window: &Window,
        meter: &mut Meter,
        mut take: impl FnMut(&RecordView<'_>),
    ) -> Result<(), ReadError> {
        let mut done = 0;
        for (topic, partition, offsets) in window.iter().filter(|(.., offsets)| !offsets.is_empty())
        {
            let progress = |position: u64, meter: &mut Meter| {
                meter.set(done + position.saturating_sub(offsets.start))
            };
            self.read_partition(
                topic,
                partition,
                offsets,
                |position| progress(position, meter),
                &mut take,
            )?;
            done += offsets.len();
            meter.set(done);
        }
        Ok(())
    }

    fn read_partition(
        &mut self,
        topic: Topic,
        partition: u32,
        offsets: Offsets,
        mut progress: impl FnMut(u64),
        take: &mut impl FnMut(&RecordView<'_>),
    ) -> Result<(), ReadError> {
        let mut position = offsets.start;
        let failed = |offset, source| ReadError::Partition {
            topic,
            partition,
            offset,
            source,
        };
        self.assign(topic, partition, offsets.start)
            .map_err(|source| failed(position, source))?;
        let mut last_record = clock::steady();
        while position < offsets.end {
            if self.stop.is_cancelled() {
                return Err(ReadError::Stopped);
            }
            match self.consumer.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let at = offset(message.offset());
                    // What was written after the window was taken belongs to the next report.
                    if offsets.end <= at {
                        break;
                    }
                    position = at + 1;
                    let bytes = hand_over(
                        &message,
                        Place {
                            topic,
                            partition,
                            offset: at,
                        },
                        take,
                    );
                    progress(position);
                    let rest = self.pace.read(bytes, self.began.elapsed());
                    if REST_MIN <= rest {
                        std::thread::sleep(rest);
                    }
                    // The rest was ours: the log did not keep us waiting.
                    last_record = clock::steady();
                }
                // The rest of the window holds no record for us: markers of transactions, or aborted ones.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                // The client mends what may pass by itself, and says so.
                Some(Err(error)) if !is_final(&error) => {}
                Some(Err(source)) => return Err(failed(position, source)),
                None => {}
            }
            let waited = last_record.elapsed();
            if self.settings.deadline <= waited {
                return Err(ReadError::Stalled {
                    topic,
                    partition,
                    offset: position,
                    end: offsets.end,
                    waited,
                });
            }
        }
        self.consumer
            .unassign()
            .map_err(|source| failed(position, source))
    }

    fn assign(&self, topic: Topic, partition: u32, start: u64) -> Result<(), KafkaError> {
        let start = i64::try_from(start).expect("an offset came from an i64");
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(
            topic.name(),
            partition.cast_signed(),
            Offset::Offset(start),
        )?;
        self.consumer.assign(&assignment)
    }
}

/// Kafka's offsets are signed, and negative only where they stand for "none".
fn offset(raw: i64) -> u64 {
    u64::try_from(raw).unwrap_or(0)
}

fn is_final(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            Code::Fatal
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
        )
    )
}

/// Shows a record to `take` and returns its size in bytes.
fn hand_over(
    message: &BorrowedMessage<'_>,
    place: Place,
    take: &mut impl FnMut(&RecordView<'_>),
) -> usize {
    let headers: Vec<(&str, &[u8])> = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect()
    });
    let time = EventTime::from_millis(message.timestamp().to_millis().unwrap_or(0));
    take(&RecordView {
        place,
        time,
        headers: &headers,
        value: message.payload(),
    });
    let headers_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    message.key_len() + message.payload_len() + headers_bytes
}
