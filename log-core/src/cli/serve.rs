//! `log-core serve`: run a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::broker::{Broker, Config};
use crate::clock::Clock;
use anyhow::Context;
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use super::settings::Settings;

/// Holds the secret itself, where a file cannot be had. No argument does: arguments are there for everybody to see.
const PEER_SECRET: &str = "LOG_CORE_PEER_SECRET";

/// What `serve` can be told; what stands here wins over the file.
#[derive(Args)]
pub(super) struct Arguments {
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
    /// Listen beyond loopback although nobody is asked who they are: whoever reaches the port reads and writes all.
    #[arg(long, env = "LOG_CORE_INSECURE_LOG")]
    insecure_log: bool,
    /// Make a topic when it is asked for [default: off].
    #[arg(long, env = "LOG_CORE_AUTO_CREATE_TOPICS_ENABLE")]
    auto_create_topics_enable: bool,
    /// File with any of the settings, in TOML.
    #[arg(long, env = "LOG_CORE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write log lines as JSON.
    #[arg(long, env = "LOG_CORE_LOG_JSON")]
    log_json: bool,
}

/// Serves until told to stop.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    write_log_lines(arguments.log_json);
    let mut config = arguments.into_config()?;
    info!(?config, "starting");
    config.metrics = Some(
        PrometheusBuilder::new()
            .install_recorder()
            .context("install the metrics recorder")?,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let served = runtime.block_on(serve(config));
    // A thread that waits for a disk that hangs must not keep the process.
    runtime.shutdown_timeout(ENDED_WITHIN);
    served
}

/// How long threads may take to end once the log has.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// The first wait before a log that its disk has stopped is started again. It doubles.
const AGAIN_AFTER_MIN: Duration = Duration::from_secs(1);
/// The longest: so long a disk may have room again, or answer, before the log is back.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
/// A log that ran for so long is not in a loop: the next wait is short again.
const RAN_WELL_FOR: Duration = Duration::from_secs(60);

/// Serves until told to stop. What a disk did, full, failing or hanging, ends the log and not the process: it starts again
/// by itself. Everything else is for a person to look at.
async fn serve(mut config: Config) -> anyhow::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut told_to_stop = std::pin::pin!(async {
        tokio::select! {
            _ = interrupted.recv() => info!("interrupted"),
            _ = terminated.recv() => info!("terminated"),
        }
    });
    let clock = Clock::start();
    let mut wait = AGAIN_AFTER_MIN;
    loop {
        let began = clock.elapsed();
        match run_once(&mut config, told_to_stop.as_mut()).await? {
            Ended::AsAsked => return Ok(()),
            Ended::ByItsDisk => {}
        }
        if RAN_WELL_FOR <= clock.elapsed().saturating_sub(began) {
            wait = AGAIN_AFTER_MIN;
        }
        info!(seconds = wait.as_secs(), "the log starts again by itself");
        tokio::select! {
            () = sleep(wait) => {}
            () = &mut told_to_stop => return Ok(()),
        }
        wait = AGAIN_AFTER_MAX.min(wait * 2);
    }
}

/// Why a run of the log is over.
enum Ended {
    AsAsked,
    ByItsDisk,
}

async fn run_once(
    config: &mut Config,
    mut told_to_stop: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<Ended> {
    // A node that waits for its peers is told to stop as any other.
    let started = tokio::select! {
        started = Broker::start(config.clone()) => started,
        () = &mut told_to_stop => return Ok(Ended::AsAsked),
    };
    let broker = match started {
        Ok(broker) => broker,
        Err(error) if error.is_for_want_of_room() => {
            error!(
                error = &error as &(dyn std::error::Error + 'static),
                "the log cannot start: its disk is full, free some space"
            );
            return Ok(Ended::ByItsDisk);
        }
        Err(error) => return Err(error.into()),
    };
    // Clients that were told of these ports find the next run there too.
    config.listen = broker.address();
    config.admin = broker.admin_address();
    info!(address = %broker.address(), admin = ?broker.admin_address(), "serving");
    tokio::select! {
        () = &mut told_to_stop => {
            broker.shutdown().await.context("the log could not end in order")?;
            info!("stopped");
            Ok(Ended::AsAsked)
        }
        reason = broker.stopped() => {
            tokio::select! {
                // It says the same reason.
                _ = broker.shutdown() => {}
                // On a disk that hangs its end may be far.
                () = &mut told_to_stop => return Err(reason.into()),
            }
            if reason.is_of_the_disk() {
                Ok(Ended::ByItsDisk)
            } else {
                Err(anyhow::Error::new(reason).context("the log stopped by itself"))
            }
        }
    }
}

/// To stderr: stdout belongs to what a command answers.
fn write_log_lines(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        lines.json().init()
    } else {
        lines.init()
    }
}

impl Arguments {
    fn into_config(self) -> anyhow::Result<Config> {
        let mut settings = Settings::read(self.config.as_deref())?;
        settings.data = self.data.or(settings.data);
        settings.listen = self.listen.or(settings.listen);
        settings.advertised = self.advertised.or(settings.advertised);
        settings.admin_listen = self.admin_listen.or(settings.admin_listen);
        settings.node_id = self.node_id.or(settings.node_id);
        settings.peers = self.peers.or(settings.peers);
        settings.peer_listen = self.peer_listen.or(settings.peer_listen);
        settings.peer_advertised = self.peer_advertised.or(settings.peer_advertised);
        settings.peer_secret_file = self.peer_secret_file.or(settings.peer_secret_file);
        settings.peer_secret = std::env::var(PEER_SECRET).ok();
        settings.insecure_log = Some(self.insecure_log || settings.insecure_log.unwrap_or(false));
        let auto_create =
            self.auto_create_topics_enable || settings.auto_create_topics_enable.unwrap_or(false);
        settings.auto_create_topics_enable = Some(auto_create);
        Ok(settings.into_config()?)
    }
}
