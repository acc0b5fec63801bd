//! `log-core verify`: is what a stopped log has written whole, and is it the same as another's?

use std::io::{self, Write};
use std::path::PathBuf;

use crate::storage::{Report, compare, verify};
use clap::Args;
use journal::disk::SystemDisk;
use journal::{Finding, Severity};
use serde::Serialize;
use service_kit::Failure;

use super::offline::{NotOffline, OfflineFolder};

const DAMAGED: u8 = 1;
const NOT_LOOKED: u8 = 2;

/// What `verify` can be told.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 sound, 1 damaged or different, 2 could not look")]
pub(super) struct Arguments {
    /// The log's data folder. No process may use it.
    #[arg(long, value_name = "FOLDER", env = "LOG_CORE_DATA")]
    data: PathBuf,
    /// A second data folder that should hold the same, such as another replica's or a copy.
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Verified {
    sound: bool,
    #[serde(flatten)]
    report: Report,
    /// How the second folder differs, where there is one.
    differences: Option<Vec<Finding>>,
}

/// Looks and tells. What it means for the caller is in the exit code.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let verified = arguments
        .look()
        .map_err(|error| Failure::with_code(NOT_LOOKED, error))?;
    let written = verified.write(arguments.json, &mut io::stdout().lock());
    written.map_err(|error| Failure::with_code(NOT_LOOKED, error))?;
    if verified.sound {
        Ok(())
    } else {
        let folder = arguments.data.display();
        Err(Failure::with_code(
            DAMAGED,
            format!("{folder} is damaged or different"),
        ))
    }
}

impl Arguments {
    fn look(&self) -> Result<Verified, NotOffline> {
        let folder = OfflineFolder::open(&self.data)?;
        let other = self
            .against
            .as_deref()
            .map(OfflineFolder::open)
            .transpose()?;
        if let Some(other) = &other {
            folder.must_be_kin_of(other)?;
        }
        let report = verify(&SystemDisk, &folder.path);
        let differences =
            other.map(|other| compare(&SystemDisk, &folder.path, &SystemDisk, &other.path));
        let same = differences
            .iter()
            .flatten()
            .all(|found| found.severity < Severity::Damage);
        Ok(Verified {
            sound: report.is_sound() && same,
            report,
            differences,
        })
    }
}

impl Verified {
    fn write(&self, json: bool, to: &mut impl Write) -> io::Result<()> {
        if json {
            serde_json::to_writer_pretty(&mut *to, self)?;
            return writeln!(to);
        }
        self.write_summary(to)?;
        for finding in self
            .report
            .findings
            .iter()
            .chain(self.differences.iter().flatten())
        {
            let severity = match finding.severity {
                Severity::Leftover => "leftover",
                Severity::Damage => "damage",
            };
            writeln!(to, "{severity}: {finding}")?;
        }
        writeln!(to, "{}", if self.sound { "sound" } else { "not sound" })
    }

    fn write_summary(&self, to: &mut impl Write) -> io::Result<()> {
        match self.report.checkpoint {
            Some(checkpoint) => writeln!(
                to,
                "checkpoint  entry {} of epoch {}",
                checkpoint.applied.0, checkpoint.epoch.0
            )?,
            None => writeln!(to, "checkpoint  none")?,
        }
        let journal = self.report.journal;
        writeln!(
            to,
            "journal     {} records, entries {} to {}, committed to {}",
            journal.records, journal.first.0, journal.last.0, journal.commit.0
        )?;
        for partition in &self.report.partitions {
            writeln!(
                to,
                "partition   {}  offsets {} to {}  segments {}  bytes {}",
                partition.partition,
                partition.log_start_offset.0,
                partition.log_end_offset.0,
                partition.segments,
                partition.bytes
            )?;
        }
        Ok(())
    }
}
