//! An error together with what caused it.

use std::error::Error;

/// An error as the value of a log line's field, which shows its causes: `warn!(error = error_value(&error), "..")`.
pub fn error_value<E: Error + 'static>(error: &E) -> &(dyn Error + 'static) {
    error
}

/// An error and its causes, after colons.
#[cfg(feature = "program")]
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
