//! One event on its way to the sockets: encoded once, shared by all of them.

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use event_model::{
    Event, EventId, EventTime, Line, RecordPosition, Recorded, fold::AcceptStatus, push as body,
};

use crate::{position::Position, stomp};

/// An event as every subscriber of its line is sent it, but for the head of the subscription.
#[derive(Debug)]
pub(crate) struct OutboundEvent {
    pub(crate) line: Line,
    pub(crate) place: RecordPosition,
    pub(crate) id: EventId,
    pub(crate) kind: Kind,
    /// Whose alert it accepts, and as which.
    pub(crate) accept_status: AcceptStatus,
    /// When it became news.
    pub(crate) recency: Recency,
    /// `{topic}-{partition}-{offset}`: the same for every receiver.
    pub(crate) message_id: String,
    /// Where a client stands once it has this.
    pub(crate) position: Position,
    body: Vec<u8>,
    rest: Bytes,
    rest_replayed: OnceLock<Bytes>,
}

/// Since when an event is news, by a clock that can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recency {
    /// It was read as it came, at this moment since the gateway's start: no wall clock has a say.
    Live(Duration),
    /// It was in the log when the gateway started: when it was written, by the times and the order of the records.
    Before(EventTime),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A house calls.
    Alert,
    /// A neighbour accepts this alert, if it is known which.
    Accept { alert_id: Option<EventId> },
}

const CONTENT_TYPE: &str = "application/json";

impl OutboundEvent {
    /// Encodes an event. `accept_status` says which alert an accept belongs to, and its rank.
    pub(crate) fn encode(
        recorded: &Recorded,
        accept_status: AcceptStatus,
        position: Position,
        recency: Recency,
    ) -> Self {
        let (kind, body) = match &recorded.event {
            Event::Raised(alert) => (
                Kind::Alert,
                body::alert(alert, body::PositionShown::WhileLive),
            ),
            Event::Accepted(accept) => (
                Kind::Accept {
                    alert_id: accept_status.alert_id,
                },
                body::accept(accept, accept_status),
            ),
            Event::Life(_) => unreachable!(
                "only the topics of calls are read, and their records are no life events"
            ),
        };
        let message_id = recorded.place.to_string();
        let rest = rest(kind, &message_id, position, &body, None);
        Self {
            line: recorded.event.line().clone(),
            place: recorded.place,
            id: recorded.event.id(),
            kind,
            accept_status,
            recency,
            message_id,
            position,
            body,
            rest,
            rest_replayed: OnceLock::new(),
        }
    }

    /// The shared half of its MESSAGE, sent as it happens.
    pub(crate) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// The half of its MESSAGE behind the head for a client that was not connected when it happened and came back with a
    /// position. What the client had then, it still has: gateways read the two topics in orders of their own, so the position
    /// of an event here may fall short of the client's in one of them. Shared but for those.
    pub(crate) fn rest_replayed(&self, resumed_from: Option<&Position>) -> Bytes {
        let position = resumed_from.map_or(self.position, |from| self.position.furthest(from));
        let replayed = Some(("replayed", "true"));
        let encode = || rest(self.kind, &self.message_id, position, &self.body, replayed);
        if position == self.position {
            self.rest_replayed.get_or_init(encode).clone()
        } else {
            encode()
        }
    }

    /// Memory that it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.body.len() + self.rest.len() + 200
    }
}

fn rest(
    kind: Kind,
    message_id: &str,
    position: Position,
    body: &[u8],
    mark: Option<(&'static str, &'static str)>,
) -> Bytes {
    let name = match kind {
        Kind::Alert => body::ALERT,
        Kind::Accept { .. } => body::ACCEPT,
    };
    let position = position.to_string();
    let mut headers = vec![
        ("message-id", message_id),
        ("type", name),
        ("content-type", CONTENT_TYPE),
        ("position", &position),
    ];
    headers.extend(mark);
    stomp::shared_rest(&headers, body).into()
}

/// The shared half of a MESSAGE that is not an event of the log: a notice, or the answer to a resume. It is named by
/// this gateway and only to this client.
pub(crate) fn note(name: &str, message_id: &str, body: &serde_json::Value) -> Bytes {
    let headers = [
        ("message-id", message_id),
        ("type", name),
        ("content-type", CONTENT_TYPE),
    ];
    stomp::shared_rest(&headers, body.to_string().as_bytes()).into()
}
