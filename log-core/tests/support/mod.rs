//! What the tests of the Kafka door share: a broker of their own, a client that speaks through the codec, and the real
//! clients that `.ci/clients` installs.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(missing_docs, unreachable_pub, reason = "a test's own words")]

pub mod clients;
pub mod holding_proxy;
pub mod loopback;
pub mod lossy_proxy;
pub mod records;
pub mod wire_client;

use std::net::SocketAddr;

use log_core::{Broker, Config};
use tempfile::TempDir;

/// A broker in this process, on a folder and a port of its own.
pub struct TestBroker {
    pub broker: Broker,
    pub folder: TempDir,
}

impl TestBroker {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        write_log_lines_when_asked();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::on(folder.path());
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        change(&mut config);
        let broker = Broker::start(config).await.expect("starts");
        Self { broker, folder }
    }

    pub fn address(&self) -> String {
        self.broker.address().to_string()
    }

    pub async fn stop(self) {
        self.broker.shutdown().await.expect("ends cleanly");
    }
}

/// `RUST_LOG=log_core=debug cargo test ..` shows what the brokers say.
pub fn write_log_lines_when_asked() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer();
    let _set_by_an_earlier_test = lines.try_init().is_err();
}
