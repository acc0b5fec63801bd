//! The settings of `serve`: in a file, in the environment, on the command line, none required but the data folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use service_kit::bounds::{Memory, Row, Shares};
use service_kit::settings::Mistakes;
use service_kit::settings_file::{SECRET_BYTES_MAX, read_small};

use crate::broker::Config;
use crate::broker::peers::PeerSecret;
use crate::ids::NodeId;

/// Holds the secret itself, where a file cannot be had. No argument does: arguments are there for everybody to see.
const PEER_SECRET: &str = "LOG_CORE_PEER_SECRET";

/// What can be set. Names are those of [`Config`]; what has no argument stands in the file alone.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Folder of the journal, the partitions and the checkpoints; made when missing.
    #[arg(long, env = "LOG_CORE_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Address for Kafka clients; port 0 takes a free one [default: 127.0.0.1:9092].
    #[arg(long, env = "LOG_CORE_LISTEN", value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Address that clients are told to use [default: the one bound].
    #[arg(long, env = "LOG_CORE_ADVERTISED", value_name = "HOST:PORT")]
    advertised: Option<String>,
    /// Address of /metrics, /healthz and /readyz [default: none].
    #[arg(long, env = "LOG_CORE_ADMIN_LISTEN", value_name = "IP:PORT")]
    admin_listen: Option<SocketAddr>,
    /// This node's number in its cluster [default: 1].
    #[arg(long, env = "LOG_CORE_NODE_ID", value_name = "NUMBER")]
    node_id: Option<u32>,
    /// The nodes that form a cluster, this one included, the same on all of them: 1@HOST:PORT,2@HOST:PORT,3@HOST:PORT
    /// [default: none, a cluster of one].
    #[arg(long, env = "LOG_CORE_PEERS", value_name = "NODES")]
    peers: Option<String>,
    /// Address where the other nodes connect; beyond loopback it needs a secret.
    #[arg(long, env = "LOG_CORE_PEER_LISTEN", value_name = "IP:PORT")]
    peer_listen: Option<SocketAddr>,
    /// Address that the other nodes are told to use [default: what --peers says of this node].
    #[arg(long, env = "LOG_CORE_PEER_ADVERTISED", value_name = "HOST:PORT")]
    peer_advertised: Option<String>,
    /// File with the secret that the nodes share, at least 16 bytes; LOG_CORE_PEER_SECRET may hold the secret itself.
    #[arg(long, env = "LOG_CORE_PEER_SECRET_FILE", value_name = "FILE")]
    peer_secret_file: Option<PathBuf>,
    /// Listen beyond loopback although the log asks no client who it is: each client that reaches the port reads and writes all.
    #[arg(long, env = "LOG_CORE_INSECURE_LOG")]
    insecure_log: bool,
    /// Make a topic when it is asked for [default: off].
    #[arg(long, env = "LOG_CORE_AUTO_CREATE_TOPICS_ENABLE")]
    auto_create_topics_enable: bool,
    #[arg(skip)]
    num_partitions: Option<u32>,
    #[arg(skip)]
    socket_request_max_bytes: Option<usize>,
    #[arg(skip)]
    queued_max_request_bytes: Option<usize>,
    #[arg(skip)]
    queued_max_answer_bytes: Option<usize>,
    #[arg(skip)]
    connection_request_bytes_max: Option<usize>,
    #[arg(skip)]
    max_connections: Option<usize>,
    #[arg(skip)]
    connections_max_idle_ms: Option<u64>,
    #[arg(skip)]
    fetch_max_bytes: Option<usize>,
    #[arg(skip)]
    group_min_session_timeout_ms: Option<u64>,
    #[arg(skip)]
    group_max_session_timeout_ms: Option<u64>,
    #[arg(skip)]
    group_max_size: Option<usize>,
    #[arg(skip)]
    group_initial_rebalance_delay_ms: Option<u64>,
    #[arg(skip)]
    log_retention_check_interval_ms: Option<u64>,
    #[arg(skip)]
    producer_id_expiration_ms: Option<u64>,
    #[arg(skip)]
    offsets_retention_minutes: Option<u64>,
    #[arg(skip)]
    transactional_id_expiration_ms: Option<u64>,
    #[arg(skip)]
    transaction_max_timeout_ms: Option<u64>,
    #[arg(skip)]
    disk_reserve_bytes: Option<u64>,
    #[arg(skip)]
    checkpoint_bytes: Option<u64>,
    #[arg(skip)]
    journal_segment_bytes: Option<u32>,
    #[arg(skip)]
    open_partition_files_max: Option<usize>,
    /// Never in a file that others may read: from the environment.
    #[arg(skip)]
    #[serde(skip)]
    peer_secret: Option<String>,
}

impl Settings {
    /// The same with the secret that the environment holds.
    pub(super) fn with_secret_of_environment(self) -> Self {
        let peer_secret = std::env::var(PEER_SECRET).ok();
        Self {
            peer_secret,
            ..self
        }
    }

    /// The broker's configuration, whatever the mistakes: it is not to be used then.
    pub(super) fn into_config(self, mistakes: &mut Mistakes) -> Config {
        let mut base = Config::on(self.data.clone().unwrap_or_else(|| {
            mistakes.add("a data folder is needed (--data)");
            PathBuf::new()
        }));
        // First what the memory gives, then what is set.
        base.take_memory(Memory::read());
        let ms = |given: Option<u64>, base| given.map_or(base, Duration::from_millis);
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        let group = &mut base.group;
        group.session_timeout_min =
            ms(self.group_min_session_timeout_ms, group.session_timeout_min);
        group.session_timeout_max =
            ms(self.group_max_session_timeout_ms, group.session_timeout_max);
        group.size_max = self.group_max_size.unwrap_or(group.size_max);
        group.initial_rebalance_delay = ms(
            self.group_initial_rebalance_delay_ms,
            group.initial_rebalance_delay,
        );
        let advertised = self.advertised.as_ref();
        let advertised = advertised.and_then(|text| mistakes.ok("advertised", text.parse()));
        let listed = self.peers.as_deref().unwrap_or_default().split(',');
        let listed = listed.map(str::trim).filter(|peer| !peer.is_empty());
        let peers = listed.filter_map(|peer| mistakes.ok("peers", peer.parse()));
        let mut config = Config {
            listen: self.listen.unwrap_or(base.listen),
            advertised,
            admin: self.admin_listen,
            node_id: self.node_id.map_or(base.node_id, NodeId),
            peers: peers.collect(),
            peer_listen: self.peer_listen,
            peer_advertised: self.peer_advertised.clone(),
            peer_secret: self.secret(mistakes),
            insecure_log: self.insecure_log,
            num_partitions: self.num_partitions.unwrap_or(base.num_partitions),
            auto_create_topics_enable: self.auto_create_topics_enable,
            socket_request_max_bytes: self
                .socket_request_max_bytes
                .unwrap_or(base.socket_request_max_bytes),
            queued_max_request_bytes: self
                .queued_max_request_bytes
                .unwrap_or(base.queued_max_request_bytes),
            queued_max_answer_bytes: self
                .queued_max_answer_bytes
                .unwrap_or(base.queued_max_answer_bytes),
            connection_request_bytes_max: self
                .connection_request_bytes_max
                .unwrap_or(base.connection_request_bytes_max),
            connections_max_idle: ms(self.connections_max_idle_ms, base.connections_max_idle),
            fetch_max_bytes: self.fetch_max_bytes.unwrap_or(base.fetch_max_bytes),
            log_retention_check_interval: ms(
                self.log_retention_check_interval_ms,
                base.log_retention_check_interval,
            ),
            producer_id_expiration: ms(self.producer_id_expiration_ms, base.producer_id_expiration),
            offsets_retention: self
                .offsets_retention_minutes
                .map_or(base.offsets_retention, minutes),
            transactional_id_expiration: ms(
                self.transactional_id_expiration_ms,
                base.transactional_id_expiration,
            ),
            transaction_max_timeout: ms(
                self.transaction_max_timeout_ms,
                base.transaction_max_timeout,
            ),
            disk_reserve_bytes: self.disk_reserve_bytes.unwrap_or(base.disk_reserve_bytes),
            checkpoint_bytes: self.checkpoint_bytes.unwrap_or(base.checkpoint_bytes),
            ..base
        };
        let journal = &mut config.storage.journal;
        journal.segment_bytes = self.journal_segment_bytes.unwrap_or(journal.segment_bytes);
        self.take_bounds(&mut config, mistakes);
        mistakes.extend(config.mistakes());
        config
    }

    /// What the process may hold, divided between the files of partitions and connections.
    fn take_bounds(&self, config: &mut Config, mistakes: &mut Mistakes) {
        let rows = [
            (Row::PartitionFiles, self.open_partition_files_max),
            (Row::LogConnections, self.max_connections),
        ];
        let shares = Shares::of_process(&rows);
        let Some(shares) = mistakes.ok("open_partition_files_max and max_connections", shares)
        else {
            return;
        };
        config.storage.open_partition_files_max = shares.of(Row::PartitionFiles);
        match self.max_connections {
            Some(connections) => config.max_connections = connections,
            None => config.take_connections(shares.of(Row::LogConnections)),
        }
    }

    /// A file wins over the environment, as whatever is given more exactly does.
    fn secret(&self, mistakes: &mut Mistakes) -> Option<PeerSecret> {
        let bytes = match (&self.peer_secret_file, &self.peer_secret) {
            (Some(file), _) => {
                mistakes.ok("peer_secret_file", read_small(file, SECRET_BYTES_MAX))?
            }
            (None, Some(secret)) => secret.clone().into_bytes(),
            (None, None) => return None,
        };
        mistakes.ok("peer_secret", PeerSecret::new(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use service_kit::settings::{CommandLine, SettingsError};

    use super::*;

    impl Settings {
        fn checked(self) -> Result<Config, SettingsError> {
            let mut mistakes = Mistakes::default();
            let config = self.into_config(&mut mistakes);
            mistakes.none().map(|()| config)
        }
    }

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        settings: Settings,
    }

    fn read(toml: &str, arguments: &[&str]) -> Result<Settings, SettingsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), toml).expect("written");
        let arguments = ["log-core"].iter().chain(arguments);
        let line = CommandLine::<Arguments>::parse_from(arguments).expect("arguments");
        assert!(line.arguments.settings.num_partitions.is_none());
        let mut mistakes = Mistakes::default();
        let settings = line.settings(Some(file.path()), &mut mistakes);
        mistakes.none().map(|()| settings)
    }

    #[test]
    fn an_argument_wins_over_the_file_and_everything_else_of_the_file_holds() {
        let toml = "data = \"/from/file\"\nlisten = \"127.0.0.1:1\"\ninsecure_log = true\n\
                    peers = \"1@a:1,2@b:1\"\nmax_connections = 100\noffsets_retention_minutes = 2\n";
        let settings = read(toml, &["--data", "/from/argument", "--node-id", "2"]).expect("right");
        let config = Settings {
            peer_listen: Some(([127, 0, 0, 1], 0).into()),
            ..settings
        };
        let config = config.checked().expect("right");
        assert_eq!(config.data, Path::new("/from/argument"));
        assert_eq!((config.listen.port(), config.node_id), (1, NodeId(2)));
        assert_eq!((config.insecure_log, config.peers.len()), (true, 2));
        assert_eq!(config.max_connections, 100);
        assert_eq!(config.offsets_retention, Duration::from_secs(120));
    }

    #[test]
    fn every_mistake_is_said_at_once() {
        let settings = Settings {
            advertised: Some("nowhere".to_owned()),
            num_partitions: Some(0),
            ..Settings::default()
        };
        let said = settings.checked().expect_err("wrong").to_string();
        for part in [
            "--data",
            "advertised: \"nowhere\": needs host:port",
            "num_partitions",
        ] {
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
        let said = settings.checked().expect_err("wrong").to_string();
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
        let config = settings.checked().expect("right");
        assert_eq!(config.peers.len(), 3);
        assert_eq!(
            config.peer_secret,
            PeerSecret::new(b"a secret of sixteen bytes or more").ok()
        );
        assert!(!format!("{config:?}").contains("sixteen"));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_by_name_and_without_its_value() {
        for text in [
            "num_partition = 3\n",
            "num_partitions = \"hunter2\"\n",
            "peer_secret = \"hunter2\"\n",
        ] {
            let said = read(text, &[]).expect_err("refused").to_string();
            let (name, _) = text.split_once(' ').expect("a setting");
            assert!(said.contains(name), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
