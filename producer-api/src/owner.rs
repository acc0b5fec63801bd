//! The owner of a call, as its token says: only the same subject is told about it.

use event_model::{EventId, Tag};
use serde::{Deserialize, Serialize};

/// Stands in the outbox's journal in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The token's `iss`, empty if it has none.
    pub(crate) issuer: String,
    /// The token's `sub`.
    pub(crate) subject: String,
}

impl Owner {
    /// What the record of the call `id` carries of its owner.
    pub(crate) fn tag(&self, id: EventId) -> Tag {
        Tag::of_caller(id, &self.issuer, &self.subject)
    }
}
