//! Records that cannot be read: kept whole, with what is known of them, in a topic beside their own.
//!
//! Reading one again gives the same, so there is one attempt, and the feed goes on at once: an alert behind a bad
//! record must not wait for it. Every gateway reads every record, so each keeps its own copy; a program that counts them goes
//! by the place in the headers.

use std::time::Duration;

use event_model::{DecodeError, EventTime, Topic, dead_letter};
use log_client::{PolledProducer, owned_headers, settings};
use rdkafka::{
    Message,
    client::ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{BorrowedMessage, DeliveryResult, Headers},
    producer::{BaseRecord, Producer, ProducerContext},
};
use service_kit::error_value;
use tracing::warn;

use super::client_log::ClientLog;
use crate::metrics;

/// How long a stop waits for what is on its way.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The writer of dead letters.
pub(super) struct DeadLetters {
    writer: PolledProducer<DeliveryReports>,
    reader: String,
}

/// Hears what became of each.
struct DeliveryReports(ClientLog);

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        match report {
            Ok(_) => metrics::dead_letter("kept"),
            Err((error, _)) => lost(error),
        }
    }
}

impl DeadLetters {
    pub(super) fn open(
        log: &str,
        instance: &str,
        client_log: ClientLog,
    ) -> Result<Self, KafkaError> {
        let reader = format!("ws-gateway.{instance}");
        let mut settings = settings(log, &format!("{reader}.dead-letters"));
        settings
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "60000");
        let writer = PolledProducer::connect(&settings, DeliveryReports(client_log))?;
        Ok(Self { writer, reader })
    }

    /// Sends the record as it is, with the reason, to the same partition of the topic of dead letters. Does not wait.
    pub(super) fn keep(
        &self,
        message: &BorrowedMessage<'_>,
        topic: Topic,
        error: &DecodeError,
        now: EventTime,
    ) {
        let facts = [
            (dead_letter::TOPIC, message.topic().to_owned()),
            (dead_letter::PARTITION, message.partition().to_string()),
            (dead_letter::OFFSET, message.offset().to_string()),
            (dead_letter::ERROR, error.to_string()),
            (dead_letter::ATTEMPTS, "1".to_owned()),
            (dead_letter::TIME, now.to_string()),
            (dead_letter::READER, self.reader.clone()),
        ];
        let facts = facts
            .iter()
            .map(|(key, value)| (*key, Some(value.as_bytes())));
        let original = message.headers().into_iter().flat_map(Headers::iter);
        let original = original.map(|header| (header.key, header.value));
        let mut letter = BaseRecord::<[u8], [u8]>::to(topic.dead_letter_name())
            .partition(message.partition())
            .headers(owned_headers(original.chain(facts)));
        letter.key = message.key();
        letter.payload = message.payload();
        if let Err((error, _)) = self.writer.send(letter) {
            lost(&error);
        }
    }

    /// Waits a little for what is on its way.
    pub(super) fn close(&self) {
        if let Err(error) = self.writer.flush(FLUSH_WITHIN) {
            lost(&error);
        }
    }
}

/// The record itself is still where it was.
fn lost(error: &KafkaError) {
    metrics::dead_letter("not_kept");
    warn!(
        error = error_value(error),
        "a dead letter could not be kept"
    );
}
