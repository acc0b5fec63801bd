//! The way into the log, through the Kafka protocol alone.
//!
//! Each topic has a lane: a producer with its own connections and its own bound, so that a flood of accepts cannot hold
//! an alert up. A record is stored when its delivery report says so (`acks=all`, idempotent), and not before.

mod client_events;
mod lane;
mod tail;
mod topics;
mod verdict;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use event_model::Topic;
// librdkafka waits by a clock that nobody sets.
use librdkafka_clock as _;
use rdkafka::{ClientConfig, error::KafkaError};
use tokio::time::{Instant, timeout_at};

use lane::Lane;
pub(crate) use lane::Sending;
pub(crate) use tail::{follow_tail, tag};
pub(crate) use topics::TopicSettings;
use verdict::outcome_of;
pub(crate) use watch::{Reach, watch_log};

use crate::{config::Delivery, outbox::RecordToSend};

/// Why a record is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Nobody answers at the log's address, or its topics are not there yet. Nothing was written.
    #[error("the log cannot be reached")]
    Unavailable,
    /// Too many records are on their way already. Nothing was written.
    #[error("the lane is full")]
    LaneFull,
    /// The log does not take the record at present: its disk is full, a setting or a clock is off, or we are not let in.
    /// Nothing was written.
    #[error("the log takes nothing at present")]
    NotNow(#[source] KafkaError),
    /// The log says that the record is none. Nothing was written, and no other try can go better.
    #[error("the log refused the record")]
    Refused(#[source] KafkaError),
    /// The record may or may not be in the log, or get there yet.
    #[error("the log did not say in time whether it has the record")]
    OutcomeUnknown(#[source] Option<KafkaError>),
}

/// How to reach the log.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub(crate) bootstrap_servers: String,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) delivery: Delivery,
    /// How long librdkafka tries before it reports that it gave up.
    pub(crate) message_timeout: Duration,
    pub(crate) alerts_in_flight_max: usize,
    pub(crate) accepts_in_flight_max: usize,
}

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

    fn lane(&self, topic: Topic) -> &Lane {
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

/// What every client of the log here is set to. A lost leader must cost one refresh, not a back-off meant for
/// data centres.
fn client_config(settings: &LogSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("client.id", "producer-api")
        .set("request.timeout.ms", "1000")
        .set("socket.timeout.ms", "2000")
        .set("socket.connection.setup.timeout.ms", "1000")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "250")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        // Asked right after its death, the others still name the leader that was: unless we ask again before it does so
        // by itself, librdkafka waits a second.
        .set("topic.metadata.refresh.interval.ms", "250")
        // By default three refreshes: an election must not make it forget the topics.
        .set("metadata.max.age.ms", "900000")
        .set("log.connection.close", "false");
    config
}

/// Settings of the operator's come last and win.
fn with_properties(mut config: ClientConfig, settings: &LogSettings) -> ClientConfig {
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}

#[cfg(test)]
mod tests;
