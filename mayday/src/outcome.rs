//! How a command ended, for the shell: one exit code for each thing that a caller can do about it. What went wrong on this
//! side is 1.

use service_kit::Failure;

/// The api or the gateway refused: asking again will not help.
const REFUSED: u8 = 3;
/// It cannot be reached, or cannot take it now: ask again.
const NOT_NOW: u8 = 4;

/// The service refused, with its sentence.
pub(crate) fn refused(sentence: String) -> Failure {
    Failure::with_code(REFUSED, sentence)
}

/// The service cannot be reached, or cannot take it now.
pub(crate) fn not_now(sentence: String) -> Failure {
    Failure::with_code(NOT_NOW, sentence)
}
