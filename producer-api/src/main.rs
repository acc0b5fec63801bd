//! The HTTP service as a process of its own: reads the settings, runs until it is told to stop.

mod settings;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use producer_api::{Config, Service};
use service_kit::{
    Failure,
    log_lines::{self, LogFormat},
    settings::{CommandLine, Mistakes},
    stop_signals::StopSignals,
};
use tokio_util::sync::CancellationToken;

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
    config: Option<PathBuf>,
    /// Print what would be set, secrets hidden, and exit.
    #[arg(long)]
    show_settings: bool,
    /// How to write log lines; RUST_LOG says which.
    #[arg(long, value_enum, default_value_t, env = "PRODUCER_API_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let line = CommandLine::<Arguments>::parse();
    log_lines::write("info", line.arguments.log_format);
    service_kit::main("producer-api", || run(&line))
}

fn run(line: &CommandLine<Arguments>) -> Result<(), Failure> {
    let mut mistakes = Mistakes::default();
    let settings = Settings::read(line, line.arguments.config.as_deref(), &mut mistakes);
    if line.arguments.show_settings {
        mistakes.none()?;
        println!("{settings:#?}");
        return Ok(());
    }
    let config = settings.into_config(&mut mistakes);
    mistakes.none()?;
    serve(config)
}

#[tokio::main]
async fn serve(mut config: Config) -> Result<(), Failure> {
    config.metrics = Some(PrometheusBuilder::new().install_recorder()?);
    let stop = CancellationToken::new();
    let service = Service::bind(config).await?;
    // The service ends by itself only once it was told to.
    let signals = StopSignals::listen()?.cancel(stop.clone());
    let (served, ()) = tokio::join!(service.run(stop), signals);
    Ok(served?)
}
