//! What is counted, under which names. No label holds a line, a house or a person.

use std::time::Duration;

use ::metrics::{counter, gauge};
use event_model::Topic;

/// A socket became a WebSocket of ours.
pub(crate) fn opened() {
    gauge!("ws_gateway_sockets").increment(1);
}

/// It is gone.
pub(crate) fn closed() {
    gauge!("ws_gateway_sockets").decrement(1);
}

/// A connection found no place among those that speak HTTP still.
pub(crate) fn turned_away() {
    counter!("ws_gateway_connections_turned_away_total").increment(1);
}

/// One event went to so many subscriptions.
pub(crate) fn delivered(messages: u64) {
    counter!("ws_gateway_delivered_total").increment(messages);
}

/// So many frames were sent to clients that were away.
pub(crate) fn replayed(messages: usize) {
    counter!("ws_gateway_replayed_total").increment(messages as u64);
}

/// A connection was ended with this code.
pub(crate) fn refused(code: &'static str) {
    counter!("ws_gateway_refused_total", "code" => code).increment(1);
}

/// So many messages were acknowledged.
pub(crate) fn acknowledged(messages: usize) {
    counter!("ws_gateway_acknowledged_total").increment(messages as u64);
}

/// So many messages were declined.
pub(crate) fn declined(messages: usize) {
    counter!("ws_gateway_declined_total").increment(messages as u64);
}

/// What became of a record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordOutcome {
    /// An event, pushed or remembered.
    Event,
    /// An event that is known already.
    Duplicate,
    /// An event of a type that this version does not know.
    UnknownType,
    /// No event at all.
    Undecodable,
    /// An accept of no alert that is known.
    Orphan,
}

impl RecordOutcome {
    fn as_str(self) -> &'static str {
        match self {
            RecordOutcome::Event => "event",
            RecordOutcome::Duplicate => "duplicate",
            RecordOutcome::UnknownType => "unknown_type",
            RecordOutcome::Undecodable => "undecodable",
            RecordOutcome::Orphan => "orphan",
        }
    }
}

/// A record was read.
pub(crate) fn record(topic: Topic, outcome: RecordOutcome) {
    counter!("ws_gateway_records_total", "topic" => topic.name(), "outcome" => outcome.as_str())
        .increment(1);
}

/// Whether the log answered when it was last asked.
pub(crate) fn log_answers(answers: bool) {
    gauge!("ws_gateway_log_answers").set(if answers { 1.0 } else { 0.0 });
}

/// What became of a record that cannot be read: `kept` or `not_kept`.
pub(crate) fn dead_letter(outcome: &'static str) {
    counter!("ws_gateway_dead_letters_total", "outcome" => outcome).increment(1);
}

/// By how many milliseconds this gateway's clock is ahead of the clock that the log's records are stamped by.
pub(crate) fn clock_difference(ahead_ms: i64) {
    gauge!("ws_gateway_clock_difference_seconds").set(ahead_ms as f64 / 1_000.0);
}

/// How old is what the residents know: since when the log was last known to be read to its end.
pub(crate) fn view_age(age: Duration) {
    gauge!("ws_gateway_view_age_seconds").set(age.as_secs_f64());
}
