//! What is known of the consumer groups: which generations have begun, who owns what, how far they have come.

use std::collections::BTreeMap;

use super::super::member;
use super::super::view::View;
use super::violation::Violation;
use crate::ids::{EntryIndex, Generation, GroupId, Offset, PartitionIndex};

#[derive(Default)]
pub(super) struct Groups {
    /// The latest generation in which somebody was given an assignment: the ones before are over.
    begun: Generation,
    owners: BTreeMap<(Generation, PartitionIndex), String>,
    /// As of the latest entry that any node has applied.
    committed: BTreeMap<(GroupId, PartitionIndex), Offset>,
    as_of: EntryIndex,
}

impl Groups {
    pub(super) fn begun(&self) -> Generation {
        self.begun
    }

    pub(super) fn assigned(
        &mut self,
        generation: Generation,
        owner: String,
        partitions: &[PartitionIndex],
    ) -> Result<(), Violation> {
        self.begun = self.begun.max(generation);
        for partition in partitions.iter().copied() {
            let known = self.owners.entry((generation, partition));
            let first = known.or_insert_with(|| owner.clone()).clone();
            if first != owner {
                return Err(Violation::TwoOwners {
                    partition,
                    generation,
                    first,
                    second: owner,
                });
            }
        }
        Ok(())
    }

    /// Looks at the committed offsets of a node that is further than any before it.
    pub(super) fn observe(&mut self, view: &View<'_>) -> Result<(), Violation> {
        if view.applied <= self.as_of {
            return Ok(());
        }
        self.as_of = view.applied;
        if view.state.group(&member::watching_group()).is_none() {
            // It was unused and forgotten, or was never there: it begins with the first generation.
            self.begun = Generation::default();
            self.owners.clear();
        }
        for (group, known) in view.state.groups() {
            for (place, committed) in known.offsets() {
                let (partition, after) = (place.partition, committed.offset);
                let before = self.committed.insert((group.clone(), partition), after);
                if let Some(before) = before.filter(|before| after < *before) {
                    return Err(Violation::OffsetFell {
                        group: group.clone(),
                        partition,
                        index: view.applied,
                        before,
                        after,
                    });
                }
            }
        }
        Ok(())
    }
}
