//! The events: a house calls for help, a neighbour accepts, and what happens to the call from then on.

use std::fmt;
use std::sync::Arc;

use crate::id::IdempotencyScope;
use crate::{EventId, EventTime, House, LifeEvent, Line, Position, Seen, Text, Topic, Warning};

/// Is this real? (The Common Alerting Protocol's `status`.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Somebody needs help. What is not marked otherwise is this.
    #[default]
    Actual,
    /// A drill: shown to all, marked as one.
    Exercise,
    /// A check of the system itself, by a canary or an operator.
    Test,
}

impl Status {
    /// The name in records and pushes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "Actual",
            Self::Exercise => "Exercise",
            Self::Test => "Test",
        }
    }

    /// The status of that name, exactly as [`Self::as_str`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Actual, Self::Exercise, Self::Test]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A house calls for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRaised {
    /// The event's id: the same in every record that repeats it.
    pub id: EventId,
    /// The complex that is to hear it.
    pub line: Line,
    /// The house that calls.
    pub house: House,
    /// What the caller says.
    pub text: Text,
    /// Where the caller is, if the phone said so.
    pub position: Option<Position>,
    /// When it was raised.
    pub at: EventTime,
    /// Real or not.
    pub status: Status,
    /// What was degraded to be able to take it, in no particular order, each once.
    pub warnings: Vec<Warning>,
}

/// A neighbour accepts: will come, or is calling for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertAccepted {
    /// The event's id: the same in every record that repeats it.
    pub id: EventId,
    /// The complex of both houses.
    pub line: Line,
    /// The house that accepts.
    pub responder: House,
    /// The caller whose alert is accepted.
    pub target: House,
    /// The alert, where the client named it. Else it is bound by [`crate::fold`].
    pub alert_id: Option<EventId>,
    /// When it was accepted.
    pub at: EventTime,
    /// What the responder knew of the lives of the line's calls.
    pub seen: Option<Seen>,
    /// Its alert's.
    pub status: Status,
    /// What was degraded to be able to take it, in no particular order, each once.
    pub warnings: Vec<Warning>,
}

impl AlertRaised {
    /// The id under an Idempotency-Key: the same for a retry through any instance, another one for another text. What may
    /// differ between two tries of one press (position, accuracy, time) is left out, and so is the present `id`.
    pub fn idempotent_id(&self, scope: &IdempotencyScope<'_>) -> EventId {
        scope.derive(&[
            self.line.as_str().as_bytes(),
            self.house.as_str().as_bytes(),
            self.text.as_str().as_bytes(),
            self.status.as_str().as_bytes(),
        ])
    }

    /// The id of a call whose body could not be read as a whole: it covers the bytes as they came.
    pub fn idempotent_id_of_bytes(&self, scope: &IdempotencyScope<'_>, body: &[u8]) -> EventId {
        let (line, house) = (self.line.as_str(), self.house.as_str());
        // One field more than the id of any call that was read.
        scope.derive(&[b"unreadable", b"", line.as_bytes(), house.as_bytes(), body])
    }
}

impl AlertAccepted {
    /// As [`AlertRaised::idempotent_id`]. The status is left out: it is taken from the alert, which a retry may know by then;
    /// so is `seen`.
    pub fn idempotent_id(&self, scope: &IdempotencyScope<'_>) -> EventId {
        let alert_id = self.alert_id.map(|id| id.to_string()).unwrap_or_default();
        scope.derive(&[
            self.line.as_str().as_bytes(),
            self.responder.as_str().as_bytes(),
            self.target.as_str().as_bytes(),
            alert_id.as_bytes(),
        ])
    }
}

/// Anything that is written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A house calls for help.
    Raised(AlertRaised),
    /// A neighbour accepts.
    Accepted(AlertAccepted),
    /// Something else happens to a call. Shared: the fold keeps it as a whole.
    Life(Arc<LifeEvent>),
}

impl Event {
    /// The event's id.
    pub fn id(&self) -> EventId {
        match self {
            Self::Raised(alert) => alert.id,
            Self::Accepted(accept) => accept.id,
            Self::Life(event) => event.id,
        }
    }

    /// The complex it belongs to: the key of its record.
    pub fn line(&self) -> &Line {
        match self {
            Self::Raised(alert) => &alert.line,
            Self::Accepted(accept) => &accept.line,
            Self::Life(event) => &event.line,
        }
    }

    /// The house that acted: the caller, the responder, or who did something else to the call.
    pub fn house(&self) -> &House {
        match self {
            Self::Raised(alert) => &alert.house,
            Self::Accepted(accept) => &accept.responder,
            Self::Life(event) => &event.house,
        }
    }

    /// When it happened.
    pub fn at(&self) -> EventTime {
        match self {
            Self::Raised(alert) => alert.at,
            Self::Accepted(accept) => accept.at,
            Self::Life(event) => event.at,
        }
    }

    /// Puts another time in its place, where its own cannot be believed.
    pub fn set_at(&mut self, at: EventTime) {
        match self {
            Self::Raised(alert) => alert.at = at,
            Self::Accepted(accept) => accept.at = at,
            Self::Life(event) => Arc::make_mut(event).at = at,
        }
    }

    /// Real or not.
    pub fn status(&self) -> Status {
        match self {
            Self::Raised(alert) => alert.status,
            Self::Accepted(accept) => accept.status,
            Self::Life(event) => event.status,
        }
    }

    /// The topic it is written to.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Raised(_) => Topic::Alert,
            Self::Accepted(_) => Topic::Accept,
            Self::Life(_) => Topic::Life,
        }
    }
}
