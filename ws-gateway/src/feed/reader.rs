//! The Kafka client: every partition of both topics, from `read_back` before its newest records to now, and then as it
//! comes.
//!
//! It assigns the partitions to itself: every gateway reads everything, and starts by the records' own times whatever was
//! committed and whatever this machine's clock says.
//! What it commits, to a group of its own, only shows its lag to an operator's tools.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event_model::{EventTime, PARTITIONS, Place, RecordView, Topic};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Consumer, EventProjector, Moment, client_log::ClientLog, dead_letters::DeadLetters,
    watch::Watch,
};
use crate::{
    clock::Clock,
    config::Config,
    event_clock::{EventClock, TOLERANCE},
    readiness::Readiness,
    shard::{ReadRecord, ShardCommand, ShardEnded, ShardHandle},
};

/// How long one request to the log may take before it is asked again.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait for a topic that is not there yet, or a log that does not answer.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long one wait for records lasts: how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// Records of each partition that are read in any case, however old: they say what time it is on the log's clock.
const TAIL: i64 = 1_000;
/// How often the place reached is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// How often an operator is told at most that clocks differ, or agree again.
const CLOCKS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Why the feed ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The client's settings are refused: the address of the log cannot be one.
    #[error("the client of the log refuses its settings")]
    Settings(#[source] KafkaError),
    /// The partitions cannot be assigned.
    #[error("assign the partitions of the log")]
    Assign(#[source] KafkaError),
    /// The thread that asks whether the log answers cannot be started.
    #[error("start the thread that watches the log")]
    Thread(#[source] std::io::Error),
    /// A shard is gone.
    #[error("a shard has ended")]
    ShardEnded,
}

impl From<ShardEnded> for FeedError {
    fn from(_: ShardEnded) -> Self {
        FeedError::ShardEnded
    }
}

/// From where on the log is read.
#[derive(Debug, Clone, Copy)]
enum ReadFrom {
    /// Its last records.
    Tail,
    /// All from the first of this time on.
    Time(EventTime),
}

/// Where the log begins for this gateway, and where it ended when it was asked.
#[derive(Debug, Clone, Copy)]
struct OffsetRange {
    start: i64,
    end: i64,
}

type OffsetRanges = BTreeMap<(Topic, u32), OffsetRange>;

/// The reader's thread.
pub(crate) struct Feed {
    consumer: Arc<Consumer>,
    dead_letters: DeadLetters,
    projector: EventProjector,
    shards: Vec<ShardHandle>,
    clock: Clock,
    event_clock: Arc<EventClock>,
    read_back: Duration,
    readiness: Readiness,
    stop: CancellationToken,
    committed_at: Duration,
    clocks_told_at: Option<Duration>,
}

impl Feed {
    pub(crate) fn new(
        config: &Config,
        shards: Vec<ShardHandle>,
        clock: Clock,
        event_clock: Arc<EventClock>,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> Result<Self, FeedError> {
        let client_log = ClientLog::new(clock);
        let consumer: Consumer = settings(config)
            .create_with_context(client_log.clone())
            .map_err(FeedError::Settings)?;
        let consumer = Arc::new(consumer);
        let dead_letters = DeadLetters::open(&config.log, &config.instance, client_log)
            .map_err(FeedError::Settings)?;
        Ok(Self {
            consumer,
            dead_letters,
            projector: EventProjector::default(),
            shards,
            clock,
            event_clock,
            read_back: config.read_back,
            readiness,
            stop,
            committed_at: Duration::ZERO,
            clocks_told_at: None,
        })
    }

    /// Reads until it is stopped. Dropping the feed afterwards waits for the log to answer the last commit, and where no
    /// broker leads for ever: no thread that is waited for may do that.
    pub(crate) fn run(&mut self) -> Result<(), FeedError> {
        let Some(ranges) = self.catch_up()? else {
            return Ok(());
        };
        self.watch(&ranges)?;
        while !self.stop.is_cancelled() {
            self.read_one()?;
            self.commit_now_and_then();
        }
        self.commit();
        self.dead_letters.close();
        Ok(())
    }

    // ---- before it is ready ----

    /// Asks until the log answers and both topics are there: producer-api makes them.
    fn wait_for_ranges(&self, from: ReadFrom) -> Option<OffsetRanges> {
        let mut last_problem = String::new();
        while !self.stop.is_cancelled() {
            match self.ranges(from) {
                Ok(ranges) => return Some(ranges),
                Err(problem) if problem != last_problem => {
                    info!(problem, "waiting for the log");
                    last_problem = problem;
                }
                Err(_) => {}
            }
            std::thread::sleep(ASK_AGAIN);
        }
        None
    }

    fn ranges(&self, from: ReadFrom) -> Result<OffsetRanges, String> {
        let mut ranges = OffsetRanges::new();
        for topic in Topic::ALL {
            for partition in 0..self.partitions(topic)? {
                ranges.insert((topic, partition), self.range(topic, partition, from)?);
            }
        }
        Ok(ranges)
    }

    fn partitions(&self, topic: Topic) -> Result<u32, String> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic.name()), ASK_WITHIN)
            .map_err(|error| error.to_string())?;
        let found = metadata
            .topics()
            .iter()
            .find(|known| known.name() == topic.name());
        let partitions = found.map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(format!("the topic {topic} is not there yet"));
        }
        let partitions = u32::try_from(partitions).map_err(|error| error.to_string())?;
        if partitions != PARTITIONS.get() {
            warn!(%topic, partitions, expected = PARTITIONS, "a line's partition differs from the producers'");
        }
        Ok(partitions)
    }

    fn range(&self, topic: Topic, partition: u32, from: ReadFrom) -> Result<OffsetRange, String> {
        let partition = i32::try_from(partition).map_err(|error| error.to_string())?;
        let (low, end) = self
            .consumer
            .fetch_watermarks(topic.name(), partition, ASK_WITHIN)
            .map_err(|error| error.to_string())?;
        let tail = (end - TAIL).max(low);
        let ReadFrom::Time(since) = from else {
            return Ok(OffsetRange { start: tail, end });
        };
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset(
                topic.name(),
                partition,
                Offset::Offset(since.as_millis().max(0)),
            )
            .map_err(|error| error.to_string())?;
        let found = self
            .consumer
            .offsets_for_times(asked, ASK_WITHIN)
            .map_err(|error| error.to_string())?;
        let offset = found
            .elements()
            .first()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::offset);
        let start = match offset {
            Some(Offset::Offset(offset)) => offset.clamp(low, tail),
            // Nothing is that young.
            _ => tail,
        };
        Ok(OffsetRange { start, end })
    }

    fn assign(&self, ranges: &OffsetRanges) -> Result<(), FeedError> {
        let mut assignment = TopicPartitionList::new();
        for ((topic, partition), range) in ranges {
            let partition = i32::try_from(*partition).expect("it came from the client as one");
            assignment
                .add_partition_offset(topic.name(), partition, Offset::Offset(range.start))
                .map_err(FeedError::Assign)?;
        }
        self.consumer.assign(&assignment).map_err(FeedError::Assign)
    }

    /// Reads from `read_back` before the log's newest records to where it ended when it was asked, and tells the shards
    /// all of it. `None`: it was stopped.
    fn catch_up(&mut self) -> Result<Option<OffsetRanges>, FeedError> {
        let Some(mut ranges) = self.wait_for_ranges(ReadFrom::Tail) else {
            return Ok(None);
        };
        let mut records = self.collect(&ranges)?;
        if let Some(since) = self.not_reached_by(&ranges) {
            self.projector = EventProjector::default();
            match self.wait_for_ranges(ReadFrom::Time(since)) {
                Some(further) => ranges = further,
                None => return Ok(None),
            }
            records = self.collect(&ranges)?;
        }
        let (reads, newest) = self.projector.collected(self.now());
        for read in reads {
            self.tell(&read, ShardCommand::Store)?;
        }
        self.event_clock.caught_up(newest);
        if self.event_clock.ahead_ms() != 0 {
            self.tell_clocks_differ();
        }
        info!(records, "caught up with the log");
        self.readiness.caught_up();
        Ok(Some(ranges))
    }

    /// How far back the log must be read, where its tails do not reach.
    fn not_reached_by(&self, tails: &OffsetRanges) -> Option<EventTime> {
        let newest = self
            .projector
            .newest_collected()
            .unwrap_or_else(|| self.clock.event_time());
        let since = newest.minus(self.read_back);
        let falls_short = |((topic, partition), range): (&(Topic, u32), &OffsetRange)| {
            0 < range.start
                && range.start + TAIL == range.end
                && !self.projector.reaches_back(*topic, *partition, since)
        };
        tails.iter().any(falls_short).then_some(since)
    }

    /// Reads the ranges to their ends. How many records that were.
    fn collect(&mut self, ranges: &OffsetRanges) -> Result<u64, FeedError> {
        self.assign(ranges)?;
        let mut missing: BTreeMap<(Topic, u32), i64> = ranges
            .iter()
            .filter(|(_, range)| range.start < range.end)
            .map(|(key, range)| (*key, range.end))
            .collect();
        let mut records = 0u64;
        while !missing.is_empty() && !self.stop.is_cancelled() {
            let Some(place) = self.collect_one() else {
                continue;
            };
            records += 1;
            let key = (place.topic, place.partition);
            let is_last = |end: &i64| *end <= i64::try_from(place.offset).unwrap_or(i64::MAX) + 1;
            if missing.get(&key).is_some_and(is_last) {
                missing.remove(&key);
            }
        }
        for ((topic, partition), range) in ranges {
            let end = u64::try_from(range.end).unwrap_or(0);
            self.readiness.read_to(*topic, *partition, end);
        }
        Ok(records)
    }

    fn now(&self) -> Moment {
        Moment {
            elapsed: self.clock.elapsed(),
            wall: self.clock.event_time(),
        }
    }

    /// Records of an api whose clock is wrong and of one whose clock is right alternate: the gauge says at once how it
    /// stands, the log says it once a minute.
    fn tell_clocks_differ(&mut self) {
        let now = self.clock.elapsed();
        if self
            .clocks_told_at
            .is_some_and(|told| now < told + CLOCKS_TOLD_EVERY)
        {
            return;
        }
        self.clocks_told_at = Some(now);
        let ahead_ms = self.event_clock.ahead_ms();
        if ahead_ms == 0 {
            info!("the clocks of this gateway and of the log's records agree again");
        } else {
            warn!(
                ahead_ms,
                tolerance_ms = TOLERANCE.as_millis(),
                "the clocks of this gateway and of the log's records differ: one of them is wrong"
            );
        }
    }

    fn collect_one(&mut self) -> Option<Place> {
        let message = poll(&self.consumer)?;
        with_record(&message, |record| {
            if let Err(error) = self.projector.collect(record) {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a record is no event and is passed over"
                );
            }
            record.place
        })
    }

    // ---- from then on ----

    /// On a thread of its own, which ends with this one's stop: its questions must not hold an alert up.
    fn watch(&self, ranges: &OffsetRanges) -> Result<(), FeedError> {
        let watch = Watch {
            consumer: Arc::clone(&self.consumer),
            partitions: ranges.keys().copied().collect(),
            shards: self.shards.clone(),
            clock: self.clock,
            readiness: self.readiness.clone(),
            stop: self.stop.clone(),
        };
        let thread = std::thread::Builder::new().name("feed-watch".to_owned());
        thread
            .spawn(move || watch.run())
            .map_err(FeedError::Thread)?;
        Ok(())
    }

    fn read_one(&mut self) -> Result<(), FeedError> {
        let Some(message) = poll(&self.consumer) else {
            return Ok(());
        };
        let now = self.now();
        let digested = with_record(&message, |record| {
            (
                self.projector.project(record, now),
                record.place,
                record.time,
            )
        });
        let Some(((read, error), place, time)) = digested else {
            return Ok(());
        };
        let clocks_changed = self.event_clock.heard(time);
        if let Some(error) = error {
            warn!(
                error = &error as &dyn std::error::Error,
                "a record is no event and is passed over"
            );
            self.dead_letters
                .keep(&message, read.topic, &error, self.clock.wall());
        }
        drop(message);
        self.tell(&read, ShardCommand::Publish)?;
        self.readiness
            .read_to(place.topic, place.partition, place.offset + 1);
        if clocks_changed {
            self.tell_clocks_differ();
        }
        Ok(())
    }

    fn tell(
        &self,
        read: &ReadRecord,
        command: impl Fn(ReadRecord) -> ShardCommand,
    ) -> Result<(), FeedError> {
        for shard in &self.shards {
            shard.send_blocking(command(read.clone()))?;
        }
        Ok(())
    }

    fn commit_now_and_then(&mut self) {
        let now = self.clock.elapsed();
        if self.committed_at + COMMIT_EVERY <= now {
            self.committed_at = now;
            self.commit();
        }
    }

    /// Only shown to people: an error here is no one's problem but theirs.
    fn commit(&self) {
        match self.consumer.commit_consumer_state(CommitMode::Async) {
            Ok(())
            | Err(KafkaError::ConsumerCommit(rdkafka::types::RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "the lag is not shown"
            ),
        }
    }
}

fn settings(config: &Config) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.log)
        .set("client.id", format!("ws-gateway.{}", config.instance))
        .set("group.id", format!("ws-gateway.{}", config.instance))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "true")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        // No program of ours writes transactions; one of another client must not keep a call unheard until it ends.
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        // A partition that follows its leader to a broker a moment after another one waits for that one's fetch.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "50")
        .set("socket.connection.setup.timeout.ms", "1000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("topic.metadata.refresh.fast.interval.ms", "100")
        // Asked right after its death, the others still name the leader that was: unless we ask again before it does so
        // by itself, librdkafka waits a second.
        .set("topic.metadata.refresh.interval.ms", "250")
        // By default three refreshes: an election must not make it forget the topics.
        .set("metadata.max.age.ms", "900000");
    settings
}

fn poll(consumer: &Consumer) -> Option<BorrowedMessage<'_>> {
    match consumer.poll(POLL)? {
        Ok(message) => Some(message),
        Err(error) => {
            // The client goes on by itself; what it cannot mend shows as lag and as a gateway that is not ready.
            debug!(
                error = &error as &dyn std::error::Error,
                "the log does not answer"
            );
            None
        }
    }
}

/// Calls `use_it` with the message as a record of ours. `None`: of a topic that was not asked for.
fn with_record<T>(
    message: &BorrowedMessage<'_>,
    use_it: impl FnOnce(&RecordView<'_>) -> T,
) -> Option<T> {
    let place = Place {
        topic: Topic::from_name(message.topic())?,
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
    };
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| {
            headers
                .iter()
                .map(|header| (header.key, header.value.unwrap_or_default()))
                .collect()
        })
        .unwrap_or_default();
    let time = EventTime::from_millis(message.timestamp().to_millis().unwrap_or_default());
    Some(use_it(&RecordView {
        place,
        time,
        headers: &headers,
        value: message.payload(),
    }))
}
