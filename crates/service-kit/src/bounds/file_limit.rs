//! How many files the process may have open.

use std::{fmt, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::error_value;

/// Fewer, and a program cannot keep its promises under any load.
const FILES_MIN: usize = 512;
/// More than this is not asked for: tables in the kernel grow with it, and no bound of ours does.
const FILES_MAX: usize = 1_048_576;

/// The number of files that the process may have open, at least 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit(usize);

/// The process may have too few files open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{files} open files are allowed and {FILES_MIN} are needed (72 for partitions + 25 for calls + 19 for upgrades + 96 \
     for the log's clients + 44 for sockets + 256 for the rest): raise the hard limit (`ulimit -Hn`, LimitNOFILE=)"
)]
pub struct TooFewFiles {
    /// How many are allowed.
    pub files: usize,
}

impl FileLimit {
    /// Raises the soft limit to the hard one, at most 1,048,576, and says what is then allowed. Where the system does not
    /// let us, the soft limit stays and is said. Done again, it changes nothing.
    ///
    /// # Errors
    ///
    /// What is allowed is below 512.
    pub fn raise() -> Result<Self, TooFewFiles> {
        let limit = getrlimit(Resource::Nofile);
        let soft = known(limit.current);
        let wanted = known(limit.maximum).min(FILES_MAX);
        if wanted <= soft {
            return Self::of(soft.min(FILES_MAX));
        }
        let raised = Rlimit {
            current: Some(wanted as u64),
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            let error = io::Error::from(error);
            warn!(
                error = error_value(&error),
                soft, wanted, "the limit of open files cannot be raised"
            );
            return Self::of(soft);
        }
        Self::of(wanted)
    }

    /// A limit of so many files.
    ///
    /// # Errors
    ///
    /// It is below 512.
    pub fn of(files: usize) -> Result<Self, TooFewFiles> {
        if files < FILES_MIN {
            return Err(TooFewFiles { files });
        }
        Ok(Self(files))
    }

    /// How many files.
    pub fn files(self) -> usize {
        self.0
    }
}

impl fmt::Display for FileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// None is no limit.
fn known(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one_and_stays_there() {
        let raised = FileLimit::raise().unwrap();

        let limit = getrlimit(Resource::Nofile);
        assert!(
            limit.current == limit.maximum || limit.current >= Some(FILES_MAX as u64),
            "{limit:?}"
        );
        assert_eq!(FileLimit::raise().unwrap(), raised);
    }

    #[test]
    fn fewer_than_512_files_are_refused_with_the_number() {
        let refused = FileLimit::of(511).unwrap_err();

        assert!(refused.to_string().contains("511 open files"), "{refused}");
        assert_eq!(FileLimit::of(512).unwrap().files(), 512);
    }
}
