//! The records of one topic of a line, by id.

use std::collections::BTreeMap;

use super::{Added, ID_MEMORY, Repeats, millis};
use crate::{EventId, EventTime, RecordPosition};

/// Records by id. Those of one id stand in the order of the log, and the first one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ledger<T> {
    pub(super) events: BTreeMap<EventId, Vec<T>>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            events: BTreeMap::new(),
        }
    }
}

impl<T: Entry> Ledger<T> {
    pub(super) fn get(&self, id: EventId) -> Option<&T> {
        self.events.get(&id)?.first()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.events.values().filter_map(|copies| copies.first())
    }

    pub(super) fn insert(&mut self, entry: T) -> Added {
        let Some(copies) = self.events.get_mut(&entry.id()) else {
            self.events.insert(entry.id(), vec![entry]);
            return Added::New;
        };
        match copies.binary_search_by_key(&entry.place(), Entry::place) {
            Ok(_) => Added::Again,
            Err(position) => {
                copies.insert(position, entry);
                Added::Duplicate
            }
        }
    }

    /// The ids that have a record from before `horizon`, each with the record that counts now.
    pub(super) fn older_than(&self, horizon: EventTime) -> Vec<(EventId, T)> {
        let old = self
            .events
            .iter()
            .filter(|(_, copies)| copies.iter().any(|copy| copy.recorded_at() < horizon));
        old.filter_map(|(id, copies)| Some((*id, copies.first()?.clone())))
            .collect()
    }

    pub(super) fn forget(&mut self, id: EventId, horizon: EventTime) {
        let Some(copies) = self.events.get_mut(&id) else {
            return;
        };
        copies.retain(|copy| copy.recorded_at() >= horizon);
        if copies.is_empty() {
            self.events.remove(&id);
        }
    }

    pub(super) fn repeats(&self) -> Repeats {
        let mut repeats = Repeats::default();
        for copies in self.events.values() {
            let Some((first, others)) = copies.split_first() else {
                continue;
            };
            for copy in others {
                let late = copy.recorded_at().millis_since(first.recorded_at()) > millis(ID_MEMORY);
                *(if late {
                    &mut repeats.late
                } else {
                    &mut repeats.duplicates
                }) += 1;
            }
        }
        repeats
    }
}

/// What a [`Ledger`] asks of its entries.
pub(super) trait Entry: Clone {
    fn id(&self) -> EventId;
    fn place(&self) -> RecordPosition;
    fn recorded_at(&self) -> EventTime;
}
