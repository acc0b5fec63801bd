//! The configuration file of `serve`: every setting of the broker, none required.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broker::peers::{Peer, PeerSecret};
use crate::broker::{Advertised, Config};
use crate::ids::NodeId;
use serde::Deserialize;
use service_kit::bounds::{BoundsError, Memory, Row, Shares};
use service_kit::settings_file::{self, SECRET_BYTES_MAX, SettingsFileError, read_small};

/// What a file may say. Names are those of [`Config`]; an unknown one is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) advertised: Option<String>,
    pub(super) admin_listen: Option<SocketAddr>,
    pub(super) node_id: Option<u32>,
    /// `1@host:port,2@host:port,..`
    pub(super) peers: Option<String>,
    pub(super) peer_listen: Option<SocketAddr>,
    pub(super) peer_advertised: Option<String>,
    pub(super) peer_secret_file: Option<PathBuf>,
    pub(super) insecure_log: Option<bool>,
    pub(super) num_partitions: Option<u32>,
    pub(super) auto_create_topics_enable: Option<bool>,
    pub(super) socket_request_max_bytes: Option<usize>,
    pub(super) queued_max_request_bytes: Option<usize>,
    pub(super) queued_max_answer_bytes: Option<usize>,
    pub(super) connection_request_bytes_max: Option<usize>,
    pub(super) max_connections: Option<usize>,
    pub(super) connections_max_idle_ms: Option<u64>,
    pub(super) fetch_max_bytes: Option<usize>,
    pub(super) group_min_session_timeout_ms: Option<u64>,
    pub(super) group_max_session_timeout_ms: Option<u64>,
    pub(super) group_max_size: Option<usize>,
    pub(super) group_initial_rebalance_delay_ms: Option<u64>,
    pub(super) log_retention_check_interval_ms: Option<u64>,
    pub(super) producer_id_expiration_ms: Option<u64>,
    pub(super) offsets_retention_minutes: Option<u64>,
    pub(super) transactional_id_expiration_ms: Option<u64>,
    pub(super) transaction_max_timeout_ms: Option<u64>,
    pub(super) disk_reserve_bytes: Option<u64>,
    pub(super) checkpoint_bytes: Option<u64>,
    pub(super) journal_segment_bytes: Option<u32>,
    pub(super) open_partition_files_max: Option<usize>,
    /// Never in a file that others may read: from the environment.
    #[serde(skip)]
    pub(super) peer_secret: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("configuration file {file}")]
    File {
        file: PathBuf,
        #[source]
        source: SettingsFileError,
    },
    #[error("settings: {0}")]
    Wrong(String),
}

impl Settings {
    /// Reads a file; none is an empty one.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, SettingsError> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let read = settings_file::toml(file).and_then(|source| {
            let read = config::Config::builder().add_source(source).build();
            let settings = read.and_then(config::Config::try_deserialize);
            settings.map_err(|error| settings_file::without_values(&error))
        });
        read.map_err(|source| SettingsError::File {
            file: file.to_owned(),
            source,
        })
    }

    /// The broker's configuration, or every mistake at once.
    pub(super) fn into_config(self) -> Result<Config, SettingsError> {
        let mut wrong = Vec::new();
        let data = self.data.unwrap_or_else(|| {
            wrong.push("a data folder is needed (--data)".to_owned());
            PathBuf::new()
        });
        let mut config = Config::on(data);
        set(&mut config.listen, self.listen);
        set(&mut config.node_id, self.node_id.map(NodeId));
        set(&mut config.insecure_log, self.insecure_log);
        set(&mut config.num_partitions, self.num_partitions);
        set(
            &mut config.auto_create_topics_enable,
            self.auto_create_topics_enable,
        );
        // First what the memory gives, then what is set.
        config.take_memory(Memory::read());
        set(
            &mut config.socket_request_max_bytes,
            self.socket_request_max_bytes,
        );
        set(
            &mut config.queued_max_request_bytes,
            self.queued_max_request_bytes,
        );
        set(
            &mut config.queued_max_answer_bytes,
            self.queued_max_answer_bytes,
        );
        set(
            &mut config.connection_request_bytes_max,
            self.connection_request_bytes_max,
        );
        set(
            &mut config.connections_max_idle,
            self.connections_max_idle_ms.map(Duration::from_millis),
        );
        set(&mut config.fetch_max_bytes, self.fetch_max_bytes);
        let milliseconds = |given: Option<u64>| given.map(Duration::from_millis);
        set(
            &mut config.group.session_timeout_min,
            milliseconds(self.group_min_session_timeout_ms),
        );
        set(
            &mut config.group.session_timeout_max,
            milliseconds(self.group_max_session_timeout_ms),
        );
        set(&mut config.group.size_max, self.group_max_size);
        set(
            &mut config.group.initial_rebalance_delay,
            milliseconds(self.group_initial_rebalance_delay_ms),
        );
        set(
            &mut config.log_retention_check_interval,
            milliseconds(self.log_retention_check_interval_ms),
        );
        set(
            &mut config.producer_id_expiration,
            milliseconds(self.producer_id_expiration_ms),
        );
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        set(
            &mut config.offsets_retention,
            self.offsets_retention_minutes.map(minutes),
        );
        set(
            &mut config.transactional_id_expiration,
            milliseconds(self.transactional_id_expiration_ms),
        );
        set(
            &mut config.transaction_max_timeout,
            milliseconds(self.transaction_max_timeout_ms),
        );
        set(&mut config.disk_reserve_bytes, self.disk_reserve_bytes);
        set(&mut config.checkpoint_bytes, self.checkpoint_bytes);
        set(
            &mut config.storage.journal.segment_bytes,
            self.journal_segment_bytes,
        );
        config.admin = self.admin_listen;
        config.peers = peers(self.peers.as_deref().unwrap_or_default(), &mut wrong);
        config.peer_listen = self.peer_listen;
        if let Err(error) = take_bounds(
            &mut config,
            self.open_partition_files_max,
            self.max_connections,
        ) {
            wrong.push(error.to_string());
        }
        config.peer_advertised = self.peer_advertised;
        config.peer_secret = secret(
            self.peer_secret_file.as_deref(),
            self.peer_secret,
            &mut wrong,
        );
        if let Some(text) = self.advertised {
            config.advertised = advertised(&text)
                .map_err(|mistake| wrong.push(mistake))
                .ok();
        }
        wrong.extend(config.mistakes());
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(SettingsError::Wrong(wrong.join("; ")))
        }
    }
}

/// What the process may hold, divided between the files of partitions and connections.
fn take_bounds(
    config: &mut Config,
    partition_files: Option<usize>,
    connections: Option<usize>,
) -> Result<(), BoundsError> {
    let rows = [
        (Row::PartitionFiles, partition_files),
        (Row::LogConnections, connections),
    ];
    let shares = Shares::of_process(&rows)?;
    config.storage.open_partition_files_max = shares.of(Row::PartitionFiles);
    match connections {
        Some(connections) => config.max_connections = connections,
        None => config.take_connections(shares.of(Row::LogConnections)),
    }
    Ok(())
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

/// `1@host:port,2@host:port,..`
fn peers(text: &str, wrong: &mut Vec<String>) -> Vec<Peer> {
    let listed = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let read = |one: &str| {
        one.parse::<Peer>()
            .map_err(|mistake| wrong.push(format!("peers: {mistake}")))
            .ok()
    };
    listed.filter_map(read).collect()
}

/// A file wins over the environment, as whatever is given more exactly does.
fn secret(
    file: Option<&Path>,
    variable: Option<String>,
    wrong: &mut Vec<String>,
) -> Option<PeerSecret> {
    let bytes = match (file, variable) {
        (Some(file), _) => read_small(file, SECRET_BYTES_MAX)
            .map_err(|error| wrong.push(format!("peer_secret_file: {}", chain(&error))))
            .ok()?,
        (None, Some(variable)) => variable.into_bytes(),
        (None, None) => return None,
    };
    PeerSecret::new(&bytes)
        .map_err(|error| wrong.push(error.to_string()))
        .ok()
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

fn advertised(text: &str) -> Result<Advertised, String> {
    let mistake = || format!("advertised {text:?}: needs host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(mistake)?;
    let port = port.parse().map_err(|_| mistake())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(mistake());
    }
    Ok(Advertised {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_said_at_once() {
        let settings = Settings {
            advertised: Some("nowhere".to_owned()),
            num_partitions: Some(0),
            ..Settings::default()
        };
        let said = settings.into_config().expect_err("wrong").to_string();
        for part in ["--data", "\"nowhere\": needs host:port", "num_partitions"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn mistakes_about_peers_are_said_with_the_others() {
        let settings = Settings {
            peers: Some("1@a:1,two@b:2,3".to_owned()),
            peer_secret: Some("too short".to_owned()),
            peer_listen: Some("10.0.0.1:9093".parse().expect("an address")),
            ..Settings::default()
        };
        let said = settings.into_config().expect_err("wrong").to_string();
        for part in [
            "--data",
            "\"two@b:2\": needs NUMBER@HOST:PORT",
            "\"3\": needs NUMBER@HOST:PORT",
            "9 bytes and needs at least 16",
            "must share a secret",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn peers_and_their_secret_are_read_and_the_secret_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "a secret of sixteen bytes or more\n").expect("written");
        let settings = Settings {
            data: Some(folder.path().to_owned()),
            node_id: Some(2),
            peers: Some(" 1@a.example:9093, 2@[::1]:9093 ,3@c:1".to_owned()),
            peer_listen: Some("10.0.0.1:9093".parse().expect("an address")),
            peer_secret_file: Some(file),
            peer_secret: Some("not this one, the file wins".to_owned()),
            ..Settings::default()
        };
        let config = settings.into_config().expect("right");
        assert_eq!(config.peers.len(), 3);
        assert_eq!(
            config.peer_secret,
            PeerSecret::new(b"a secret of sixteen bytes or more").ok()
        );
        assert!(!format!("{config:?}").contains("sixteen"));
    }

    #[test]
    fn an_unknown_key_in_the_file_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("log.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:9\"\nnum_partition = 3\n").expect("written");
        let error = Settings::read(Some(&file)).expect_err("refused");
        assert!(format!("{:#}", anyhow::Error::from(error)).contains("num_partition"));
    }

    #[test]
    fn a_mistake_in_the_file_is_told_without_the_line_that_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("log.toml");
        for text in [
            "listen = \"127.0.0.1:9\"\npeer_secret = hunter2\n",
            "num_partitions = \"hunter2\"\n",
            "peer_secret = \"hunter2\"\n",
        ] {
            std::fs::write(&file, text).expect("written");
            let error = Settings::read(Some(&file)).expect_err("refused");
            let said = format!("{error:?}");
            let said = format!("{said} {:#}", anyhow::Error::from(error));
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn an_advertised_address_may_be_a_name_or_ipv6() {
        let host = |text: &str| advertised(text).expect("an address").host;
        assert_eq!(host("log.example:9092"), "log.example");
        assert_eq!(host("[::1]:9092"), "::1");
    }
}
