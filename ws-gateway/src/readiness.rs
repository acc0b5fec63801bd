//! What this gateway can do now: told by the feed, asked by the doors and by operators.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use event_model::Topic;
use serde::Serialize;
use service_kit::{admin, clock::Clock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{event_clock::EventClock, shard::LogEnds};

/// How old the view of the log may be before this gateway is not ready: a new leader takes less, and a balancer that
/// moves residents to another gateway helps them only if that one knows more.
const VIEW_AGE_MAX: Duration = Duration::from_secs(15);
/// Answers of the log that wait until they were read to. Of more, the newest are not needed.
const ENDS_MAX: usize = 8;

/// Not ready until the log was read; afterwards as long as it is read to its end. Cheap to ask; cloned, it is the same.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caught_up: watch::Sender<bool>,
    clock: Clock,
    event_clock: Arc<EventClock>,
    view: Mutex<ReadProgress>,
}

/// Where each partition was read to: the next offset.
pub(crate) type Progress = BTreeMap<(Topic, u32), u64>;

/// How far the log was read, and how far it was known to go.
#[derive(Debug, Default)]
struct ReadProgress {
    read_to: Progress,
    ends: VecDeque<LogEnds>,
    /// When it was last known that everything had been read, since the gateway's start.
    whole_at: Option<Duration>,
}

/// What a gateway says of itself, at `/readyz` in these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadinessReport {
    /// Whether sockets are taken and residents hear what happens now.
    #[serde(rename = "ready")]
    pub(crate) is_ready: bool,
    /// Why not; or what an operator should look at all the same.
    pub(crate) reasons: Vec<&'static str>,
    /// Milliseconds since the log was last known to be read to its end. `None`: it was not read yet. A quiet log is asked
    /// every two seconds, so its view is young.
    pub(crate) view_age_ms: Option<u128>,
    /// Milliseconds by which this gateway's clock is ahead of the log's records; 0 within a minute.
    pub(crate) clock_ahead_ms: i64,
}

impl Readiness {
    /// Not ready.
    pub(crate) fn new(clock: Clock, event_clock: Arc<EventClock>) -> Self {
        Self(Arc::new(Inner {
            caught_up: watch::Sender::new(false),
            clock,
            event_clock,
            view: Mutex::default(),
        }))
    }

    /// From now on sockets are taken.
    pub(crate) fn caught_up(&self) {
        let now = self.0.clock.elapsed();
        self.view(|view| view.whole_at = Some(now));
        self.0.caught_up.send_replace(true);
    }

    /// Whether sockets are taken. It stays so while the log is gone: residents are told so on their sockets.
    pub(crate) fn takes_sockets(&self) -> bool {
        *self.0.caught_up.borrow()
    }

    /// Returns when sockets are taken. Cancel safe.
    pub(crate) async fn wait(&self) {
        let mut changes = self.0.caught_up.subscribe();
        changes
            .wait_for(|caught_up| *caught_up)
            .await
            .expect("the sender is held by self");
    }

    /// All records of a partition before `next` were passed on.
    pub(crate) fn read_to(&self, topic: Topic, partition: u32, next: u64) {
        self.view(|view| {
            view.read_to.insert((topic, partition), next);
            view.settle();
        });
    }

    /// The log answered where it ends.
    pub(crate) fn log_ended_at(&self, ends: LogEnds) {
        self.view(|view| {
            if view.ends.len() < ENDS_MAX {
                view.ends.push_back(ends);
            }
            view.settle();
        });
    }

    /// How far the log was read.
    pub(crate) fn progress(&self) -> Progress {
        self.view(|view| view.read_to.clone())
    }

    pub(crate) fn view_age(&self) -> Option<Duration> {
        let now = self.0.clock.elapsed();
        self.view(|view| view.whole_at)
            .map(|whole_at| now.saturating_sub(whole_at))
    }

    /// What this gateway can do now.
    pub(crate) fn report(&self) -> ReadinessReport {
        let view_age = self.view_age();
        let clock_ahead_ms = self.0.event_clock.ahead_ms();
        let mut reasons = Vec::new();
        if !self.takes_sockets() {
            reasons.push("reading_the_log");
        } else if view_age.is_none_or(|age| VIEW_AGE_MAX < age) {
            reasons.push("log_unavailable");
        }
        let is_ready = reasons.is_empty();
        if clock_ahead_ms != 0 {
            reasons.push("clocks_differ");
        }
        ReadinessReport {
            is_ready,
            reasons,
            view_age_ms: view_age.map(|age| age.as_millis()),
            clock_ahead_ms,
        }
    }

    /// The same as `/readyz` answers it. A gateway that drains takes no sockets.
    pub(crate) fn answer(&self, stop: &CancellationToken) -> admin::Readiness<ReadinessReport> {
        let mut body = self.report();
        if stop.is_cancelled() {
            body.is_ready = false;
            body.reasons.insert(0, "draining");
        }
        let is_ready = body.is_ready;
        admin::Readiness { is_ready, body }
    }

    fn view<T>(&self, use_it: impl FnOnce(&mut ReadProgress) -> T) -> T {
        use_it(&mut self.0.view.lock().expect("no holder of this lock panics"))
    }
}

impl ReadProgress {
    /// The view is as young as the youngest answer of the log that was read to.
    fn settle(&mut self) {
        while let Some(ends) = self.ends.front() {
            let is_read = |(partition, end): (&(Topic, u32), &u64)| {
                *end <= self.read_to.get(partition).copied().unwrap_or(0)
            };
            if !ends.ends.iter().all(is_read) {
                return;
            }
            self.whole_at = self.whole_at.max(Some(ends.asked_at));
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERTS: (Topic, u32) = (Topic::Alert, 0);

    fn ends(asked_at: u64, end: u64) -> LogEnds {
        LogEnds {
            asked_at: Duration::from_secs(asked_at),
            ends: [(ALERTS, end)].into(),
        }
    }

    #[test]
    fn a_view_is_as_young_as_the_last_answer_of_the_log_that_was_read_to() {
        let mut view = ReadProgress::default();
        view.read_to.insert(ALERTS, 5);
        for answer in [ends(1, 5), ends(2, 6), ends(3, 6), ends(4, 7)] {
            view.ends.push_back(answer);
        }

        view.settle();
        assert_eq!(view.whole_at, Some(Duration::from_secs(1)));
        view.read_to.insert(ALERTS, 6);
        view.settle();
        assert_eq!(view.whole_at, Some(Duration::from_secs(3)));
    }
}
