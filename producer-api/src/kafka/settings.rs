//! How the clients of the log here are set.

use std::{collections::BTreeMap, time::Duration};

// librdkafka waits by a clock that nobody sets.
use librdkafka_clock as _;
use rdkafka::ClientConfig;

use crate::config::Delivery;

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

/// What every client of the log here is set to. A lost leader must cost one refresh, not a back-off meant for
/// data centres.
pub(super) fn client_config(settings: &LogSettings) -> ClientConfig {
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
pub(super) fn with_properties(mut config: ClientConfig, settings: &LogSettings) -> ClientConfig {
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}
