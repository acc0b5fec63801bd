//! Looking at a journal without opening it: nothing is cut, removed or synced.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::JournalError;
use crate::finding::{Finding, Severity};
use crate::position::JournalPosition;
use crate::segment_file::{self, Names, Records};

/// What a journal's files hold.
#[derive(Default)]
pub struct Inspection {
    /// The whole records up to the first damage, oldest first: what lies behind is not known to follow them.
    pub records: Records,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Looks at the journal in `folder`.
pub fn inspect(disk: &dyn Disk, folder: &Path) -> Inspection {
    let mut inspection = Inspection::default();
    let names = match Names::read(disk, folder) {
        Ok(names) => names,
        Err(error) => {
            inspection.add_error(error, folder);
            return inspection;
        }
    };
    for path in names.unfinished {
        inspection.leftover(path, None, "a segment that was never finished");
    }
    for (index, &start) in names.starts.iter().enumerate() {
        inspection.look_at(disk, folder, start, names.starts.get(index + 1).copied());
    }
    inspection
}

impl Inspection {
    fn look_at(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        start: JournalPosition,
        next: Option<JournalPosition>,
    ) {
        let path = segment_file::path(folder, start);
        let mut records = Records::new();
        match segment_file::look_at(disk, &path, start, next, &mut records) {
            Ok(Some(cut)) => {
                let byte = cut.position.0 - start.0;
                self.leftover(
                    path,
                    Some(byte),
                    "a batch that was never finished, or bytes that nobody reads",
                );
            }
            Ok(None) => {}
            Err(error) => self.add_error(error, &path),
        }
        if self.is_sound() {
            self.records.append(&mut records);
        }
    }

    /// Whether nothing is damaged so far.
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity < Severity::Damage)
    }

    fn leftover(&mut self, path: PathBuf, byte: Option<u64>, found: &str) {
        self.findings.push(Finding {
            severity: Severity::Leftover,
            path,
            byte,
            found: found.to_owned(),
        });
    }

    fn add_error(&mut self, error: JournalError, path: &Path) {
        let severity = Severity::Damage;
        self.findings.push(match error {
            JournalError::Damaged {
                path, byte, found, ..
            } => Finding {
                severity,
                path,
                byte: Some(byte),
                found: found.to_owned(),
            },
            other => Finding {
                severity,
                path: path.to_owned(),
                byte: None,
                found: other.to_string(),
            },
        });
    }
}
