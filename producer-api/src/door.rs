//! What every request shares, and the path of a call from event to answer: to the log, or to the outbox.

use std::{sync::Arc, time::Duration};

use event_model::{
    EncodedRecord, Event, EventId, EventTime, House, IdempotencyScope, Line, SpringTypes, encode,
};
use resident_token::Verifier;
use service_kit::bounds::AddressKey;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, warn};

use crate::{
    answer::{Answer, Notice, Stored, Taken, Telling, Whereabouts},
    clock,
    errors::Refusal,
    household::Household,
    idempotency::{Claim, IdempotencyKey, KeyOwner, Progress, Replays, Ticket},
    limiter::{Limiter, Wait},
    log::{AppendError, Log, Sending},
    outbox::{Fate, Outbox, Owner, QueuedCall, RecordToSend},
};

/// All that requests share.
pub(crate) struct Door {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) log: Arc<Log>,
    pub(crate) houses: Limiter<(event_model::Topic, Line, House)>,
    pub(crate) strangers: Option<Limiter<AddressKey>>,
    pub(crate) replays: Replays,
    pub(crate) outbox: Option<Arc<Outbox>>,
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
        self.readiness().is_ok()
    }

    /// The same, or what is missing.
    pub(crate) fn readiness(&self) -> Result<(), &'static str> {
        if !self.log.reach().is_good() {
            Err("the log does not answer")
        } else if !self.log.is_warm() {
            Err("the log has not given the producers their ids yet")
        } else {
            Ok(())
        }
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
        let outcome = match &answer {
            Ok(Answer {
                taken: Taken::Stored(_),
                ..
            }) => "stored",
            Ok(_) => "queued",
            Err(_) => "refused",
        };
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
            notices: warnings,
            traceparent,
        } = call;
        let making = Making {
            event,
            owner: Owner::of(caller),
            traceparent,
            deadline,
        };
        let (taken, telling) = match key {
            None => (self.make(making, None).await?, Telling::First),
            Some(key) => self.make_once(caller, making, &key).await?,
        };
        Ok(Answer {
            taken,
            warnings,
            telling,
        })
    }

    async fn make_once(
        self: &Arc<Self>,
        caller: &Household,
        making: Making,
        key: &IdempotencyKey,
    ) -> Result<(Taken, Telling), Refusal> {
        let making = making.with_derived_id(caller, key);
        let id = making.event.id();
        loop {
            // Also what an earlier run took: the id is the same, whoever derives it.
            if let Some(taken) = self.outboxed(id, &making.owner) {
                return Ok((taken, Telling::Again));
            }
            match self
                .replays
                .claim(KeyOwner::new(caller, making.event.topic(), key), id)
            {
                Claim::First(ticket) => {
                    return Ok((self.make(making, Some(ticket)).await?, Telling::First));
                }
                Claim::Again(stored) => return Ok((Taken::Stored(stored), Telling::Again)),
                Claim::Reused => return Err(Refusal::IdempotencyKeyReused),
                Claim::Wait(progress) => match timeout_at(making.deadline, ended(progress)).await {
                    Ok(Some(stored)) => return Ok((Taken::Stored(stored), Telling::Again)),
                    // The first try gave up: this one may be the next first.
                    Ok(None) => {}
                    Err(_) => {
                        let taken = self
                            .outboxed(id, &making.owner)
                            .ok_or(Refusal::OutcomeUnknown { id })?;
                        return Ok((taken, Telling::Again));
                    }
                },
            }
        }
    }

    /// Where an earlier try took a call by way of the outbox. One that the log would not take may be tried anew.
    fn outboxed(&self, id: EventId, owner: &Owner) -> Option<Taken> {
        match self.whereabouts(id, owner)? {
            Whereabouts::Taken(taken) => Some(taken),
            Whereabouts::Dead { .. } => None,
        }
    }

    /// Where a call is that came through the outbox lately, told to who made it.
    pub(crate) fn whereabouts(&self, id: EventId, owner: &Owner) -> Option<Whereabouts> {
        let (fate, at) = self.outbox.as_ref()?.fate(id, owner)?;
        Some(match fate {
            Fate::Queued => Whereabouts::Taken(Taken::Queued { id, at }),
            Fate::Stored(place) => Whereabouts::Taken(Taken::Stored(Stored { id, place, at })),
            Fate::Dead => Whereabouts::Dead { id, at },
        })
    }

    /// A call that nobody has made before.
    async fn make(
        self: &Arc<Self>,
        making: Making,
        ticket: Option<Ticket>,
    ) -> Result<Taken, Refusal> {
        let event = &making.event;
        let house = (event.topic(), event.line().clone(), event.house().clone());
        let allowed = self.houses.take(house.clone(), clock::steady());
        allowed.map_err(|Wait(wait)| Refusal::HouseRateLimited { wait })?;
        let id = event.id();
        let door = Arc::clone(self);
        let append = async move {
            let taken = door.append(making, ticket).await;
            if taken.is_err() {
                // Not heard, or perhaps not: its next try is a first call again.
                door.houses.give_back(&house);
            }
            taken
        };
        let append = self.appends.spawn(append.in_current_span());
        append.await.unwrap_or(Err(Refusal::OutcomeUnknown { id }))
    }

    /// To the log, and to the outbox if the log does not have it in time.
    async fn append(&self, making: Making, ticket: Option<Ticket>) -> Result<Taken, Refusal> {
        let event = &making.event;
        let record = encode(event, self.spring_types, making.traceparent.as_deref());
        if self
            .outbox
            .as_ref()
            .is_some_and(|outbox| outbox.holds(event.line()))
        {
            return self
                .queue(making, record, None, ticket, AppendError::Unavailable)
                .await;
        }
        let mut sending = match self
            .log
            .send(&RecordToSend::from(&record), making.deadline)
            .await
        {
            Ok(sending) => sending,
            Err(error) => return self.queue(making, record, None, ticket, error).await,
        };
        match timeout_at(making.deadline, sending.place()).await {
            Ok(Ok(place)) => {
                let stored = Stored {
                    id: event.id(),
                    place,
                    at: event.at(),
                };
                if let Some(ticket) = ticket {
                    ticket.stored(stored.clone());
                }
                Ok(Taken::Stored(stored))
            }
            Ok(Err(error)) => self.queue(making, record, None, ticket, error).await,
            Err(_) => {
                self.queue(
                    making,
                    record,
                    Some(sending),
                    ticket,
                    AppendError::OutcomeUnknown(None),
                )
                .await
            }
        }
    }

    /// What the log did not take goes to the outbox, unless there is none or the log will never take it.
    async fn queue(
        &self,
        making: Making,
        record: EncodedRecord,
        sending: Option<Sending>,
        ticket: Option<Ticket>,
        error: AppendError,
    ) -> Result<Taken, Refusal> {
        let Making {
            event,
            owner,
            deadline,
            ..
        } = making;
        let (Some(outbox), false) = (&self.outbox, matches!(error, AppendError::Refused(_))) else {
            return Err(refusal_of(error, &event));
        };
        let (id, at) = (event.id(), event.at());
        let call = QueuedCall::new(id, event.line().clone(), owner, record);
        let mut fate = match outbox.take(&self.log, call, sending, ticket).await {
            Ok(fate) => fate,
            Err(full) => {
                warn!(%id, error = &full as &dyn std::error::Error, "a call found no place in the outbox");
                return Err(refusal_of(error, &event));
            }
        };
        if !self.log.reach().is_gone() {
            let ended = fate.wait_for(|fate| *fate != Fate::Queued);
            if let Ok(Ok(_)) = timeout_at(deadline, ended).await {
                debug!(%id, "a call left the outbox before its deadline");
            }
        }
        let fate = fate.borrow().clone();
        Ok(match fate {
            Fate::Stored(place) => Taken::Stored(Stored { id, place, at }),
            Fate::Queued => Taken::Queued { id, at },
            Fate::Dead => return Err(Refusal::LogRefused),
        })
    }
}

/// A call on its way, and until when its caller waits.
struct Making {
    event: Event,
    owner: Owner,
    traceparent: Option<String>,
    deadline: Instant,
}

impl Making {
    /// The id that every try under this key has, through any instance.
    fn with_derived_id(self, caller: &Household, key: &IdempotencyKey) -> Self {
        let path = path_of(&self.event);
        let event = with_derived_id(self.event, &key.scope(caller, path));
        Self { event, ..self }
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
        AppendError::NotNow(_) | AppendError::Refused(_) => Refusal::LogRefused,
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
