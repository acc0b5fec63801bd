//! The gateway as a process: settings in, exit code out.

use std::{
    net::SocketAddr, num::NonZeroUsize, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use resident_token::{KeyError, KeySource, Policy, Secret, Verifier};
use serde::Deserialize;
use service_kit::{
    Failure,
    bounds::{Row, Shares},
    log_lines::{self, LogFormat},
    settings::{CommandLine, Mistakes, SettingsError},
    stop_signals::StopSignals,
};
use tokio_util::sync::CancellationToken;
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

fn main() -> ExitCode {
    let line = CommandLine::<Arguments>::parse();
    log_lines::write("info", LogFormat::Text);
    service_kit::main("ws-gateway", || serve(config(&line)?))
}

fn config(line: &CommandLine<Arguments>) -> Result<Config, SettingsError> {
    let mut mistakes = Mistakes::default();
    let settings: Settings = line.settings(line.arguments.config.as_deref(), &mut mistakes);
    let config = settings.into_config(&mut mistakes);
    mistakes.extend(config.mistakes());
    mistakes.none().map(|()| config)
}

impl Settings {
    fn into_config(self, mistakes: &mut Mistakes) -> Config {
        let bounds = Shares::of_process(&[
            (Row::GatewayConnections, self.connections_max),
            (Row::Sockets, self.sockets_max),
        ]);
        let bounds = mistakes.ok("connections_max and sockets_max", bounds);
        let verifier = mistakes.ok("keys for tokens", self.verifier());
        let config = Config::new(
            self.listen
                .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 8083))),
            self.log.unwrap_or_else(|| "127.0.0.1:9092".to_owned()),
            Arc::new(verifier.unwrap_or_else(Verifier::refusing_all)),
        );
        let share = |row, default| bounds.as_ref().map_or(default, |bounds| bounds.of(row));
        let mut limits = config.limits;
        limits.outbox_bytes_max = self.outbox_bytes_max.unwrap_or(limits.outbox_bytes_max);
        limits.ping_every = self.ping_every.unwrap_or(limits.ping_every);
        limits.silence_max = self.silence_max.unwrap_or(limits.silence_max);
        Config {
            admin: Some(
                self.admin
                    .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9083))),
            ),
            api: self.api,
            origins: (!self.origins.is_empty()).then_some(self.origins),
            instance: self.instance.unwrap_or(config.instance),
            shards: self.shards.unwrap_or(config.shards),
            connections_max: share(Row::GatewayConnections, config.connections_max),
            sockets_max: share(Row::Sockets, config.sockets_max),
            recent_bytes_max: self.recent_bytes_max.unwrap_or(config.recent_bytes_max),
            queues_bytes_max: self.queues_bytes_max.unwrap_or(config.queues_bytes_max),
            drain_window: self.drain_window.unwrap_or(config.drain_window),
            limits,
            ..config
        }
    }

    fn verifier(&self) -> Result<Verifier, KeyError> {
        let secret = self.jwt_secret.as_ref().map(Secret::new).transpose()?;
        let secret = secret.map(KeySource::Secret);
        let pem = self.jwt_pem.iter().cloned().map(KeySource::PemFile);
        let jwks = self.jwt_jwks.iter().cloned().map(KeySource::JwksFile);
        let policy = Policy {
            audience: self.jwt_audience.clone(),
            issuer: self.jwt_issuer.clone(),
            ..Policy::default()
        };
        Verifier::open(secret.into_iter().chain(pem).chain(jwks).collect(), policy)
    }
}

#[tokio::main]
async fn serve(config: Config) -> Result<(), Failure> {
    let config = Config {
        metrics: Some(PrometheusBuilder::new().install_recorder()?),
        ..config
    };
    let stop = CancellationToken::new();
    let signals = StopSignals::listen()?.cancel(stop.clone());
    let gateway = ws_gateway::run(config, stop);
    tokio::pin!(gateway, signals);
    tokio::select! {
        ended = &mut gateway => Ok(ended?),
        () = signals => Ok(gateway.await?),
    }
}
