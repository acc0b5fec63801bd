//! What ends a process, or may never happen in one.

/// Why a process cannot go on: the error with its causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

/// What must not happen, whatever clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// Something was forgotten as unused for days, in a life of seconds.
    Forgotten,
    /// Records were taken by a leader that knew that most voters have no room for them.
    TakenWithoutRoom,
    /// Less time lay between two commands of a leader than had passed.
    CommandTimeStoodStill,
}
