//! `log-core serve`: run a node.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};
use metrics_exporter_prometheus::PrometheusBuilder;
use service_kit::clock::Clock;
use service_kit::log_lines::{self, LogFormat};
use service_kit::settings::{CommandLine, Mistakes};
use service_kit::stop_signals::StopSignals;
use service_kit::{Failure, error_value};
use tokio::time::sleep;
use tracing::{error, info};

use super::settings::Settings;
use crate::broker::{Broker, Config};

/// What `serve` can be told. Each setting may also stand in the environment and in the file; what stands here wins.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// File with any of the settings, in TOML.
    #[arg(long, env = "LOG_CORE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write log lines as JSON.
    #[arg(long, env = "LOG_CORE_LOG_JSON")]
    log_json: bool,
}

/// Serves until told to stop.
pub(super) fn run(line: &CommandLine<impl Parser>, arguments: &Arguments) -> Result<(), Failure> {
    let format = match arguments.log_json {
        true => LogFormat::Json,
        false => LogFormat::Text,
    };
    log_lines::write("info", format);
    let mut mistakes = Mistakes::default();
    let settings: Settings = line.settings(arguments.config.as_deref(), &mut mistakes);
    let settings = settings.with_secret_of_environment();
    let mut config = settings.into_config(&mut mistakes);
    mistakes.none()?;
    info!(?config, "starting");
    config.metrics = Some(PrometheusBuilder::new().install_recorder()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let served = runtime.block_on(serve(config));
    // A thread that waits for a disk that hangs must not keep the process.
    runtime.shutdown_timeout(ENDED_WITHIN);
    Ok(served?)
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
    let mut signals = StopSignals::listen().context("listen for signals")?;
    let mut told_to_stop = std::pin::pin!(signals.received());
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
                error = error_value(&error),
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
