//! The gateway as a process: settings in, exit code out.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use resident_token::{KeySource, Policy, Secret, Verifier};
use serde::Deserialize;
use service_kit::bounds::{Memory, Row, Shares};
use service_kit::settings_file;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;
use ws_gateway::Config;

/// Serves the residents' sockets: STOMP over WebSocket at /an-ws, and their page at /.
///
/// Each setting may stand in a file, in the environment or on the command line; the later one wins.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A file of settings in TOML, with the names of the options below, `_` for `-`.
    #[arg(long, env = "WS_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What can be set. Every field may be missing everywhere: then the default holds.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Where residents connect [default: 0.0.0.0:8083].
    #[arg(long, env = "WS_GATEWAY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where /metrics, /healthz and /readyz are [default: 127.0.0.1:9083].
    #[arg(long, env = "WS_GATEWAY_ADMIN")]
    admin: Option<SocketAddr>,
    /// The log: Kafka's bootstrap servers [default: 127.0.0.1:9092].
    #[arg(long, env = "MAYDAY_LOG")]
    log: Option<String>,
    /// A name of this gateway that stays and is no other's [default: 1].
    #[arg(long, env = "WS_GATEWAY_INSTANCE")]
    instance: Option<String>,
    /// The secret that tokens are signed with (HS256, at least 32 bytes).
    #[arg(long, env = "MAYDAY_JWT_SECRET", hide_env_values = true)]
    jwt_secret: Option<String>,
    /// A public key that tokens are signed with, as a PEM file. May be given several times.
    #[arg(long, env = "MAYDAY_JWT_PEM", value_delimiter = ',')]
    jwt_pem: Vec<PathBuf>,
    /// Keys that tokens are signed with, as a JWKS file. May be given several times.
    #[arg(long, env = "MAYDAY_JWT_JWKS", value_delimiter = ',')]
    jwt_jwks: Vec<PathBuf>,
    /// What a token's `aud` must name [default: anything].
    #[arg(long, env = "MAYDAY_JWT_AUDIENCE")]
    jwt_audience: Option<String>,
    /// What a token's `iss` must be [default: anything].
    #[arg(long, env = "MAYDAY_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// The api's origin, for the residents' page [default: port 8082 on the page's own host].
    #[arg(long, env = "WS_GATEWAY_API")]
    api: Option<String>,
    /// Origins of pages that may open a socket [default: any].
    #[arg(long, env = "WS_GATEWAY_ORIGINS", value_delimiter = ',')]
    origins: Vec<String>,
    /// Threads that own sockets [default: one per core].
    #[arg(long, env = "WS_GATEWAY_SHARDS")]
    shards: Option<NonZeroUsize>,
    /// Connections that speak HTTP still, at most [default: from the limit of open files].
    #[arg(long, env = "WS_GATEWAY_CONNECTIONS_MAX")]
    connections_max: Option<usize>,
    /// Sockets at most [default: from the limit of open files].
    #[arg(long, env = "WS_GATEWAY_SOCKETS_MAX")]
    sockets_max: Option<usize>,
    /// Bytes of frames kept for residents who were away [default: a sixteenth of the memory, 8 to 64 MiB].
    #[arg(long, env = "WS_GATEWAY_RECENT_BYTES_MAX")]
    recent_bytes_max: Option<usize>,
    /// Bytes that wait for one socket before its reader counts as too slow [default: 1048576].
    #[arg(long, env = "WS_GATEWAY_OUTBOX_BYTES_MAX")]
    outbox_bytes_max: Option<usize>,
    /// Bytes that wait for all sockets together [default: a sixteenth of the memory, 8 to 64 MiB].
    #[arg(long, env = "WS_GATEWAY_QUEUES_BYTES_MAX")]
    queues_bytes_max: Option<usize>,
    /// How long a drain spreads the closes over, as `30s` [default: 30s].
    #[arg(long, env = "WS_GATEWAY_DRAIN_WINDOW", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    drain_window: Option<Duration>,
    /// How long a socket may be silent before it is pinged, as `25s` [default: 25s].
    #[arg(long, env = "WS_GATEWAY_PING_EVERY", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    ping_every: Option<Duration>,
    /// How long a socket may be silent before it is given up, as `70s` [default: 70s].
    #[arg(long, env = "WS_GATEWAY_SILENCE_MAX", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    silence_max: Option<Duration>,
}

/// The configuration is wrong: starting again will not help.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_writer(std::io::stderr)
        .init();
    let config = match config(Arguments::parse()) {
        Ok(config) => config,
        Err(error) => return failed(&error, EXIT_USAGE),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, 1),
    }
}

/// What is logged, but for what tungstenite says: whole messages, and a CONNECT holds a token.
fn log_filter() -> EnvFilter {
    let silent = "tungstenite=off".parse().expect("a directive");
    EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info"))
        .add_directive(silent)
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(code)
}

fn config(arguments: Arguments) -> anyhow::Result<Config> {
    let file = match &arguments.config {
        Some(path) => read(path)?,
        None => Settings::default(),
    };
    let said = arguments.settings;
    let secret = said.jwt_secret.or(file.jwt_secret);
    let keys = keys(
        secret,
        either(said.jwt_pem, file.jwt_pem),
        either(said.jwt_jwks, file.jwt_jwks),
    )?;
    let policy = Policy {
        audience: said.jwt_audience.or(file.jwt_audience),
        issuer: said.jwt_issuer.or(file.jwt_issuer),
        ..Policy::default()
    };
    let verifier = Arc::new(Verifier::open(keys, policy)?);
    let listen = said
        .listen
        .or(file.listen)
        .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 8083)));
    let log = said
        .log
        .or(file.log)
        .unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let mut config = Config::new(listen, log, verifier);
    config.admin = Some(
        said.admin
            .or(file.admin)
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9083))),
    );
    config.api = said.api.or(file.api);
    let origins = either(said.origins, file.origins);
    config.origins = (!origins.is_empty()).then_some(origins);
    set(&mut config.instance, said.instance.or(file.instance));
    set(&mut config.shards, said.shards.or(file.shards));
    let shares = Shares::of_process(&[
        (
            Row::GatewayConnections,
            said.connections_max.or(file.connections_max),
        ),
        (Row::Sockets, said.sockets_max.or(file.sockets_max)),
    ])?;
    config.connections_max = shares.of(Row::GatewayConnections);
    config.sockets_max = shares.of(Row::Sockets);
    let recent = said.recent_bytes_max.or(file.recent_bytes_max);
    config.recent_bytes_max = recent.unwrap_or_else(|| Memory::read().recent_frames());
    set(
        &mut config.queues_bytes_max,
        said.queues_bytes_max.or(file.queues_bytes_max),
    );
    set(
        &mut config.drain_window,
        said.drain_window.or(file.drain_window),
    );
    set(
        &mut config.limits.outbox_bytes_max,
        said.outbox_bytes_max.or(file.outbox_bytes_max),
    );
    set(
        &mut config.limits.ping_every,
        said.ping_every.or(file.ping_every),
    );
    set(
        &mut config.limits.silence_max,
        said.silence_max.or(file.silence_max),
    );
    let mistakes = config.mistakes();
    if !mistakes.is_empty() {
        bail!("{}", mistakes.join("; "));
    }
    Ok(config)
}

fn read(path: &Path) -> anyhow::Result<Settings> {
    let context = || format!("read the settings in {}", path.display());
    let file = settings_file::toml(path).with_context(context)?;
    let read = config::Config::builder().add_source(file).build();
    let settings = read.and_then(config::Config::try_deserialize);
    let settings = settings.map_err(|error| settings_file::without_values(&error));
    settings.with_context(context)
}

fn keys(
    secret: Option<String>,
    pem: Vec<PathBuf>,
    jwks: Vec<PathBuf>,
) -> anyhow::Result<Vec<KeySource>> {
    let secret = secret.map(Secret::new).transpose()?.map(KeySource::Secret);
    let pem = pem.into_iter().map(KeySource::PemFile);
    Ok(secret
        .into_iter()
        .chain(pem)
        .chain(jwks.into_iter().map(KeySource::JwksFile))
        .collect())
}

fn either<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

#[tokio::main]
async fn serve(mut config: Config) -> anyhow::Result<()> {
    config.metrics = Some(
        PrometheusBuilder::new()
            .install_recorder()
            .context("collect metrics")?,
    );
    let shutdown = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let stopped = shutdown.clone();
    let signals = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        info!("asked to stop");
        stopped.cancel();
        std::future::pending().await
    };
    tokio::select! {
        outcome = ws_gateway::run(config, shutdown) => Ok(outcome?),
        () = signals => Ok(()),
    }
}
