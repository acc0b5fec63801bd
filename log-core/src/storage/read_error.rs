//! Why nothing could be read of a partition.

use std::io;
use std::path::PathBuf;

use super::layout::ADVICE;
use crate::ids::Offset;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset was there once, or never.
    #[error("offset {from} lies before the log start offset {start}")]
    BelowStart {
        /// What was asked for.
        from: Offset,
        /// The first one there is.
        start: Offset,
    },
    /// A file could not be read.
    #[error("read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not as it was written.
    #[error(
        "{path} is damaged at byte {byte}: {found}. `log-core verify` tells how much of the folder is. {ADVICE}"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        byte: u64,
        /// What is wrong.
        found: String,
    },
}
