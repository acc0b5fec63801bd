//! How a program ends, for the shell and for what starts it again.

use std::{error::Error, fmt, process::ExitCode};

use crate::{error_chain::with_causes, settings::SettingsError};

/// It failed: starting it again may help.
const FAILED: u8 = 1;
/// The command line or the settings are wrong: starting it again changes nothing. The same as clap's.
const MISUSED: u8 = 2;

/// Why a program ended, with its exit code. A [`SettingsError`] is 2, any other error 1.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// An error that the operator mends by other settings: 2.
    pub fn of_settings(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::with_code(MISUSED, error)
    }

    /// An error with an exit code of the program's own.
    pub fn with_code(code: u8, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        Self { code, error }
    }
}

/// The error and its causes, after colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(&*self.error))
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let code = if error.is::<SettingsError>() {
            MISUSED
        } else {
            FAILED
        };
        Self { code, error }
    }
}

/// Runs a program and says on standard error why it failed, in one line.
pub fn main(program: &str, run: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mistakes;

    #[derive(Debug, thiserror::Error)]
    #[error("write the report")]
    struct NotWritten(#[source] std::io::Error);

    #[test]
    fn an_error_is_told_with_its_causes_and_settings_have_a_code_of_their_own() {
        let full = NotWritten(std::io::Error::other("disk full"));
        let failure = Failure::from(full);
        assert_eq!(
            (failure.code, &*failure.to_string()),
            (1, "write the report: disk full")
        );

        let mut mistakes = Mistakes::default();
        mistakes.add("log is empty");
        let failure = Failure::from(mistakes.none().unwrap_err());
        assert_eq!(failure.code, 2);
        assert_eq!(Failure::with_code(4, "ask again").code, 4);
    }
}
