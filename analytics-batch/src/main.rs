//! The binary: arguments, a settings file, signals, exit codes.
//!
//! Exit codes: 0 the report stands (or was told to stop), 1 it could not be made, 2 the arguments are wrong, or the
//! schedule names no moment that is still to come.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use analytics_batch::{Config, Edition, Error, Progress, Schedule, Zones};
use clap::Parser;
use event_model::{EventTime, Line};
use jiff::tz::TimeZone;
use serde::Deserialize;
use service_kit::Failure;
use service_kit::clock;
use service_kit::log_lines::{self, LogFormat};
use service_kit::settings::{CommandLine, Mistakes, SettingsError, from_text};
use service_kit::stop_signals::StopSignals;
use tokio_util::sync::CancellationToken;

/// Rereads the log and writes figures and a report about the calls and who accepted them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with settings of the same names as the arguments (`time-zone` as `time_zone`), and a table
    /// `[line_zones]` of lines and their time zones. Arguments win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell the figures as of this moment (RFC 3339); what happened later is left out. Default: the start of the run.
    #[arg(long, value_name = "TIME", conflicts_with = "schedule")]
    as_of: Option<EventTime>,
    /// The time zone of one line; may be repeated.
    #[arg(long, value_name = "LINE=ZONE")]
    line_zone: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

/// What can be set, in the file or by an argument.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The log's address, as Kafka's bootstrap.servers. Default 127.0.0.1:9092.
    #[arg(long, value_name = "HOST:PORT", env = "MAYDAY_LOG")]
    from_address: Option<String>,
    /// Write reports below this folder. Default `reports`. A report of the same moment and edition replaces the earlier
    /// one, as a whole.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// `shareable` withholds small counts and everything personal; `admin` shows all and adds tables of single alerts.
    #[arg(long, value_name = "EDITION")]
    #[serde(deserialize_with = "from_text")]
    edition: Option<Edition>,
    /// Keep running and write a report whenever this cron expression says, as in `0 6 * * MON`.
    #[arg(long, value_name = "CRON")]
    #[serde(deserialize_with = "from_text")]
    schedule: Option<Schedule>,
    /// Clocks of the schedule, of the total, and of lines without a zone of their own. Default Asia/Seoul.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[arg(skip)]
    line_zones: BTreeMap<String, String>,
    /// Read the log no faster than so many bytes a second. Default 16777216.
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<NonZeroU64>,
    /// Wait so long for the log, as in `30s`. Default 60s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    log_deadline: Option<Duration>,
}

fn main() -> ExitCode {
    let line = CommandLine::<Arguments>::parse();
    log_lines::write("info,librdkafka=off", LogFormat::Text);
    service_kit::main("analytics-batch", || run(config(line)?))
}

fn config(line: CommandLine<Arguments>) -> Result<Config, SettingsError> {
    let mut mistakes = Mistakes::default();
    let settings = line.settings(line.arguments.config.as_deref(), &mut mistakes);
    let arguments = Arguments {
        settings,
        ..line.arguments
    };
    let config = arguments.into_config(&mut mistakes);
    mistakes.none().map(|()| config)
}

impl Arguments {
    fn into_config(self, mistakes: &mut Mistakes) -> Config {
        let settings = self.settings;
        let address = settings.from_address.as_deref();
        let folder = settings.folder.unwrap_or_else(|| "reports".into());
        let mut config = Config::new(address.unwrap_or("127.0.0.1:9092"), folder);
        config.edition = settings.edition.unwrap_or_default();
        config.as_of = self.as_of;
        if let Some(as_of) = self.as_of {
            mistakes.extend(ahead_of_the_clock(as_of));
        }
        // A moment asks for one report, now, whatever the file says of later ones.
        config.schedule = settings.schedule.filter(|_| config.as_of.is_none());
        let line_zones = self
            .line_zone
            .iter()
            .filter_map(|pair| split_pair(pair, mistakes))
            .collect::<Vec<_>>();
        let line_zones = settings.line_zones.into_iter().chain(line_zones);
        config.zones = zones(settings.time_zone, line_zones, mistakes);
        config.bytes_per_second = settings.bytes_per_second.unwrap_or(config.bytes_per_second);
        config.log_deadline = settings.log_deadline.unwrap_or(config.log_deadline);
        if std::io::stderr().is_terminal() {
            config.progress = Progress::Bar;
        }
        config
    }
}

/// Figures as of a moment that is still to come would count calls as waited for that have not had the time.
fn ahead_of_the_clock(as_of: EventTime) -> Option<String> {
    let now = EventTime::from_millis(clock::wall_ms());
    (now < as_of)
        .then(|| format!("--as-of {as_of} is ahead of this machine's clock, which says {now}"))
}

fn split_pair(pair: &str, mistakes: &mut Mistakes) -> Option<(String, String)> {
    let Some((line, zone)) = pair.rsplit_once('=') else {
        mistakes.add(format!("--line-zone {pair:?} is not LINE=ZONE"));
        return None;
    };
    Some((line.to_owned(), zone.to_owned()))
}

fn zones(
    default: Option<String>,
    lines: impl Iterator<Item = (String, String)>,
    mistakes: &mut Mistakes,
) -> Zones {
    let mut zones = Zones::default();
    if let Some(zone) = default.and_then(|name| zone(&name, mistakes)) {
        zones.default = zone;
    }
    for (name, zone_name) in lines {
        let line = mistakes.ok(&format!("line zone of {name:?}"), Line::new(&name));
        let zone = zone(&zone_name, mistakes);
        zones.lines.extend(line.zip(zone));
    }
    zones
}

fn zone(name: &str, mistakes: &mut Mistakes) -> Option<TimeZone> {
    mistakes.ok(&format!("time zone {name:?}"), TimeZone::get(name))
}

fn run(config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::listen()?;
        let shutdown = CancellationToken::new();
        let batch = write(config, shutdown.clone());
        tokio::pin!(batch);
        let written = tokio::select! {
            written = &mut batch => written,
            () = signals.received() => {
                // The run looks for it between two records.
                shutdown.cancel();
                batch.await
            }
        };
        match written {
            Err(error) if error.is_stop() => Ok(()),
            Err(error @ Error::NeverDue(_)) => Err(Failure::of_settings(error)),
            written => Ok(written?),
        }
    })
}

/// Says on standard output where the report stands, so that other programs can open it.
async fn write(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    if config.schedule.is_some() {
        return analytics_batch::run(config, shutdown).await;
    }
    let written = analytics_batch::report(&config, shutdown).await?;
    println!("{}", written.report.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Config, SettingsError> {
        let arguments = ["analytics-batch"].iter().chain(arguments);
        config(CommandLine::parse_from(arguments.copied()).unwrap())
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
    fn everything_that_is_wrong_is_told_at_once() {
        let file =
            settings_file("fodler = \"a\"\nedition = \"secret\"\ntime_zone = \"Asia/Atlantis\"\n");
        let path = file.path().to_str().unwrap();
        let late = "9999-01-01T00:00:00Z";
        let refused = parsed(&["--config", path, "--as-of", late, "--line-zone", "자이"]);

        let refused = refused.unwrap_err().to_string();
        for named in ["fodler", "edition", "Asia/Atlantis", "--as-of", "자이"] {
            assert!(refused.contains(named), "{named}: {refused}");
        }
    }
}
