//! One thing of a data folder that is not as it should be.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Of a write that was interrupted, or of no consequence: the next start drops it, or nobody ever reads it.
    Leftover,
    /// Something is not as it was written. A start refuses the folder, or a reader gets an error.
    Damage,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// In which file or folder.
    pub path: PathBuf,
    /// From which byte on, where that is known.
    pub byte: Option<u64>,
    /// What it is, in words.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(byte) = self.byte {
            write!(f, " byte {byte}")?;
        }
        write!(f, ": {}", self.found)
    }
}
