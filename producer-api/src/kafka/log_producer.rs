//! The log as calls are sent to it: a lane for each topic.

use std::time::Duration;

use event_model::{Place, Topic};
use rdkafka::error::KafkaError;
use tokio::time::{Instant, timeout_at};

use super::{
    append_error::AppendError,
    health::Reach,
    lane::{Lane, Sending},
    record::RecordToSend,
    settings::LogSettings,
};

/// What became of a record by its deadline.
pub(crate) enum AppendOutcome {
    /// It is in the log, at a place that its report may not have said.
    Stored(Option<Place>),
    /// No report of it is to come.
    Failed(AppendError),
    /// librdkafka has it, and will report.
    Late(Sending),
}

/// The log, as this door sees it.
pub(crate) struct LogProducer {
    alerts: Lane,
    accepts: Lane,
    reach: Reach,
}

impl LogProducer {
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

    /// Appends one record, as far as that can be told by `deadline`.
    pub(crate) async fn append(
        &self,
        record: &RecordToSend<'_>,
        deadline: Instant,
    ) -> AppendOutcome {
        let mut sending = match self.send(record, deadline).await {
            Ok(sending) => sending,
            Err(error) => return AppendOutcome::Failed(error),
        };
        match timeout_at(deadline, sending.delivered()).await {
            Ok(Ok(place)) => AppendOutcome::Stored(place),
            Ok(Err(error)) => AppendOutcome::Failed(error),
            Err(_) => AppendOutcome::Late(sending),
        }
    }

    /// Hands one record to librdkafka, which reports within the lane's time limit; waits for topics and for room in the
    /// lane until `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, nothing is sent.
    async fn send(
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

    /// Whether the next record would go straight through, or what is in its way.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if let Some(trouble) = self.reach.trouble() {
            return Err(trouble);
        }
        if self.is_warm() {
            Ok(())
        } else {
            Err("the log has not given the producers their ids yet".to_owned())
        }
    }

    /// The producers have their ids.
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
