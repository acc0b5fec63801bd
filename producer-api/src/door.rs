//! What every request shares, and the path of a call from event to answer.

use std::{net::IpAddr, sync::Arc, time::Duration};

use event_model::{Event, EventTime, House, IdempotencyScope, Line, SpringTypes, encode};
use resident_token::Verifier;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};

use crate::{
    answer::{Answer, Notice, Stored, Telling},
    clock,
    errors::Refusal,
    household::Household,
    idempotency::{Claim, IdempotencyKey, KeyOwner, Progress, Replays, Ticket},
    limiter::{Limiter, Wait},
    log::{AppendError, Log},
};

/// All that requests share.
pub(crate) struct Door {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) log: Arc<Log>,
    pub(crate) houses: Limiter<(event_model::Topic, Line, House)>,
    pub(crate) strangers: Option<Limiter<IpAddr>>,
    pub(crate) replays: Replays,
    /// Appends go on when their caller's connection breaks: the call was made.
    pub(crate) appends: TaskTracker,
    pub(crate) deadline: Duration,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) spring_types: SpringTypes,
}

/// A call that has been read and attributed.
pub(crate) struct Call {
    pub(crate) event: Event,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) traceparent: Option<String>,
}

impl Door {
    /// The next call would go straight through.
    pub(crate) fn is_ready(&self) -> bool {
        self.log.reach().is_good() && self.log.is_warm()
    }

    /// Stores the call, or says where an earlier try of it is.
    pub(crate) async fn take(
        self: &Arc<Self>,
        caller: &Household,
        call: Call,
    ) -> Result<Answer, Refusal> {
        let came_in = clock::steady();
        let deadline = Instant::from_std(came_in) + self.deadline;
        let topic = call.event.topic();
        let answer = self.take_by(deadline, caller, call).await;
        let outcome = if answer.is_ok() { "stored" } else { "refused" };
        metrics::histogram!("producer_api_call_seconds", "topic" => topic.name(), "outcome" => outcome)
            .record(clock::steady() - came_in);
        answer
    }

    async fn take_by(
        self: &Arc<Self>,
        deadline: Instant,
        caller: &Household,
        call: Call,
    ) -> Result<Answer, Refusal> {
        let Call {
            event,
            key,
            notices,
            traceparent,
        } = call;
        let (stored, telling) = match key {
            None => (
                self.store_new(event, traceparent, None, deadline).await?,
                Telling::First,
            ),
            Some(key) => {
                self.take_once(caller, event, &key, traceparent, deadline)
                    .await?
            }
        };
        Ok(Answer {
            stored,
            warnings: notices,
            telling,
        })
    }

    async fn take_once(
        self: &Arc<Self>,
        caller: &Household,
        event: Event,
        key: &IdempotencyKey,
        traceparent: Option<String>,
        deadline: Instant,
    ) -> Result<(Stored, Telling), Refusal> {
        let path = path_of(&event);
        let event = with_derived_id(event, &key.scope(caller, path));
        loop {
            match self
                .replays
                .claim(KeyOwner::new(caller, event.topic(), key), event.id())
            {
                Claim::First(ticket) => {
                    let stored = self
                        .store_new(event, traceparent, Some(ticket), deadline)
                        .await?;
                    return Ok((stored, Telling::First));
                }
                Claim::Again(stored) => return Ok((stored, Telling::Again)),
                Claim::Reused => return Err(Refusal::IdempotencyKeyReused),
                Claim::Wait(progress) => match timeout_at(deadline, ended(progress)).await {
                    Err(_) => return Err(Refusal::OutcomeUnknown { id: event.id() }),
                    Ok(Some(stored)) => return Ok((stored, Telling::Again)),
                    // The first try gave up: this one may be the next first.
                    Ok(None) => {}
                },
            }
        }
    }

    /// A call that nobody has made before.
    async fn store_new(
        self: &Arc<Self>,
        event: Event,
        traceparent: Option<String>,
        ticket: Option<Ticket>,
        deadline: Instant,
    ) -> Result<Stored, Refusal> {
        let house = (event.topic(), event.line().clone(), event.house().clone());
        let taken = self.houses.take(house.clone(), clock::steady());
        taken.map_err(|Wait(wait)| Refusal::HouseRateLimited { wait })?;
        let id = event.id();
        let door = Arc::clone(self);
        let append = async move {
            door.append(&event, traceparent.as_deref(), ticket, deadline)
                .await
        };
        let append = self.appends.spawn(append.in_current_span());
        let stored = append.await.unwrap_or(Err(Refusal::OutcomeUnknown { id }));
        if stored.is_err() {
            // Not heard, or perhaps not: its next try is a first call again.
            self.houses.give_back(&house);
        }
        stored
    }

    async fn append(
        &self,
        event: &Event,
        traceparent: Option<&str>,
        ticket: Option<Ticket>,
        deadline: Instant,
    ) -> Result<Stored, Refusal> {
        let record = encode(event, self.spring_types, traceparent);
        let place = match self.log.append(&record, deadline).await {
            Ok(place) => place,
            Err(error) => return Err(refusal_of(error, event)),
        };
        let stored = Stored {
            id: event.id(),
            place,
            at: event.at(),
        };
        if let Some(ticket) = ticket {
            ticket.stored(stored.clone());
        }
        Ok(stored)
    }
}

/// What the first try of a call found: `None` if it gave up.
async fn ended(mut progress: watch::Receiver<Progress>) -> Option<Stored> {
    let ended = progress
        .wait_for(|progress| *progress != Progress::OnItsWay)
        .await;
    match &*ended.ok()? {
        Progress::Stored(stored) => Some(stored.clone()),
        Progress::OnItsWay | Progress::GivenUp => None,
    }
}

fn refusal_of(error: AppendError, event: &Event) -> Refusal {
    let id = event.id();
    warn!(%id, topic = %event.topic(), error = &error as &dyn std::error::Error, "a call was not stored");
    match error {
        AppendError::Unavailable => Refusal::LogUnavailable,
        AppendError::LaneFull => Refusal::LaneFull,
        AppendError::Refused(_) => Refusal::LogRefused,
        AppendError::OutcomeUnknown(_) => Refusal::OutcomeUnknown { id },
    }
}

fn path_of(event: &Event) -> &'static str {
    match event {
        Event::Raised(_) => "/alert",
        Event::Accepted(_) => "/accept",
    }
}

fn with_derived_id(event: Event, scope: &IdempotencyScope<'_>) -> Event {
    match event {
        Event::Raised(mut alert) => {
            alert.id = alert.idempotent_id(scope);
            Event::Raised(alert)
        }
        Event::Accepted(mut accept) => {
            accept.id = accept.idempotent_id(scope);
            Event::Accepted(accept)
        }
    }
}

/// The time of a call that comes in now.
pub(crate) fn call_time() -> EventTime {
    EventTime::from(clock::wall())
}
