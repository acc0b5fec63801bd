//! What a consumer wants to see.

/// What a consumer wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    Uncommitted,
    Committed,
}
