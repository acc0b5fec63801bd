//! How a command ended, for the shell: one exit code for each thing that a caller can do about it.

use std::fmt;
use std::process::ExitCode;

/// What went wrong, in one sentence, and whether to ask again.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something on this side: 1.
    Here(anyhow::Error),
    /// The door refused; asking again will not help: 3.
    Refused(String),
    /// The door cannot be reached, or cannot take it now; ask again: 4.
    NotNow(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Here(_) => 1,
            Failure::Refused(_) => 3,
            Failure::NotNow(_) => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The whole chain: which thing, and why.
            Failure::Here(error) => write!(f, "{error:#}"),
            Failure::Refused(sentence) | Failure::NotNow(sentence) => f.write_str(sentence),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Here(error.into())
    }
}
