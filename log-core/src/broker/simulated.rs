//! The replica's parts, for a simulation that takes the place of its threads.

use crate::consensus::Message;

pub(crate) use super::journal_group::{Job, JournalGroup, Written};
pub(crate) use super::node::{Limits, assemble};
pub(crate) use super::replica::{Effect, Input, Replica, Ticket};
pub(crate) use super::replica_handle::Shared;
use super::{Outcome, ProposeError};

/// What a simulated node wants from the world around it.
#[derive(Default)]
pub(crate) struct Outbound {
    /// For other replicas.
    pub(crate) messages: Vec<Message>,
    /// For producers.
    pub(crate) answers: Vec<Answer>,
    /// Whether the journal's thread has work.
    pub(crate) journal_waits: bool,
    /// Whether the checkpoint's thread has work.
    pub(crate) checkpoint_waits: bool,
}

/// The answer to a proposal.
pub(crate) struct Answer {
    /// Which producer, and which of its tries.
    pub(crate) asker: (usize, u64),
    /// What came of it.
    pub(crate) outcome: Result<Outcome, ProposeError>,
}
