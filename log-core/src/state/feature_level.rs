//! Which commands and which behaviour the cluster may use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What commands and behaviour the cluster may use: raised by the operator once every broker has it (rule 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeatureLevel(pub u16);

impl FeatureLevel {
    /// The first there was.
    pub const FIRST: Self = Self(1);
    /// Segments know the command times of their appends, and jumps of command time are noted.
    pub const WITNESSED_TIME: Self = Self(2);
    /// What this software has.
    pub const LATEST: Self = Self::WITNESSED_TIME;
}

impl fmt::Display for FeatureLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
