//! How the clients of the log here are set.

use std::{collections::BTreeMap, time::Duration};

use log_client::LogNodes;
use rdkafka::ClientConfig;

use crate::config::Delivery;

/// What an operator's tools call the clients.
const NAME: &str = "producer-api";

/// How to reach the log.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub(crate) bootstrap_servers: String,
    pub(crate) nodes: LogNodes,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) delivery: Delivery,
    /// How long librdkafka tries before it reports that it gave up.
    pub(crate) message_timeout: Duration,
    pub(crate) alerts_in_flight_max: usize,
    pub(crate) accepts_in_flight_max: usize,
}

impl LogSettings {
    /// The settings of a client that asks and writes.
    pub(super) fn client(&self) -> ClientConfig {
        self.completed(log_client::settings(&self.bootstrap_servers, NAME))
    }

    /// Of the one that reads the log's tail. No client waits for a record of it: this process is woken twice a second at
    /// most, not at each call.
    pub(super) fn tail_reader(&self) -> ClientConfig {
        let mut config = log_client::reader_settings(&self.bootstrap_servers, NAME);
        config
            .set("fetch.min.bytes", "1000000")
            .set("fetch.wait.max.ms", "500");
        self.completed(config)
    }

    /// What the operator sets comes last and wins.
    pub(super) fn completed(&self, mut config: ClientConfig) -> ClientConfig {
        self.nodes.apply(&mut config);
        config.set("socket.timeout.ms", "2000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}
