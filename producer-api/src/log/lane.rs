//! One topic's way into the log: a producer, its connections, and a bound on what is under way.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use event_model::{Place, Topic};
use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{
        FutureProducer, FutureRecord, Producer,
        future_producer::{Delivery as Delivered, DeliveryFuture},
    },
    types::RDKafkaErrorCode,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error, info, warn};

use crate::config::Delivery;

use super::{
    AppendError, LogSettings, RecordToSend, client_config, outcome_of, watch::Reach,
    with_properties,
};

pub(super) type LaneProducer = FutureProducer<LaneContext>;

pub(super) struct Lane {
    config: ClientConfig,
    reach: Reach,
    /// Replaced when librdkafka declares it dead, which an idempotent producer may be.
    producer: RwLock<LaneProducer>,
    in_flight: Arc<Semaphore>,
    has_producer_id: Arc<AtomicBool>,
}

impl Lane {
    pub(super) fn connect(
        settings: &LogSettings,
        in_flight_max: usize,
        reach: Reach,
    ) -> Result<Self, KafkaError> {
        let config = producer_config(settings);
        // Who repeats nothing under an id needs none.
        let needs_producer_id = config.get("enable.idempotence") == Some("true");
        let has_producer_id = Arc::new(AtomicBool::new(!needs_producer_id));
        let context = LaneContext {
            has_producer_id: Arc::clone(&has_producer_id),
        };
        let producer = RwLock::new(config.create_with_context(context)?);
        Ok(Self {
            config,
            reach,
            producer,
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            has_producer_id,
        })
    }

    /// Hands a record to librdkafka, once the lane has room.
    pub(super) async fn send(&self, record: &RecordToSend<'_>) -> Result<Sending, AppendError> {
        let turn = Arc::clone(&self.in_flight)
            .acquire_owned()
            .await
            .expect("nobody closes the semaphore");
        let report = self
            .producer()
            .send_result(producer_record(record))
            .map_err(|(error, _)| not_sent(error))?;
        Ok(Sending {
            topic: record.topic,
            report,
            reach: self.reach.clone(),
            _turn: turn,
        })
    }

    /// The producer has its id from the log, so its first record need not wait for one.
    pub(super) fn is_warm(&self) -> bool {
        self.has_producer_id.load(Ordering::Relaxed)
    }

    pub(super) fn producer(&self) -> LaneProducer {
        self.producer
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Replaces a producer that will never send again. Its records get their reports when the last holder drops it.
    pub(super) fn revive(&self) {
        let Some((code, reason)) = self.producer().client().fatal_error() else {
            return;
        };
        error!(%code, reason, "a producer of the log died and is replaced");
        let context = LaneContext {
            has_producer_id: Arc::clone(&self.has_producer_id),
        };
        match self.config.create_with_context(context) {
            Ok(producer) => {
                *self
                    .producer
                    .write()
                    .expect("no holder of this lock panics") = producer
            }
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "no new producer of the log"
            ),
        }
    }

    pub(super) fn flush(&self, patience: Duration) {
        if let Err(error) = self.producer().flush(patience) {
            warn!(
                error = &error as &dyn std::error::Error,
                "records were still on their way to the log at the end"
            );
        }
    }
}

pub(super) fn producer_config(settings: &LogSettings) -> ClientConfig {
    let mut config = client_config(settings);
    config
        .set("acks", "all")
        .set("linger.ms", "0")
        .set(
            "message.timeout.ms",
            settings.message_timeout.as_millis().to_string(),
        )
        .set("partitioner", "murmur2_random")
        .set("compression.type", "none")
        // The lane's own bound is below this.
        .set("queue.buffering.max.messages", "100000")
        // Only to hear when the producer has its id.
        .set("statistics.interval.ms", "250");
    match settings.delivery {
        Delivery::AtMostOnce => config
            .set("enable.idempotence", "false")
            .set("retries", "0"),
        // More under way could overtake each other when one is sent again.
        Delivery::AtLeastOnce => config
            .set("enable.idempotence", "false")
            .set("max.in.flight", "1"),
        Delivery::ExactlyOnce => config.set("enable.idempotence", "true"),
    };
    with_properties(config, settings)
}

fn producer_record<'a>(record: &'a RecordToSend<'_>) -> FutureRecord<'a, [u8], [u8]> {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    let headers = record
        .headers
        .iter()
        .fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(*value),
            })
        });
    FutureRecord::to(record.topic.name())
        .key(record.key)
        .payload(record.value)
        .timestamp(record.timestamp.as_millis())
        .headers(headers)
}

/// A record that librdkafka has: its report comes, within librdkafka's own time limit. Dropped, it may be stored all
/// the same.
pub(crate) struct Sending {
    topic: Topic,
    report: DeliveryFuture,
    reach: Reach,
    _turn: OwnedSemaphorePermit,
}

impl Sending {
    /// Waits for the report, and returns what it says.
    ///
    /// # Cancel safety
    ///
    /// May be called again after it was dropped unfinished, and not after it has returned.
    pub(crate) async fn place(&mut self) -> Result<Place, AppendError> {
        // The sender of the report is dropped only with the producer itself.
        let report = (&mut self.report)
            .await
            .map_err(|_| AppendError::OutcomeUnknown(None))?;
        let delivered = report.map_err(|(error, _)| outcome_of(error))?;
        self.reach.seen();
        place_of(self.topic, &delivered).ok_or(AppendError::OutcomeUnknown(None))
    }
}

fn not_sent(error: KafkaError) -> AppendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => AppendError::LaneFull,
        Some(RDKafkaErrorCode::Fatal) => AppendError::Unavailable,
        _ => AppendError::NotNow(error),
    }
}

/// `None` for the -1 of an offset that the log does not tell.
fn place_of(topic: Topic, delivered: &Delivered) -> Option<Place> {
    let partition = u32::try_from(delivered.partition).ok()?;
    let offset = u64::try_from(delivered.offset).ok()?;
    Some(Place {
        topic,
        partition,
        offset,
    })
}

/// What librdkafka tells us besides delivery reports.
pub(super) struct LaneContext {
    has_producer_id: Arc<AtomicBool>,
}

impl ClientContext for LaneContext {
    fn stats(&self, statistics: Statistics) {
        if statistics
            .eos
            .is_some_and(|eos| eos.idemp_state == "Assigned")
        {
            self.has_producer_id.store(true, Ordering::Relaxed);
        }
    }

    /// librdkafka retries what these report; whether that helped is what the reports and the watch say.
    fn error(&self, error: KafkaError, reason: &str) {
        debug!(
            error = &error as &dyn std::error::Error,
            reason, "trouble with the log"
        );
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(facility, message, "from librdkafka");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                debug!(facility, message, "from librdkafka")
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                info!(facility, message, "from librdkafka")
            }
            RDKafkaLogLevel::Debug => debug!(facility, message, "from librdkafka"),
        }
    }
}
