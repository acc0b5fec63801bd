//! The reader: one partition after the other through a Kafka client, so the records come in the same order in every run.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use event_model::{RecordView, Topic};
use log_client::{ReadUntilError, Span, headers, read_until, record_view, spans};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use service_kit::clock;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::{Meter, Offsets, Window};

/// How long one question to the log may take before it is asked again.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two questions that are asked again.
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
        let consumer = log_client::reader_settings(&settings.log, "analytics-batch")
            // Small answers: a large one would stand in the way of an alert on the log's sockets and disk.
            .set("fetch.max.bytes", "1048576")
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
            for span in self.spans(topic)? {
                let Span { start, end, .. } = span;
                window.insert(topic, span.partition, Offsets { start, end });
            }
        }
        Ok(window)
    }

    /// The partitions of a topic, once it exists: producer-api may be about to create it.
    fn spans(&self, topic: Topic) -> Result<Vec<Span>, ReadError> {
        let began = clock::steady();
        loop {
            let spans = self.ask(|consumer, timeout| spans(consumer, topic.name(), timeout))?;
            if !spans.is_empty() {
                return Ok(spans);
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
        let span = Span {
            topic: topic.name().to_owned(),
            partition,
            start: offsets.start,
            end: offsets.end,
        };
        let (pace, began, stop) = (&mut self.pace, self.began, &self.stop);
        let keep_reading = || !stop.is_cancelled();
        let deadline = self.settings.deadline;
        let read = read_until(&self.consumer, &[span], deadline, keep_reading, |message| {
            let headers = headers(message);
            let Some(record) = record_view(message, &headers) else {
                return;
            };
            take(&record);
            position = record.place.offset + 1;
            progress(position);
            let rest = pace.read(bytes_of(message, &headers), began.elapsed());
            if REST_MIN <= rest {
                std::thread::sleep(rest);
            }
        });
        read.map_err(|error| match error {
            ReadUntilError::Stopped => ReadError::Stopped,
            ReadUntilError::Stalled { waited } => ReadError::Stalled {
                topic,
                partition,
                offset: position,
                end: offsets.end,
                waited,
            },
            ReadUntilError::Client(source) => ReadError::Partition {
                topic,
                partition,
                offset: position,
                source,
            },
        })
    }
}

/// About what the record took on its way.
fn bytes_of(message: &BorrowedMessage<'_>, headers: &[(&str, &[u8])]) -> usize {
    let headers = headers.iter().map(|(name, value)| name.len() + value.len());
    message.key_len() + message.payload_len() + headers.sum::<usize>()
}
