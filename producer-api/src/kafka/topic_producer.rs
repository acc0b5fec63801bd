//! One topic's producer: its connections, and a bound on the records in flight.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use log_client::{PolledProducer, RecordToSend};
use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{Producer, ProducerContext, PurgeConfig},
    types::RDKafkaErrorCode,
};
use service_kit::error_value;
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, warn};

use super::{
    append_error::AppendError,
    health::LogHealth,
    logging_context::{log_error, log_line},
    pending_delivery::{DeliveryReport, PendingDelivery, ReportedPosition},
    settings::LogSettings,
};
use crate::config::Delivery;

pub(super) type NativeProducer = PolledProducer<TopicProducerContext>;

pub(super) struct TopicProducer {
    config: ClientConfig,
    health: LogHealth,
    /// Replaced when librdkafka declares it dead, which an idempotent producer may be.
    producer: RwLock<Arc<NativeProducer>>,
    in_flight: Arc<Semaphore>,
    has_producer_id: Arc<AtomicBool>,
}

impl TopicProducer {
    pub(super) fn connect(
        settings: &LogSettings,
        in_flight_max: usize,
        health: LogHealth,
    ) -> Result<Self, KafkaError> {
        let config = producer_config(settings);
        // A producer that repeats nothing needs no id.
        let needs_producer_id = config.get("enable.idempotence") == Some("true");
        let has_producer_id = Arc::new(AtomicBool::new(!needs_producer_id));
        let context = TopicProducerContext {
            has_producer_id: Arc::clone(&has_producer_id),
        };
        let producer = RwLock::new(Arc::new(PolledProducer::connect(&config, context)?));
        Ok(Self {
            config,
            health,
            producer,
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            has_producer_id,
        })
    }

    /// Hands a record to librdkafka, once there is room among those in flight.
    pub(super) async fn send(
        &self,
        record: &RecordToSend<'_>,
    ) -> Result<PendingDelivery, AppendError> {
        let permit = Arc::clone(&self.in_flight)
            .acquire_owned()
            .await
            .expect("nobody closes the semaphore");
        let (sender, report) = oneshot::channel();
        self.producer()
            .send(record.with_opaque(Box::new(sender)))
            .map_err(|(error, _)| not_sent(error))?;
        Ok(PendingDelivery {
            topic: record.topic,
            report,
            health: self.health.clone(),
            _permit: permit,
        })
    }

    /// The producer has its id from the log, so its first record need not wait for one.
    pub(super) fn has_producer_id(&self) -> bool {
        self.has_producer_id.load(Ordering::Relaxed)
    }

    pub(super) fn producer(&self) -> Arc<NativeProducer> {
        self.producer
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Replaces a producer that will never send again. Its records get their reports when the last holder drops it.
    pub(super) fn replace_if_fatal(&self) {
        let Some((code, reason)) = self.producer().client().fatal_error() else {
            return;
        };
        error!(%code, reason, "a producer of the log died and is replaced");
        let context = TopicProducerContext {
            has_producer_id: Arc::clone(&self.has_producer_id),
        };
        match PolledProducer::connect(&self.config, context) {
            Ok(producer) => {
                *self
                    .producer
                    .write()
                    .expect("no holder of this lock panics") = Arc::new(producer)
            }
            Err(error) => error!(error = error_value(&error), "no new producer of the log"),
        }
    }

    /// Takes back what librdkafka still holds: a task that keeps this producer a little longer sends nothing more.
    pub(super) fn purge(&self) {
        let everything = PurgeConfig::default().queue().inflight();
        self.producer().purge(everything);
    }

    pub(super) fn flush(&self, patience: Duration) {
        if let Err(error) = self.producer().flush(patience) {
            warn!(
                error = error_value(&error),
                "records were still on their way to the log at the end"
            );
        }
    }
}

pub(super) fn producer_config(settings: &LogSettings) -> ClientConfig {
    let mut config = settings.client();
    config
        .set("acks", "all")
        .set("request.timeout.ms", "1000")
        .set("linger.ms", "0")
        .set(
            "message.timeout.ms",
            settings.message_timeout.as_millis().to_string(),
        )
        .set("partitioner", "murmur2_random")
        .set("compression.type", "none")
        // `in_flight` has a bound below this.
        .set("queue.buffering.max.messages", "100000")
        // Only to learn when the producer has its id.
        .set("statistics.interval.ms", "1000");
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
    settings.completed(config)
}

fn not_sent(error: KafkaError) -> AppendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => AppendError::ProducerQueueFull,
        Some(RDKafkaErrorCode::Fatal) => AppendError::Unavailable,
        _ => AppendError::NotStored(error),
    }
}

/// What librdkafka tells us besides delivery reports.
pub(super) struct TopicProducerContext {
    has_producer_id: Arc<AtomicBool>,
}

impl ClientContext for TopicProducerContext {
    fn stats_raw(&self, statistics: &[u8]) {
        // Once a second for ever: they are not read after they have said what they are for.
        if self.has_producer_id.load(Ordering::Relaxed) {
            return;
        }
        let statistics = serde_json::from_slice(statistics);
        let eos = statistics
            .ok()
            .and_then(|statistics: Statistics| statistics.eos);
        if eos.is_some_and(|eos| eos.idemp_state == "Assigned") {
            self.has_producer_id.store(true, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ProducerContext for TopicProducerContext {
    type DeliveryOpaque = Box<oneshot::Sender<DeliveryReport>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<oneshot::Sender<DeliveryReport>>) {
        let outcome = match result {
            Ok(message) => Ok(ReportedPosition {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        // The task that sent the record may have stopped waiting.
        let _receiver_dropped = report.send(outcome).is_err();
    }
}
