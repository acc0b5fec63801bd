//! The Kafka client: every partition of both topics, from `read_back` before its newest records to now, and then as it
//! comes.
//!
//! It assigns the partitions to itself: every gateway reads everything, and starts by the records' own times whatever was
//! committed and whatever this machine's clock says.
//! Its group, which an operator's tools show, is `group_member`'s.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use event_model::{DecodeError, EventTime, PARTITIONS, RecordView, Topic};
use log_client::{
    LogNodes, ReadUntilError, Span, assign, headers, offset_since, positions, read_until,
    reader_settings, record_view, spans,
};
use rdkafka::{ClientConfig, error::KafkaError, message::BorrowedMessage};
use service_kit::{clock::Clock, error_value};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Consumer, EventProjector, Moment, client_log::ClientLog, dead_letters::DeadLetters,
    group_member::GroupMember, watch::Watch,
};
use crate::{
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
const POLL: Duration = Duration::from_millis(500);
/// How long the log may be silent while it is read back. Longer than an election; then it is asked anew where it ends.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Records of each partition that are read in any case, however old: they say what time it is on the log's clock.
const TAIL: u64 = 1_000;
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
    /// Until the watch has it.
    member: Option<GroupMember>,
    watch: Option<JoinHandle<()>>,
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
        let dead_letters = DeadLetters::open(&config.log, &config.instance, client_log.clone())
            .map_err(FeedError::Settings)?;
        let member = GroupMember::open(config, client_log).map_err(FeedError::Settings)?;
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
            member: Some(member),
            watch: None,
            clocks_told_at: None,
        })
    }

    /// Reads until it is stopped.
    pub(crate) fn run(&mut self) -> Result<(), FeedError> {
        let Some(spans) = self.catch_up()? else {
            return Ok(());
        };
        self.watch(&spans)?;
        while !self.stop.is_cancelled() {
            self.read_one()?;
        }
        self.dead_letters.close();
        Ok(())
    }

    // ---- before it is ready ----

    /// Reads from `read_back` before the log's newest records to where it ended when it was asked, and tells the shards
    /// all of it. `None`: it was stopped.
    fn catch_up(&mut self) -> Result<Option<Vec<Span>>, FeedError> {
        let Some(spans) = self.read_back() else {
            return Ok(None);
        };
        let ends = spans.iter().map(|span| (span, span.end));
        assign(&self.consumer, ends).map_err(FeedError::Assign)?;
        let (reads, newest) = self.projector.collected(self.now());
        for read in reads {
            self.tell(&read, ShardCommand::Store)?;
        }
        for span in &spans {
            self.passed_on(&span.topic, span.partition, span.end);
        }
        self.event_clock.caught_up(newest);
        if self.event_clock.ahead_ms() != 0 {
            self.tell_clocks_differ();
        }
        let records: u64 = spans.iter().map(|span| span.end - span.start).sum();
        info!(records, "caught up with the log");
        self.readiness.caught_up();
        Ok(Some(spans))
    }

    /// Collects the tails of the partitions, or more where these do not reach `read_back`. The spans that were collected;
    /// `None`: it was stopped.
    fn read_back(&mut self) -> Option<Vec<Span>> {
        let mut from = ReadFrom::Tail;
        loop {
            let spans = self.wait_for_spans(from)?;
            match self.collect(&spans) {
                Ok(()) => match (from, self.not_reached_by(&spans)) {
                    (ReadFrom::Tail, Some(since)) => from = ReadFrom::Time(since),
                    _ => return Some(spans),
                },
                Err(ReadUntilError::Stopped) => return None,
                Err(error) => {
                    info!(
                        error = error_value(&error),
                        "the log was not read to its end: it is asked again where that is"
                    );
                    std::thread::sleep(ASK_AGAIN);
                }
            }
        }
    }

    /// Asks until the log answers and both topics are there: producer-api makes them.
    fn wait_for_spans(&self, from: ReadFrom) -> Option<Vec<Span>> {
        let mut last_problem = String::new();
        while !self.stop.is_cancelled() {
            match self.spans(from) {
                Ok(spans) => return Some(spans),
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

    fn spans(&self, from: ReadFrom) -> Result<Vec<Span>, String> {
        let mut all = Vec::new();
        for topic in Topic::ALL {
            let spans = spans(&self.consumer, topic.name(), ASK_WITHIN);
            let spans = spans.map_err(|error| error.to_string())?;
            if spans.is_empty() {
                return Err(format!("the topic {topic} is not there yet"));
            }
            if spans.len() != PARTITIONS.get() as usize {
                warn!(%topic, partitions = spans.len(), expected = PARTITIONS, "a line's partition differs from the producers'");
            }
            for span in spans {
                let start = self.start(&span, from).map_err(|error| error.to_string())?;
                all.push(Span { start, ..span });
            }
        }
        Ok(all)
    }

    fn start(&self, span: &Span, from: ReadFrom) -> Result<u64, KafkaError> {
        let tail = span.end.saturating_sub(TAIL).max(span.start);
        let ReadFrom::Time(since) = from else {
            return Ok(tail);
        };
        let found = offset_since(&self.consumer, span, since, ASK_WITHIN)?;
        Ok(found.map_or(tail, |offset| offset.clamp(span.start, tail)))
    }

    /// How far back the log must be read, where its tails do not reach.
    fn not_reached_by(&self, tails: &[Span]) -> Option<EventTime> {
        let newest = self
            .projector
            .newest_collected()
            .unwrap_or_else(|| self.now().wall);
        let since = newest.minus(self.read_back);
        let falls_short = |tail: &Span| {
            let reaches_back = |topic| self.projector.reaches_back(topic, tail.partition, since);
            0 < tail.start
                && tail.start + TAIL == tail.end
                && !Topic::from_name(&tail.topic).is_some_and(reaches_back)
        };
        tails.iter().any(falls_short).then_some(since)
    }

    /// Reads the spans to their ends.
    fn collect(&mut self, spans: &[Span]) -> Result<(), ReadUntilError> {
        let mut projector = EventProjector::default();
        let keep_reading = || !self.stop.is_cancelled();
        read_until(&self.consumer, spans, SILENT_MAX, keep_reading, |message| {
            with_record(message, |record| {
                if let Err(error) = projector.collect(record) {
                    tell_no_event(&error);
                }
            });
        })?;
        self.projector = projector;
        Ok(())
    }

    fn now(&self) -> Moment {
        Moment {
            elapsed: self.clock.elapsed(),
            wall: EventTime::from_millis(self.clock.wall_ms()),
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

    // ---- from then on ----

    /// On a thread of its own, which ends with this one's stop: its questions must not hold an alert up.
    fn watch(&mut self, spans: &[Span]) -> Result<(), FeedError> {
        let partition = |span: &Span| Some((Topic::from_name(&span.topic)?, span.partition));
        let watch = Watch {
            consumer: Arc::clone(&self.consumer),
            member: self.member.take().expect("the watch is started once"),
            partitions: spans.iter().filter_map(partition).collect(),
            shards: self.shards.clone(),
            clock: self.clock,
            readiness: self.readiness.clone(),
            stop: self.stop.clone(),
        };
        let thread = std::thread::Builder::new().name("feed-watch".to_owned());
        let started = thread.spawn(move || watch.run());
        self.watch = Some(started.map_err(FeedError::Thread)?);
        Ok(())
    }

    fn read_one(&mut self) -> Result<(), FeedError> {
        let message = match self.consumer.poll(POLL) {
            None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.pass_markers();
                return Ok(());
            }
            Some(Err(error)) => {
                // The client goes on by itself; what it cannot mend shows as lag and as a gateway that is not ready.
                debug!(error = error_value(&error), "the log does not answer");
                return Ok(());
            }
        };
        let now = self.now();
        let projected = with_record(&message, |record| {
            let (read, error) = self.projector.project(record, now);
            (read, error, record.place, record.time)
        });
        let Some((read, error, place, time)) = projected else {
            return Ok(());
        };
        let clocks_changed = self.event_clock.heard(time);
        if let Some(error) = error {
            tell_no_event(&error);
            self.dead_letters
                .keep(&message, read.topic, &error, now.wall);
        }
        drop(message);
        self.tell(&read, ShardCommand::Publish)?;
        self.passed_on(place.topic.name(), place.partition, place.offset + 1);
        if clocks_changed {
            self.tell_clocks_differ();
        }
        Ok(())
    }

    /// Behind the last record may stand what ends another client's transaction, which no client is handed.
    fn pass_markers(&self) {
        match positions(&self.consumer) {
            Ok(positions) => {
                for position in positions {
                    self.passed_on(&position.topic, position.partition, position.next);
                }
            }
            Err(error) => debug!(error = error_value(&error), "how far was read is not known"),
        }
    }

    /// The shards have all records of the partition before `next`.
    fn passed_on(&self, topic: &str, partition: u32, next: u64) {
        if let Some(topic) = Topic::from_name(topic) {
            self.readiness.read_to(topic, partition, next);
        }
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
}

/// Waits for the log to answer the last commit, and where no broker leads for ever: no thread that is waited for may do
/// that.
impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take()
            && watch.join().is_err()
        {
            warn!("the thread that watches the log panicked");
        }
    }
}

/// In the name that an operator sees, of the client as of its group.
fn settings(config: &Config) -> ClientConfig {
    let mut settings = reader_settings(&config.log, &format!("ws-gateway.{}", config.instance));
    settings.set("check.crcs", "true");
    if config.log_nodes == LogNodes::Several {
        // A partition that follows its leader to a broker a moment after another one waits for that one's fetch.
        settings.set("fetch.wait.max.ms", "100");
    }
    config.log_nodes.apply(&mut settings);
    settings
}

fn tell_no_event(error: &DecodeError) {
    warn!(
        error = error_value(error),
        "a record is no event and is passed over"
    );
}

/// Calls `use_it` with the message as a record of ours. `None`: of a topic that was not asked for.
fn with_record<T>(
    message: &BorrowedMessage<'_>,
    use_it: impl FnOnce(&RecordView<'_>) -> T,
) -> Option<T> {
    let headers = headers(message);
    record_view(message, &headers).map(|record| use_it(&record))
}
