//! The binary: arguments, a settings file, signals, exit codes.
//!
//! Exit codes: 0 the report stands (or was told to stop), 1 it could not be made, 2 the arguments are wrong, or the
//! schedule names no moment that is still to come.

use std::error::Error as StdError;
use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use analytics_batch::{Config, Edition, Progress, Schedule, Zones};
use anyhow::Context;
use clap::Parser;
use event_model::{EventTime, Line};
use jiff::tz::TimeZone;
use serde::Deserialize;
use service_kit::settings_file;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing_subscriber::EnvFilter;

/// Rereads the log and writes figures and a report about the calls and who accepted them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with settings of the same names as the arguments (`time-zone` as `time_zone`), and a table
    /// `[line_zones]` of lines and their time zones. Arguments win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The log's address, as Kafka's bootstrap.servers. Default 127.0.0.1:9092.
    #[arg(long, value_name = "HOST:PORT", env = "MAYDAY_LOG")]
    from_address: Option<String>,
    /// Write reports below this folder. Default `reports`. A report of the same moment and edition replaces the earlier
    /// one, as a whole.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Tell the figures as of this moment (RFC 3339); what happened later is left out. Default: the start of the run.
    #[arg(long, value_name = "TIME", conflicts_with = "schedule")]
    as_of: Option<EventTime>,
    /// `shareable` withholds small counts and everything personal; `admin` shows all and adds tables of single alerts.
    #[arg(long, value_name = "EDITION")]
    edition: Option<Edition>,
    /// Keep running and write a report whenever this cron expression says, as in `0 6 * * MON`.
    #[arg(long, value_name = "CRON")]
    schedule: Option<Schedule>,
    /// Clocks of the schedule, of the total, and of lines without a zone of their own. Default Asia/Seoul.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The time zone of one line; may be repeated.
    #[arg(long, value_name = "LINE=ZONE")]
    line_zone: Vec<String>,
    /// Read the log no faster than so many bytes a second. Default 16777216.
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<NonZeroU64>,
    /// Wait so long for the log, as in `30s`. Default 60s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    log_deadline: Option<Duration>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    from_address: Option<String>,
    folder: Option<PathBuf>,
    edition: Option<String>,
    schedule: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    line_zones: std::collections::BTreeMap<String, String>,
    bytes_per_second: Option<NonZeroU64>,
    #[serde(default, with = "humantime_serde")]
    log_deadline: Option<Duration>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,librdkafka=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = match config(arguments) {
        Ok(config) => config,
        Err(error) => {
            error!(
                error = &*error as &(dyn StdError + 'static),
                "the settings are wrong"
            );
            return ExitCode::from(2);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = &*error as &(dyn StdError + 'static), "no report");
            match error.downcast_ref() {
                Some(analytics_batch::Error::NeverDue(_)) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn config(arguments: Arguments) -> anyhow::Result<Config> {
    let settings = arguments
        .config
        .as_deref()
        .map(settings)
        .transpose()?
        .unwrap_or_default();
    let address = arguments
        .from_address
        .or(settings.from_address)
        .unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let folder = arguments
        .folder
        .or(settings.folder)
        .unwrap_or_else(|| PathBuf::from("reports"));
    let mut config = Config::new(address, folder);
    config.as_of = arguments.as_of.map(not_ahead).transpose()?;
    let edition = settings
        .edition
        .map(|name| name.parse::<Edition>())
        .transpose()?;
    config.edition = arguments.edition.or(edition).unwrap_or_default();
    let schedule = settings
        .schedule
        .map(|expression| expression.parse::<Schedule>())
        .transpose()?;
    // A moment asks for one report, now, whatever the file says of later ones.
    config.schedule = arguments
        .schedule
        .or(schedule.filter(|_| config.as_of.is_none()));
    let line_zones = arguments
        .line_zone
        .iter()
        .map(|pair| split_pair(pair))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let line_zones = settings.line_zones.into_iter().chain(line_zones);
    config.zones = zones(arguments.time_zone.or(settings.time_zone), line_zones)?;
    if let Some(bytes_per_second) = arguments.bytes_per_second.or(settings.bytes_per_second) {
        config.bytes_per_second = bytes_per_second;
    }
    if let Some(log_deadline) = arguments.log_deadline.or(settings.log_deadline) {
        config.log_deadline = log_deadline;
    }
    if std::io::stderr().is_terminal() {
        config.progress = Progress::Bar;
    }
    Ok(config)
}

/// Figures as of a moment that is still to come would count calls as waited for that have not had the time.
#[expect(
    clippy::disallowed_methods,
    reason = "a person's argument is judged at the outermost shell"
)]
fn not_ahead(as_of: EventTime) -> anyhow::Result<EventTime> {
    let now = jiff::Timestamp::now();
    if as_of <= EventTime::from(now) {
        return Ok(as_of);
    }
    anyhow::bail!("--as-of {as_of} is ahead of this machine's clock, which says {now}")
}

fn settings(path: &Path) -> anyhow::Result<Settings> {
    let context = || format!("settings file {}", path.display());
    let file = settings_file::toml(path).with_context(context)?;
    let read = config::Config::builder().add_source(file).build();
    let settings = read.and_then(config::Config::try_deserialize);
    let settings = settings.map_err(|error| settings_file::without_values(&error));
    settings.with_context(context)
}

fn split_pair(pair: &str) -> anyhow::Result<(String, String)> {
    let (line, zone) = pair
        .rsplit_once('=')
        .with_context(|| format!("{pair:?} is not LINE=ZONE"))?;
    Ok((line.to_owned(), zone.to_owned()))
}

fn zones(
    default: Option<String>,
    lines: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Zones> {
    let mut zones = Zones::default();
    if let Some(name) = default {
        zones.default = zone(&name)?;
    }
    for (line, name) in lines {
        let line = Line::new(&line).with_context(|| format!("{line:?} is no line"))?;
        zones.lines.insert(line, zone(&name)?);
    }
    Ok(zones)
}

fn zone(name: &str) -> anyhow::Result<TimeZone> {
    TimeZone::get(name).with_context(|| format!("{name:?} is no time zone of the IANA database"))
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let batch = write(config, shutdown.clone());
        tokio::pin!(batch);
        let result = tokio::select! {
            result = &mut batch => result,
            _ = interrupt.recv() => stop(&shutdown, batch).await,
            _ = terminate.recv() => stop(&shutdown, batch).await,
        };
        match result {
            Err(error) if error.is_stop() => Ok(()),
            result => Ok(result?),
        }
    })
}

/// Says on standard output where the report stands, so that other programs can open it.
async fn write(config: Config, shutdown: CancellationToken) -> Result<(), analytics_batch::Error> {
    if config.schedule.is_some() {
        return analytics_batch::run(config, shutdown).await;
    }
    let written = analytics_batch::report(&config, shutdown).await?;
    println!("{}", written.report.display());
    Ok(())
}

/// The run looks for the signal between two records.
async fn stop(
    shutdown: &CancellationToken,
    batch: std::pin::Pin<&mut impl Future<Output = Result<(), analytics_batch::Error>>>,
) -> Result<(), analytics_batch::Error> {
    shutdown.cancel();
    batch.await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> anyhow::Result<Config> {
        config(Arguments::parse_from(
            ["analytics-batch"].iter().chain(arguments),
        ))
    }

    fn settings_file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn arguments_win_over_the_settings_file() {
        let file = settings_file(concat!(
            "from_address = \"log:9092\"\nfolder = \"a\"\nedition = \"admin\"\nlog_deadline = \"5s\"\n",
            "[line_zones]\n\"Tower A. 1\" = \"America/New_York\"\n",
        ));
        let path = file.path().to_str().unwrap();
        let config =
            parsed(&["--config", path, "--folder", "b", "--line-zone", "자이=UTC"]).unwrap();
        assert_eq!(
            (config.log.as_str(), config.folder.to_str()),
            ("log:9092", Some("b"))
        );
        assert_eq!(
            (config.edition, config.log_deadline),
            (Edition::Admin, Duration::from_secs(5))
        );
        let zone = |line: &str| {
            config
                .zones
                .of(&Line::new(line).unwrap())
                .iana_name()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            ["Tower A. 1", "자이", "다른"].map(zone),
            ["America/New_York", "UTC", "Asia/Seoul"]
        );
    }

    #[test]
    fn a_moment_that_is_asked_for_wins_over_a_schedule_in_the_file() {
        let file = settings_file("schedule = \"0 6 * * *\"\n");
        let path = file.path().to_str().unwrap();
        assert!(parsed(&["--config", path]).unwrap().schedule.is_some());
        let once = parsed(&["--config", path, "--as-of", "2026-11-20T06:00:00Z"]).unwrap();
        assert!(once.schedule.is_none() && once.as_of.is_some());
    }

    #[test]
    fn a_setting_that_nobody_knows_and_a_zone_that_is_none_are_refused() {
        let file = settings_file("fodler = \"a\"\n");
        let refusal = parsed(&["--config", file.path().to_str().unwrap()]).unwrap_err();
        assert!(format!("{refusal:#}").contains("fodler"), "{refusal:#}");
        assert!(parsed(&["--as-of", "9999-01-01T00:00:00Z"]).is_err());
        assert!(parsed(&["--time-zone", "Asia/Atlantis"]).is_err());
        assert!(parsed(&["--line-zone", "자이"]).is_err());
    }
}
