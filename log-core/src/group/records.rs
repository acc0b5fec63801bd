//! The records that a group has asked for and whose fate it does not know yet, with the answers that wait for them.

use std::collections::BTreeMap;

use super::effect::{Joined, LeaveResult};
use super::record_id::RecordId;
use crate::ids::RequestId;

/// What a record's fate decides.
#[derive(Clone, Debug)]
pub(super) enum Awaited {
    /// The members that wait in SyncGroup get their assignments.
    Assignment,
    /// A static member that returned learns that it is back.
    StaticReturn { to: RequestId, joined: Box<Joined> },
    /// The last members to go learn that they are gone. None when they went silently.
    Emptied {
        leave: Option<(RequestId, Vec<LeaveResult>)>,
    },
}

/// The open records, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Records {
    next: u64,
    open: BTreeMap<RecordId, Awaited>,
}

impl Records {
    /// Opens a record.
    pub(super) fn open(&mut self, awaited: Awaited) -> RecordId {
        let id = RecordId(self.next);
        self.next += 1;
        self.open.insert(id, awaited);
        id
    }

    /// Adds the answer to those who left to the record that they were the last.
    pub(super) fn leave_waits_for(&mut self, id: RecordId, to: RequestId, left: Vec<LeaveResult>) {
        let before = self.open.insert(
            id,
            Awaited::Emptied {
                leave: Some((to, left)),
            },
        );
        assert!(
            matches!(before, Some(Awaited::Emptied { leave: None })),
            "two leaves wait for one record"
        );
    }

    /// Closes a record. None if it is not open: it was opened before [`super::Input::Retire`].
    pub(super) fn close(&mut self, id: RecordId) -> Option<Awaited> {
        self.open.remove(&id)
    }

    /// Closes them all.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = Awaited> + use<> {
        std::mem::take(&mut self.open).into_values()
    }

    pub(super) fn are_all_closed(&self) -> bool {
        self.open.is_empty()
    }
}
