//! Old bugs, put back on purpose: a checker that never fired is only a hope.

use super::client::Said;
use crate::broker::ProposeError;
use crate::consensus::Persist;
use crate::testing::{Call, Fault, Operation};

/// A bug that the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The journal's syncs do nothing.
    JournalNotSynced,
    /// The names of new journal segments are not made durable.
    SegmentNameNotSynced,
    /// A step is confirmed, and its messages leave, before it is on disk.
    ToldBeforeSynced,
    /// Votes and epochs are not written.
    PromiseNotWritten,
    /// Who lost leadership says "not stored" of what it had proposed.
    UnknownSaidToBeRefused,
    /// A node whose disk was lost comes back empty under its old name, and votes.
    EmptyDiskUnderAnOldName,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 6] = [
        Planted::JournalNotSynced,
        Planted::SegmentNameNotSynced,
        Planted::ToldBeforeSynced,
        Planted::PromiseNotWritten,
        Planted::UnknownSaidToBeRefused,
        Planted::EmptyDiskUnderAnOldName,
    ];

    /// Spoils a call to the disk.
    pub(super) fn spoil_call(self, call: &Call<'_>) -> Option<Fault> {
        match self {
            Planted::JournalNotSynced => ignored(call, Operation::SyncFile),
            Planted::SegmentNameNotSynced => ignored(call, Operation::SyncFolder),
            _ => None,
        }
    }

    /// Spoils a step on its way to the journal.
    pub(super) fn spoil_step(self, step: &mut Persist) {
        if self == Planted::PromiseNotWritten {
            step.hard_state = None;
        }
    }

    /// Spoils an answer on its way to a client.
    pub(super) fn spoil_answer(self, said: Said) -> Said {
        match said {
            Said::Outcome(Err(ProposeError::OutcomeUnknown))
                if self == Planted::UnknownSaidToBeRefused =>
            {
                Said::Outcome(Err(ProposeError::NotLeader))
            }
            said => said,
        }
    }
}

fn ignored(call: &Call<'_>, operation: Operation) -> Option<Fault> {
    let of_journal = call
        .path
        .components()
        .any(|part| part.as_os_str() == "journal");
    (of_journal && call.operation == operation).then_some(Fault::Ignored)
}
