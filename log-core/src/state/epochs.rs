//! The table epoch → start offset of a partition (KIP-101, Kafka's `LeaderEpochFileCache`): how a client finds out that
//! what it read was written by another leader than the one it knew.

use serde::{Deserialize, Serialize};

use crate::ids::{LeaderEpoch, Offset};

/// Where each leader's records begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochTable {
    /// Both columns grow strictly.
    starts: Vec<(LeaderEpoch, Offset)>,
}

/// The end of what an epoch, or the last one before it, has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch with records that is not above the one asked for, or that one itself.
    pub epoch: LeaderEpoch,
    /// Exclusive.
    pub end_offset: Offset,
}

/// Whether a client's last record was written by the leader it thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It was.
    Agrees,
    /// Its log and this one part here: Fetch answers a diverging epoch, and the client goes back.
    DivergesAt(EpochEnd),
    /// It knows a later epoch than this leader's: OFFSET_OUT_OF_RANGE.
    UnknownEpoch,
}

impl EpochTable {
    /// Notes that `epoch` appends at `start`.
    pub(super) fn note(&mut self, epoch: LeaderEpoch, start: Offset) {
        let Some(&(last_epoch, last_start)) = self.starts.last() else {
            return self.starts.push((epoch, start));
        };
        assert!(
            last_epoch <= epoch,
            "leader epoch fell from {last_epoch} to {epoch}"
        );
        if last_epoch == epoch {
            return;
        }
        assert!(
            last_start <= start,
            "epoch {epoch} begins at {start}, inside epoch {last_epoch}"
        );
        if last_start == start {
            // All that the last one wrote is deleted.
            self.starts.pop();
        }
        self.starts.push((epoch, start));
    }

    /// Forgets epochs that ended before `log_start`; the one it lies in begins there now.
    pub(super) fn cut_before(&mut self, log_start: Offset) {
        let begun = self
            .starts
            .partition_point(|(_, start)| *start <= log_start);
        self.starts.drain(..begun.saturating_sub(1));
        if let Some(first) = self.starts.first_mut() {
            first.1 = first.1.max(log_start);
        }
    }

    /// The epochs and their first offsets, in order.
    pub fn iter(&self) -> impl Iterator<Item = (LeaderEpoch, Offset)> + '_ {
        self.starts.iter().copied()
    }

    /// The epoch of the last batch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
    }

    /// The epoch that wrote the record at `offset`; for the end of the log, the last one.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let begun = self.starts.partition_point(|(_, start)| *start <= offset);
        begun.checked_sub(1).map(|last| self.starts[last].0)
    }

    /// Answers OffsetForLeaderEpoch. `leader` is the epoch of the present leader, which begins at `log_end` if it has not
    /// written yet. `None` where Kafka answers "undefined": the asker knows a later epoch than the leader's.
    pub fn end_of(
        &self,
        asked: LeaderEpoch,
        leader: LeaderEpoch,
        log_end: Offset,
    ) -> Option<EpochEnd> {
        if leader < asked {
            return None;
        }
        let known = self.starts.partition_point(|(epoch, _)| *epoch <= asked);
        let end_offset = self.starts.get(known).map_or(log_end, |(_, start)| *start);
        let epoch = match known.checked_sub(1) {
            Some(last) if asked < leader => self.starts[last].0,
            _ => asked,
        };
        Some(EpochEnd { epoch, end_offset })
    }

    /// Compares with a client that has read up to `from` and knows that the record before was of `last_fetched` (KIP-595's
    /// check in Fetch). The other two as in [`Self::end_of`].
    pub fn agreement(
        &self,
        last_fetched: LeaderEpoch,
        from: Offset,
        leader: LeaderEpoch,
        log_end: Offset,
    ) -> Agreement {
        match self.end_of(last_fetched, leader, log_end) {
            None => Agreement::UnknownEpoch,
            Some(end) if end.epoch < last_fetched || end.end_offset < from => {
                Agreement::DivergesAt(end)
            }
            Some(_) => Agreement::Agrees,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> EpochTable {
        let mut table = EpochTable::default();
        for (epoch, start) in [(2, 0), (2, 5), (5, 10), (7, 20)] {
            table.note(LeaderEpoch(epoch), Offset(start));
        }
        table
    }

    fn end_of(table: &EpochTable, asked: u32) -> Option<(u32, u64)> {
        let end = table.end_of(LeaderEpoch(asked), LeaderEpoch(9), Offset(30));
        end.map(|end| (end.epoch.0, end.end_offset.0))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_that_wrote_begins() {
        let table = table();

        assert_eq!(end_of(&table, 2), Some((2, 10)));
        assert_eq!(end_of(&table, 5), Some((5, 20)));
        assert_eq!(end_of(&table, 7), Some((7, 30)));
    }

    #[test]
    fn an_epoch_that_wrote_nothing_answers_for_the_one_before() {
        let table = table();

        assert_eq!(end_of(&table, 6), Some((5, 20)));
        assert_eq!(end_of(&table, 8), Some((7, 30)));
        assert_eq!(end_of(&table, 1), Some((1, 0)));
    }

    #[test]
    fn the_present_leader_ends_at_the_log_end_and_a_later_epoch_is_unknown() {
        let table = table();

        assert_eq!(end_of(&table, 9), Some((9, 30)));
        assert_eq!(end_of(&table, 10), None);
    }

    #[test]
    fn a_reader_past_the_end_of_the_epoch_it_knows_has_read_what_is_not_here() {
        let table = table();
        let agreement = |epoch, from| {
            table.agreement(LeaderEpoch(epoch), Offset(from), LeaderEpoch(9), Offset(30))
        };

        assert_eq!(agreement(5, 20), Agreement::Agrees);
        let end = EpochEnd {
            epoch: LeaderEpoch(5),
            end_offset: Offset(20),
        };
        assert_eq!(agreement(5, 21), Agreement::DivergesAt(end));
        assert_eq!(agreement(6, 15), Agreement::DivergesAt(end));
        assert_eq!(agreement(10, 15), Agreement::UnknownEpoch);
    }

    #[test]
    fn cutting_the_front_keeps_the_epoch_of_the_first_record_left() {
        let mut table = table();
        table.cut_before(Offset(12));

        assert_eq!(
            table.iter().collect::<Vec<_>>(),
            [(LeaderEpoch(5), Offset(12)), (LeaderEpoch(7), Offset(20))]
        );
        assert_eq!(table.epoch_at(Offset(12)), Some(LeaderEpoch(5)));
        assert_eq!(table.epoch_at(Offset(11)), None);
    }
}
