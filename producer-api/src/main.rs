//! The HTTP service as a process of its own: reads the settings, runs until it is told to stop.

mod settings;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use metrics_exporter_prometheus::PrometheusBuilder;
use producer_api::{Config, Service};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

use settings::Settings;

/// Takes residents' calls over HTTP and appends them to the log.
///
/// Settings come from a TOML file, from the environment (PRODUCER_API_ and the setting's name in capitals) and from
/// these flags; the later wins. Tokens are checked with the HS256 secret in MAYDAY_JWT_SECRET and with key files.
#[derive(Parser)]
#[command(name = "producer-api", version)]
struct Arguments {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Where residents' calls come in [default: 0.0.0.0:8082].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where an operator looks: /metrics, /healthz, /readyz [default: 127.0.0.1:9082].
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// The log: Kafka's bootstrap.servers [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT,..", env = "MAYDAY_LOG")]
    log: Option<String>,
    /// at-most-once, at-least-once or exactly-once [default: exactly-once].
    #[arg(long, value_name = "HOW_OFTEN")]
    delivery: Option<String>,
    /// A file with the public key of the issuer of tokens: RSA, P-256 or Ed25519.
    #[arg(long, value_name = "FILE", env = "MAYDAY_JWT_PEM")]
    jwt_pem: Option<std::path::PathBuf>,
    /// A file with the JWK Set of the issuer of tokens; read again when it changes.
    #[arg(long, value_name = "FILE", env = "MAYDAY_JWT_JWKS")]
    jwt_jwks: Option<std::path::PathBuf>,
    /// Print what would be set, secrets hidden, and exit.
    #[arg(long)]
    show_settings: bool,
    /// How to write log lines; RUST_LOG says which.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PRODUCER_API_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Settings or keys are wrong: starting again changes nothing. The same as clap's for wrong arguments.
const EXIT_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging(arguments.log_format);
    let settings = match settings_of(&arguments) {
        Ok(settings) => settings,
        Err(error) => return exit_with(&error, ExitCode::from(EXIT_SETTINGS)),
    };
    if arguments.show_settings {
        println!("{settings:#?}");
        return ExitCode::SUCCESS;
    }
    let config = match settings.into_config() {
        Ok(config) => config,
        Err(error) => return exit_with(&error, ExitCode::from(EXIT_SETTINGS)),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_about_settings(&error) => exit_with(&error, ExitCode::from(EXIT_SETTINGS)),
        Err(error) => exit_with(&error, ExitCode::FAILURE),
    }
}

fn settings_of(arguments: &Arguments) -> anyhow::Result<Settings> {
    let flags = [
        ("listen", &arguments.listen),
        ("admin", &arguments.admin),
        ("log", &arguments.log),
        ("delivery", &arguments.delivery),
    ];
    let mut settings = Settings::read(arguments.config.as_deref(), &flags)?;
    settings.add_key_files(arguments.jwt_pem.clone(), arguments.jwt_jwks.clone());
    Ok(settings)
}

fn is_about_settings(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(producer_api::Error::Config(_)))
}

fn exit_with(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    eprintln!("producer-api: {error:#}");
    code
}

fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

#[tokio::main]
async fn serve(mut config: Config) -> anyhow::Result<()> {
    config.metrics = Some(
        PrometheusBuilder::new()
            .install_recorder()
            .context("set up the metrics")?,
    );
    let shutdown = CancellationToken::new();
    let service = Service::bind(config).await?;
    let signals = stop_on_signal(shutdown.clone())?;
    let (served, ()) = tokio::join!(service.run(shutdown), signals);
    Ok(served?)
}

/// A signal stops the service in order; the grace period bounds how long that takes.
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => info!("SIGINT: stopping"),
            _ = terminate.recv() => info!("SIGTERM: stopping"),
        }
        shutdown.cancel();
    })
}
