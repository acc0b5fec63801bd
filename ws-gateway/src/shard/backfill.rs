//! What a new subscription is sent before anything live: frames that all sockets share, handed over as the socket takes
//! them. Asking costs the person who asks what it brings, so that it cannot be repeated without end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use event_model::{Line, PARTITIONS, partition_for};

use super::{ConnectionKey, Shard};
use crate::{
    backlog::BacklogItem,
    destination::Channel,
    disconnect_reason::DisconnectReason,
    metrics,
    outbound_event::{self, OutboundEvent},
    position::Position,
    replay_buffer::{ResumeError, SNAPSHOT_WINDOW},
    stomp::{Effect, Subscribe},
    token_bucket::TokenBucket,
};

/// What one person may be sent of the past at once, and then in a second. A family under one pass that comes back after
/// an outage needs a few MiB.
const BYTES_AT_ONCE: i64 = 16 * 1024 * 1024;
const BYTES_PER_SECOND: i64 = 64 * 1024;
/// What a subscription costs that is sent nothing.
const BYTES_MIN: i64 = 1_024;
/// People whose budget is remembered before those who have all of theirs again are forgotten.
const BUDGETS_MIN: usize = 4_096;
/// What is handed to one socket before the others have their turn.
const FILL_BYTES: usize = 256 * 1024;

/// What is to be sent to a new subscription.
pub(super) struct Backfill {
    frames: Vec<Arc<OutboundEvent>>,
    /// The position that it goes on from.
    resumed_from: Option<Position>,
    /// The answer to a resume.
    answer: Option<serde_json::Value>,
}

/// How much of the past each person may still be sent.
#[derive(Debug, Default)]
pub(super) struct BackfillBudgets(BTreeMap<Box<str>, TokenBucket<BYTES_AT_ONCE, BYTES_PER_SECOND>>);

impl BackfillBudgets {
    /// Takes what a person is to be sent.
    fn take(&mut self, subject: &str, bytes: usize, now: Duration) -> bool {
        if BUDGETS_MIN <= self.0.len() {
            self.0.retain(|_, budget| !budget.is_full(now));
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 2).max(BYTES_MIN);
        self.0
            .entry(subject.into())
            .or_insert_with(|| TokenBucket::full(now))
            .take(bytes, now)
    }
}

impl Shard {
    /// Joins, and begins to send what was missed: nothing can happen between the two, since both are done here.
    pub(super) fn join_line(
        &mut self,
        key: ConnectionKey,
        subscribe: &Subscribe,
        line: Line,
        backfill: Backfill,
        ahead: Option<(Position, Duration)>,
        then: Vec<Effect>,
    ) -> Result<(), DisconnectReason> {
        let bytes = backfill.frames.iter().map(|event| event.rest().len()).sum();
        let subject = match self.connection(key) {
            Some(connection) => connection
                .resident()
                .map(|resident| resident.subject.clone()),
            None => return Ok(()),
        };
        let now = self.now;
        if !self
            .backfill_budgets
            .take(&subject.unwrap_or_default(), bytes, now)
        {
            return Err(DisconnectReason::BackfillTooLarge);
        }
        self.join(key, subscribe, Channel::Line(line), ahead);
        metrics::replayed(backfill.frames.len());
        let answer = backfill.answer.map(|body| {
            let message_id = format!("resume-{:x}-{}", key.number, subscribe.key.0);
            let rest = outbound_event::note("resume", &message_id, &body);
            BacklogItem::Note { rest, message_id }
        });
        let resumed_from = backfill.resumed_from;
        let missed = |event| BacklogItem::Missed {
            event,
            resumed_from,
        };
        let frames = backfill.frames.into_iter().map(missed);
        let receipts = then.into_iter().filter_map(|effect| match effect {
            Effect::Send(frame) => Some(BacklogItem::Frame(frame)),
            _ => None,
        });
        let items: VecDeque<_> = answer.into_iter().chain(frames).chain(receipts).collect();
        if !items.is_empty()
            && let Some(connection) = self.connection(key)
        {
            connection.backlogs().begin(subscribe.key, items, now);
            self.fill(key);
        }
        Ok(())
    }

    /// Hands over what was missed until the socket takes no more, or the others want their turn.
    pub(super) fn fill(&mut self, key: ConnectionKey) {
        let mut bytes = 0;
        while bytes < FILL_BYTES {
            let now = self.now;
            let Some(connection) = self.connection(key) else {
                return;
            };
            let Some((subscription, item)) = connection.next_of_backlog(now) else {
                return self.schedule(key);
            };
            bytes += item.len();
            let replayed;
            let (rest, message_id) = match &item {
                BacklogItem::Frame(frame) => {
                    self.send_stomp(key, frame);
                    continue;
                }
                BacklogItem::Missed {
                    event,
                    resumed_from,
                } => {
                    replayed = event.rest_replayed(resumed_from.as_ref());
                    (&replayed, &event.message_id)
                }
                BacklogItem::Live(event) => (event.rest(), &event.message_id),
                BacklogItem::Note { rest, message_id } => (rest, message_id),
            };
            let publisher = &mut self.publisher;
            if let Some(connection) = self.connections.get_mut(key.slot)
                && let Err(error) =
                    publisher.deliver_on(connection, subscription, rest, message_id, now)
            {
                return self.send_failed(key, error);
            }
        }
        self.unfilled.push(key);
    }

    /// What a subscription without a position is sent first.
    pub(super) fn snapshot(&self, subscribe: &Subscribe, line: &Line) -> Backfill {
        let is_recent =
            |event: &OutboundEvent| self.event_clock.age(event.recency) < SNAPSHOT_WINDOW;
        let frames = if subscribe.snapshot {
            self.publisher.replay_buffer().alerts(line, is_recent)
        } else {
            Vec::new()
        };
        Backfill {
            frames,
            resumed_from: None,
            answer: None,
        }
    }

    /// What a subscription from a position is sent first.
    pub(super) fn resumed(
        &self,
        line: &Line,
        from: Option<Position>,
        outcome: Result<Vec<Arc<OutboundEvent>>, ResumeError>,
    ) -> Backfill {
        let position = self
            .publisher
            .replay_buffer()
            .position(partition_for(line, PARTITIONS));
        match outcome {
            Ok(frames) => Backfill {
                answer: Some(recovered(frames.len(), position)),
                resumed_from: from,
                frames,
            },
            Err(reason) => {
                let is_live = |event: &OutboundEvent| self.event_clock.is_live(event.recency);
                let frames = self.publisher.replay_buffer().alerts(line, is_live);
                Backfill {
                    answer: Some(not_recovered(reason, frames.len(), position)),
                    resumed_from: None,
                    frames,
                }
            }
        }
    }
}

fn recovered(count: usize, position: Position) -> serde_json::Value {
    serde_json::json!({"type": "resume", "recovered": true, "count": count, "position": position.to_string()})
}

fn not_recovered(reason: ResumeError, count: usize, position: Position) -> serde_json::Value {
    serde_json::json!({
        "type": "resume", "recovered": false, "reason": reason.as_str(), "count": count,
        "position": position.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_costs_the_person_who_asks_for_it_and_the_budget_comes_back_with_time() {
        let mut budgets = BackfillBudgets::default();
        let megabytes = |now| {
            (0..1_000)
                .take_while(|_| budgets.take("kim", 1024 * 1024, Duration::from_secs(now)))
                .count()
        };
        let mut megabytes = megabytes;
        assert_eq!(megabytes(0), 16);
        assert_eq!(megabytes(1), 1);
        assert_eq!(megabytes(3_600), 16);
        assert!(budgets.take("lee", 1, Duration::ZERO));
    }

    #[test]
    fn the_budgets_of_people_who_are_long_gone_are_forgotten() {
        let mut budgets = BackfillBudgets::default();
        for person in 0..3 * BUDGETS_MIN {
            let now = Duration::from_secs(person as u64);
            assert!(budgets.take(&person.to_string(), 1, now));
        }
        assert!(budgets.0.len() <= BUDGETS_MIN);
    }
}
