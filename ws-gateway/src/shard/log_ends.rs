//! How far the log goes.

use std::{collections::BTreeMap, time::Duration};

use event_model::Topic;

use crate::{outbound_event::OutboundEvent, position::Position};

/// Where the log ended when it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogEnds {
    /// When it was asked, since the gateway's start.
    pub(crate) asked_at: Duration,
    /// The offset that the next record gets.
    pub(crate) ends: BTreeMap<(Topic, u32), u64>,
}

impl LogEnds {
    /// Whether the log, asked after `since`, has no record at a place that the position names: it is another log's.
    pub(super) fn refute(&self, position: &Position, since: Duration) -> bool {
        let is_beyond = |topic| {
            let end = self.ends.get(&(topic, position.partition));
            position
                .mark(topic)
                .is_some_and(|mark| end.is_some_and(|end| *end <= mark.offset))
        };
        since <= self.asked_at && Topic::ALL.into_iter().any(is_beyond)
    }

    /// Whether a client that came with a position (and when) has heard this event before.
    pub(super) fn covered(
        &self,
        (position, since): &(Position, Duration),
        event: &OutboundEvent,
    ) -> bool {
        event.place.partition == position.partition
            && position.covers(event.place.topic, event.place.offset)
            && !self.refute(position, *since)
    }
}
