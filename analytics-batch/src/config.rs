//! What a run needs to know, as plain values.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use event_model::{EventTime, Line};
use jiff::tz::TimeZone;

use crate::report::Edition;
use crate::schedule::Schedule;

/// The settings of the batch.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the log is: Kafka's `bootstrap.servers`.
    pub log: String,
    /// Reports are written below this folder, each in one of its own.
    pub folder: PathBuf,
    /// Whom the report is for.
    pub edition: Edition,
    /// The moment the report is about. `None`: the start of the run. What happened later is left out.
    pub as_of: Option<EventTime>,
    /// Where the clocks of the lines stand.
    pub zones: Zones,
    /// When to write a report, on the clocks of `zones.default`. `None`: now, once.
    pub schedule: Option<Schedule>,
    /// Whether a person watches.
    pub progress: Progress,
    /// How fast the log is read, so that the alert path does not notice. Default 16 MiB a second. Too low: the report
    /// takes long. Too high: reads compete with new alerts for the log's disk and network.
    pub bytes_per_second: NonZeroU64,
    /// How long to wait for the log and its topics, and for the next record while reading. Default 60 s. Too low: a log
    /// that is just starting fails the run. Too high: a wrong address is noticed late.
    pub log_deadline: Duration,
}

/// How the progress of a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Only in the log.
    #[default]
    Silent,
    /// As a bar on standard error.
    Bar,
}

impl Config {
    /// The defaults, for a log at an address and reports below a folder.
    pub fn new(log: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            log: log.into(),
            folder: folder.into(),
            edition: Edition::Shareable,
            as_of: None,
            zones: Zones::default(),
            schedule: None,
            progress: Progress::Silent,
            bytes_per_second: NonZeroU64::new(16 << 20).expect("16 MiB is not 0"),
            log_deadline: Duration::from_secs(60),
        }
    }
}

/// The zone whose clocks a line lives by, unless it has one of its own.
pub const ZONE_DEFAULT: &str = "Asia/Seoul";

/// Time zones of lines.
#[derive(Clone, Debug)]
pub struct Zones {
    /// Of every line that has none of its own, of the total, and of the schedule.
    pub default: TimeZone,
    /// Of the others.
    pub lines: BTreeMap<Line, TimeZone>,
}

impl Default for Zones {
    fn default() -> Self {
        let default = TimeZone::get(ZONE_DEFAULT).expect("the time zone database is bundled");
        Self {
            default,
            lines: BTreeMap::new(),
        }
    }
}

impl Zones {
    /// The zone of a line.
    pub fn of(&self, line: &Line) -> TimeZone {
        self.lines.get(line).unwrap_or(&self.default).clone()
    }
}
