//! How old the records are that retention takes, by command time that leaders lived through.

use super::super::topic;
use super::super::view::View;
use super::Violation;
use crate::ids::{EntryIndex, Offset, TimestampMs};

#[derive(Default)]
pub(super) struct Retained {
    furthest: EntryIndex,
    clock: TimestampMs,
    log_start: Offset,
    /// Where records end, and a time before which those up to there were not appended; in order.
    appended: Vec<(Offset, TimestampMs)>,
}

impl Retained {
    /// A node has applied more; whether records are gone.
    pub(super) fn observe(&mut self, view: &View<'_>) -> Result<bool, Violation> {
        if view.applied <= self.furthest {
            return Ok(false);
        }
        self.furthest = view.applied;
        let before = std::mem::replace(&mut self.clock, view.state.clock());
        let Some(partition) = view.state.partition(&topic::brief_place()) else {
            return Ok(false);
        };
        let end = partition.high_watermark();
        if self.appended.last().is_none_or(|(last, _)| *last < end) {
            self.appended.push((end, before));
        }
        let log_start = partition.log_start_offset();
        if log_start <= self.log_start {
            return Ok(false);
        }
        self.log_start = log_start;
        let youngest = self.appended.iter().find(|(end, _)| log_start <= *end);
        let (_, since) = youngest.expect("records are below the high watermark");
        let jumps = view.state.clock_jumps();
        let age_ms = jumps.age_ms(*since, self.clock);
        // A note of a jump takes up to ten seconds out that had counted before: those by which a wall clock was ahead unsaid.
        let counted_otherwise = jumps.iter().any(|jump| *since < jump.at);
        if age_ms <= topic::BRIEF_RETENTION_MS && !counted_otherwise {
            return Err(Violation::TakenEarly { log_start, age_ms });
        }
        Ok(true)
    }
}
