//! The log as calls are sent to it: a producer for each topic.

use std::time::Duration;

use event_model::{RecordPosition, Topic};
use log_client::RecordToSend;
use rdkafka::error::KafkaError;
use tokio::time::{Instant, timeout_at};

use super::{
    append_error::AppendError, health::LogHealth, pending_delivery::PendingDelivery,
    settings::LogSettings, topic_producer::TopicProducer,
};

/// What became of a record by its deadline.
pub(crate) enum AppendOutcome {
    /// It is in the log, at a place that its report may not have said.
    Stored(Option<RecordPosition>),
    /// No report of it is to come.
    Failed(AppendError),
    /// librdkafka has it, and will report.
    Late(PendingDelivery),
}

/// Sends records to the log: each topic through a producer of its own.
pub(crate) struct LogProducer {
    alerts: TopicProducer,
    accepts: TopicProducer,
    health: LogHealth,
}

impl LogProducer {
    pub(crate) fn connect(settings: &LogSettings) -> Result<Self, KafkaError> {
        let health = LogHealth::default();
        let alerts =
            TopicProducer::connect(settings, settings.alerts_in_flight_max, health.clone())?;
        let accepts =
            TopicProducer::connect(settings, settings.accepts_in_flight_max, health.clone())?;
        Ok(Self {
            alerts,
            accepts,
            health,
        })
    }

    /// Appends one record, as far as that can be told by `deadline`.
    pub(crate) async fn append(
        &self,
        record: &RecordToSend<'_>,
        deadline: Instant,
    ) -> AppendOutcome {
        let mut delivery = match self.send(record, deadline).await {
            Ok(delivery) => delivery,
            Err(error) => return AppendOutcome::Failed(error),
        };
        match timeout_at(deadline, delivery.delivered()).await {
            Ok(Ok(place)) => AppendOutcome::Stored(place),
            Ok(Err(error)) => AppendOutcome::Failed(error),
            Err(_) => AppendOutcome::Late(delivery),
        }
    }

    /// Hands one record to librdkafka, which reports within its own time limit; waits for the topics and
    /// for room among the records in flight until `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, nothing is sent.
    async fn send(
        &self,
        record: &RecordToSend<'_>,
        deadline: Instant,
    ) -> Result<PendingDelivery, AppendError> {
        self.health.wait_for_topics(deadline).await?;
        timeout_at(deadline, self.topic_producer(record.topic).send(record))
            .await
            .map_err(|_| AppendError::ProducerQueueFull)?
    }

    /// As [`send`](Self::send) without a deadline: for the outbox.
    pub(crate) async fn send_when_possible(
        &self,
        record: &RecordToSend<'_>,
    ) -> Result<PendingDelivery, AppendError> {
        self.health.wait_until_available().await;
        self.topic_producer(record.topic).send(record).await
    }

    pub(crate) fn health(&self) -> &LogHealth {
        &self.health
    }

    /// Whether the next record would go straight through, or what is in its way.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if let Some(trouble) = self.health.unready_reason() {
            return Err(trouble);
        }
        if self.has_producer_id() {
            Ok(())
        } else {
            Err("the log has not given the producers their ids yet".to_owned())
        }
    }

    /// The producers have their ids.
    pub(crate) fn has_producer_id(&self) -> bool {
        self.alerts.has_producer_id() && self.accepts.has_producer_id()
    }

    pub(super) fn topic_producer(&self, topic: Topic) -> &TopicProducer {
        match topic {
            Topic::Alert => &self.alerts,
            // No route writes a life event.
            Topic::Accept | Topic::Life => &self.accepts,
        }
    }

    /// Takes back what librdkafka still holds: those calls wait in the outbox, or their clients were told. What was on the wire may be
    /// stored all the same.
    pub(crate) fn purge(&self) {
        self.alerts.purge();
        self.accepts.purge();
    }

    /// Blocks while librdkafka sends what it still holds.
    pub(crate) fn flush(&self, patience: Duration) {
        self.alerts.flush(patience);
        self.accepts.flush(patience);
    }
}
