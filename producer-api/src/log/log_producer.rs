//! The log as calls are sent to it: a lane for each topic.

use std::time::Duration;

use event_model::Topic;
use rdkafka::error::KafkaError;
use tokio::time::{Instant, timeout_at};

use super::{
    append_error::AppendError,
    health::Reach,
    lane::{Lane, Sending},
    record::RecordToSend,
    settings::LogSettings,
};

/// The log, as this door sees it.
pub(crate) struct Log {
    alerts: Lane,
    accepts: Lane,
    reach: Reach,
}

impl Log {
    pub(crate) fn connect(settings: &LogSettings) -> Result<Self, KafkaError> {
        let reach = Reach::default();
        let alerts = Lane::connect(settings, settings.alerts_in_flight_max, reach.clone())?;
        let accepts = Lane::connect(settings, settings.accepts_in_flight_max, reach.clone())?;
        Ok(Self {
            alerts,
            accepts,
            reach,
        })
    }

    /// Hands one record to librdkafka, which reports within the lane's time limit; waits for topics and for room in the
    /// lane until `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, nothing is sent.
    pub(crate) async fn send(
        &self,
        record: &RecordToSend<'_>,
        deadline: Instant,
    ) -> Result<Sending, AppendError> {
        self.reach.wait_for_topics(deadline).await?;
        timeout_at(deadline, self.lane(record.topic).send(record))
            .await
            .map_err(|_| AppendError::LaneFull)?
    }

    /// As [`send`](Self::send), however long it takes: for who has time.
    pub(crate) async fn send_when_possible(
        &self,
        record: &RecordToSend<'_>,
    ) -> Result<Sending, AppendError> {
        self.reach.wait_until_good().await;
        self.lane(record.topic).send(record).await
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Both lanes have what they need for the next record to go straight through.
    pub(crate) fn is_warm(&self) -> bool {
        self.alerts.is_warm() && self.accepts.is_warm()
    }

    pub(super) fn lane(&self, topic: Topic) -> &Lane {
        match topic {
            Topic::Alert => &self.alerts,
            Topic::Accept => &self.accepts,
        }
    }

    /// Takes back what librdkafka still holds: it waits in the outbox, or its caller was told. What was on the wire may be
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
