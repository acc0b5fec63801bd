//! Start, reread the log, write figures and a report, exit.
//!
//! A run reads both topics from the first record there is to the last one there was when it began, folds them
//! ([`event_model::fold`]), computes the figures and writes one folder for each complex and one for all of them.
//! It keeps nothing between runs, and it commits no offset: the log is the only memory.
//!
//! ```text
//! window/        reads the log             ->  records
//! case_builder   decodes and folds them    ->  cases
//! stats/         numbers in, numbers out   ->  figures
//! report/        withholds, lays out       ->  files
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), analytics_batch::Error> {
//! use analytics_batch::{Config, report};
//! use tokio_util::sync::CancellationToken;
//!
//! let config = Config::new("127.0.0.1:9092", "reports");
//! let written = report(&config, CancellationToken::new()).await?;
//! println!("{}", written.report.display());
//! # Ok(())
//! # }
//! ```

mod case_builder;
mod category;
mod config;
mod report;
mod schedule;
pub mod stats;
mod window;

use std::time::Duration;

use event_model::EventTime;
use service_kit::{clock, error_value};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use case_builder::{
    CallDetails, CaseBuilder, DetailLevel, GatheredCases, Intake, LineCases, Reject, Row,
};
pub use category::Category;
pub use config::{Config, Progress, ZONE_DEFAULT, Zones};
pub use report::{Edition, EditionError, WriteError, WrittenReport, write};
pub use schedule::{Schedule, ScheduleError};
pub use window::{Offsets, ReadError, Window};

use window::{Meter, Reader, ReaderSettings};

/// A sleep is never longer than this, so that a clock that is set, or a machine that slept, delays a report by no more.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Between two looks whether another run is done writing.
const TURN_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// So many looks: a minute, in which thousands of lines are written.
const TURN_TRIES_MAX: u32 = 600;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log could not be read.
    #[error("read the log")]
    Read(#[source] ReadError),
    /// The files could not be written.
    #[error("write the report")]
    Write(#[source] WriteError),
    /// The schedule names no moment that is still to come, as for 30 February.
    #[error("the schedule {0:?} names no moment that is still to come")]
    NeverDue(String),
    /// The run itself broke, which is a bug.
    #[error("the run ended without a result")]
    Broken(#[source] tokio::task::JoinError),
}

impl Error {
    /// Told to stop: no failure.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Read(ReadError::Stopped))
    }
}

/// Writes a report now, or, with a schedule, whenever it is due until `shutdown`. A scheduled run that fails is logged,
/// and the next one is tried when it is due.
///
/// # Errors
/// [`Error`] of the one run without a schedule; [`Error::NeverDue`] of a schedule that would never write a report, at once.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let Some(schedule) = &config.schedule else {
        return report(&config, shutdown).await.map(drop);
    };
    let mut from = now().to_timestamp();
    while let Some(due) = schedule.next_after(from, &config.zones.default) {
        info!(%due, "next report");
        if sleep_until(due.into(), &shutdown).await == WakeReason::ToStop {
            return Ok(());
        }
        if let Err(error) = report(&config, shutdown.clone()).await.map(drop)
            && !error.is_stop()
        {
            error!(error = error_value(&error), "no report");
        }
        // Runs that became due meanwhile are not made up for: each report tells all there is.
        from = now().to_timestamp().max(due);
    }
    Err(Error::NeverDue(schedule.to_string()))
}

fn now() -> EventTime {
    EventTime::from_millis(clock::wall_ms())
}

#[derive(PartialEq, Eq)]
enum WakeReason {
    InTime,
    ToStop,
}

async fn sleep_until(due: EventTime, shutdown: &CancellationToken) -> WakeReason {
    loop {
        let left = due.millis_since(now());
        let Ok(left) = u64::try_from(left) else {
            return WakeReason::InTime;
        };
        if left == 0 {
            return WakeReason::InTime;
        }
        tokio::select! {
            () = shutdown.cancelled() => return WakeReason::ToStop,
            () = tokio::time::sleep(Duration::from_millis(left).min(SLEEP_MAX)) => {}
        }
    }
}

/// Writes one report.
///
/// # Errors
/// [`Error`], and then there is no new report.
///
/// # Cancel safety
/// Dropping the future leaves the reading thread running until `shutdown`; a report is published whole or not at all.
pub async fn report(config: &Config, shutdown: CancellationToken) -> Result<WrittenReport, Error> {
    let config = config.clone();
    let run = tokio::task::spawn_blocking(move || read_and_write(&config, shutdown));
    run.await.map_err(Error::Broken)?
}

fn read_and_write(config: &Config, stop: CancellationToken) -> Result<WrittenReport, Error> {
    let as_of = config.as_of.unwrap_or_else(now);
    let settings = ReaderSettings {
        log: config.log.clone(),
        bytes_per_second: config.bytes_per_second,
        deadline: config.log_deadline,
    };
    let mut reader = Reader::new(settings, stop.clone()).map_err(Error::Read)?;
    let window = reader.window().map_err(Error::Read)?;
    info!(records = window.len(), %as_of, edition = %config.edition, "reading the log");
    let detail = match config.edition {
        Edition::Shareable => DetailLevel::Figures,
        Edition::Admin => DetailLevel::Rows,
    };
    let mut cases = CaseBuilder::new(as_of, detail);
    let mut meter = Meter::new(config.progress, window.len());
    reader
        .read(&window, &mut meter, |record| cases.take(record))
        .map_err(Error::Read)?;
    meter.finish();
    let gathered = cases.finish(&config.zones);
    let written = write_in_turn(config, &gathered, &window, &stop)?;
    info!(folder = %written.folder.display(), lines = written.lines, records = written.records, "report written");
    Ok(written)
}

/// Waits for another run that writes below the same folder: it is soon done.
fn write_in_turn(
    config: &Config,
    gathered: &GatheredCases,
    window: &Window,
    stop: &CancellationToken,
) -> Result<WrittenReport, Error> {
    let (edition, zone) = (config.edition, &config.zones.default);
    let mut tries_left = TURN_TRIES_MAX;
    loop {
        match write(gathered, window, edition, zone, &config.folder) {
            Err(WriteError::InUse { .. }) if 0 < tries_left => tries_left -= 1,
            written => return written.map_err(Error::Write),
        }
        if stop.is_cancelled() {
            return Err(Error::Read(ReadError::Stopped));
        }
        std::thread::sleep(TURN_LOOK_INTERVAL);
    }
}
