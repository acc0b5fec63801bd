//! A client that is ahead of this gateway: its position names a record that was not read here yet.
//!
//! That is no other log: another gateway was quicker. The SUBSCRIBE waits, and is judged once the record was read, or
//! once the log itself is known to end before it. After `SocketLimits::wait_for_log_max` it is told `behind`, gets the live alerts, and what
//! is older than its position comes as `replayed`, never again as live.

use std::{sync::Arc, time::Duration};

use event_model::{Line, PARTITIONS, partition_for};

use super::{ConnectionKey, Shard};
use crate::{
    disconnect_reason::DisconnectReason,
    outbound_event::OutboundEvent,
    position::Position,
    replay_buffer::ResumeError,
    stomp::{Effect, Subscribe, SubscriptionKey},
};

/// How often those that wait are looked at, at most, while the gateway catches up.
const JUDGE_EVERY: Duration = Duration::from_millis(20);
/// How many SUBSCRIBEs of one connection wait; one more is told at once.
const PENDING_MAX: usize = 4;

/// A SUBSCRIBE that waits.
#[derive(Debug)]
pub(super) struct PendingSubscribe {
    pub(super) key: ConnectionKey,
    subscribe: Subscribe,
    line: Line,
    since: Duration,
    /// What follows once it is done: its RECEIPT.
    then: Vec<Effect>,
}

impl Shard {
    pub(super) fn subscribe_line(
        &mut self,
        key: ConnectionKey,
        subscribe: Subscribe,
        line: Line,
        then: Vec<Effect>,
    ) -> Result<(), DisconnectReason> {
        let Some(token) = &subscribe.resume_from else {
            let backfill = self.snapshot(&subscribe, &line);
            return self.join_line(key, &subscribe, line, backfill, None, then);
        };
        let outcome = self.since(&line, token);
        let waiting = self.pending.iter().filter(|pending| pending.key == key);
        if matches!(outcome, Err(ResumeError::Behind)) && waiting.count() < PENDING_MAX {
            self.pending.push(PendingSubscribe {
                key,
                subscribe,
                line,
                // Not the round's time, which an answer of the log that was asked before this SUBSCRIBE may be later than.
                since: self.clock.elapsed(),
                then,
            });
            return Ok(());
        }
        self.resume(key, &subscribe, line, outcome, then)
    }

    fn resume(
        &mut self,
        key: ConnectionKey,
        subscribe: &Subscribe,
        line: Line,
        outcome: Result<Vec<Arc<OutboundEvent>>, ResumeError>,
        then: Vec<Effect>,
    ) -> Result<(), DisconnectReason> {
        let position: Option<Position> = subscribe
            .resume_from
            .as_ref()
            .and_then(|token| token.parse().ok());
        let ahead = match outcome {
            Err(ResumeError::Behind) => position.map(|position| (position, self.clock.elapsed())),
            Ok(_) | Err(_) => None,
        };
        let backfill = self.resumed(&line, position, outcome);
        self.join_line(key, subscribe, line, backfill, ahead, then)
    }

    fn since(&self, line: &Line, token: &str) -> Result<Vec<Arc<OutboundEvent>>, ResumeError> {
        if token == "now" {
            return Ok(Vec::new());
        }
        let position: Position = token.parse().map_err(|_| ResumeError::BadToken)?;
        self.publisher
            .replay_buffer()
            .since(line, partition_for(line, PARTITIONS), &position)
    }

    /// Looks at the SUBSCRIBEs that wait. Called after all that may have changed what is known.
    pub(super) fn judge_pending(&mut self) {
        if self.next_judgement(self.now) != Some(Duration::ZERO) {
            return;
        }
        (self.pending_changed, self.judged_at) = (false, self.now);
        for pending in std::mem::take(&mut self.pending) {
            let Some(outcome) = self.judged(&pending) else {
                self.pending.push(pending);
                continue;
            };
            let PendingSubscribe {
                key,
                subscribe,
                line,
                then,
                ..
            } = pending;
            if let Err(reason) = self.resume(key, &subscribe, line, outcome, then) {
                self.refuse(key, &reason);
            }
        }
    }

    /// `None`: it goes on waiting.
    fn judged(
        &self,
        pending: &PendingSubscribe,
    ) -> Option<Result<Vec<Arc<OutboundEvent>>, ResumeError>> {
        let token = pending.subscribe.resume_from.as_deref()?;
        let outcome = self.since(&pending.line, token);
        if !matches!(outcome, Err(ResumeError::Behind)) {
            return Some(outcome);
        }
        let is_of_another_log = token
            .parse()
            .is_ok_and(|position: Position| self.log_ends.refute(&position, pending.since));
        if is_of_another_log {
            return Some(Err(ResumeError::Epoch));
        }
        (pending.since + self.limits.wait_for_log_max <= self.now).then_some(outcome)
    }

    /// How long until those that wait are looked at: when one has waited long enough, or soon after something changed.
    pub(super) fn next_judgement(&self, now: Duration) -> Option<Duration> {
        // Those that wait stand in the order in which they came.
        let until = self.pending.first()?.since + self.limits.wait_for_log_max;
        let soon = self.judged_at + JUDGE_EVERY;
        let at = if self.pending_changed {
            soon.min(until)
        } else {
            until
        };
        Some(at.saturating_sub(now))
    }

    /// The subscription has ended before it began: the frames that are still to be sent about it.
    pub(super) fn give_up_pending(
        &mut self,
        key: ConnectionKey,
        subscription: SubscriptionKey,
    ) -> Vec<Vec<u8>> {
        let is_it = |pending: &PendingSubscribe| {
            pending.key == key && pending.subscribe.key == subscription
        };
        let Some(at) = self.pending.iter().position(is_it) else {
            return Vec::new();
        };
        let frames = self.pending.remove(at).then.into_iter();
        frames
            .filter_map(|effect| match effect {
                Effect::Send(frame) => Some(frame),
                _ => None,
            })
            .collect()
    }
}
