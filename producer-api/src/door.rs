//! What every request shares, and the path of a call from event to answer: to the log, or to the outbox.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use event_model::{
    EncodedRecord, Event, EventId, EventTime, House, IdempotencyScope, Line, Place, SpringTypes,
    Tag, encode, header,
};
use resident_token::Verifier;
use serde::Serialize;
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
    idempotency::{CallsInFlight, Claim, IdempotencyKey, KeyOwner, Progress, Ticket},
    limiter::{Limiter, Wait},
    log::{AppendError, Log, RecordToSend, Sending},
    outbox::{Fate, Outbox, Owner, QueuedCall, TakeError, WriteFailed},
    recent_calls::{KeyUse, RecentCall, RecentCalls},
};

/// All that requests share.
pub(crate) struct Door {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) log: Arc<Log>,
    pub(crate) houses: Limiter<(event_model::Topic, Line, House)>,
    pub(crate) strangers: Option<Limiter<AddressKey>>,
    pub(crate) in_flight: CallsInFlight,
    pub(crate) recent: Arc<RecentCalls>,
    pub(crate) outbox: Option<Arc<Outbox>>,
    /// Appends go on when their caller's connection breaks: the call was made.
    pub(crate) appends: TaskTracker,
    pub(crate) deadline: Duration,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) spring_types: SpringTypes,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    /// A call could be stored now: `201`, or `202` with an outbox that can be written.
    pub(crate) ready: bool,
    /// The log answers and has its topics.
    log: bool,
    /// The producers have their ids.
    producers: bool,
    /// Whether the outbox can be written. Absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    outbox: Option<bool>,
    /// Whether the keys of the last 25 hours are known again.
    keys: bool,
    /// What is in the way of a `201`, or was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A call that has been read and attributed.
pub(crate) struct Call {
    pub(crate) event: Event,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) traceparent: Option<String>,
    /// The bytes as they came, where they could not be read as a whole: what an Idempotency-Key covers then.
    pub(crate) unreadable_body: Option<Bytes>,
}

impl Door {
    /// The next call would go straight through.
    pub(crate) fn is_ready(&self) -> bool {
        self.way_to_log().is_ok()
    }

    /// The same, or what is in the way.
    pub(crate) fn way_to_log(&self) -> Result<(), String> {
        if let Some(trouble) = self.log.reach().trouble() {
            Err(trouble)
        } else if !self.log.is_warm() {
            Err("the log has not given the producers their ids yet".to_owned())
        } else {
            Ok(())
        }
    }

    /// Whether a call could be stored now, and what is in its way to the log.
    pub(crate) fn readiness(&self) -> Readiness {
        let (log, producers) = (self.log.reach().is_good(), self.log.is_warm());
        let way = self.way_to_log();
        let outbox = self.outbox.as_ref().map(|outbox| outbox.readiness());
        let straight = way.is_ok();
        let reasons = [
            way.err(),
            outbox.as_ref().and_then(|outbox| outbox.trouble.clone()),
        ];
        Readiness {
            ready: straight || outbox.as_ref().is_some_and(|outbox| outbox.usable),
            log,
            producers,
            outbox: outbox.map(|outbox| outbox.usable),
            keys: self.recent.is_whole(),
            reason: reasons
                .into_iter()
                .flatten()
                .reduce(|all, one| format!("{all}; {one}")),
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
            mut notices,
            traceparent,
            unreadable_body,
        } = call;
        notices.extend(self.notice_of_no_live_call(&event));
        let making = Making {
            event,
            owner: Owner::of(caller),
            key: None,
            traceparent,
            deadline,
        };
        let (taken, telling) = match key {
            None => (self.make(making, None).await?, Telling::First),
            Some(key) => {
                let scope = key.scope(caller, path_of(&making.event));
                let making = making.with_derived_id(&scope, unreadable_body.as_deref());
                let owner = KeyOwner::new(caller, making.event.topic(), &key);
                self.make_once(making, &scope, owner).await?
            }
        };
        Ok(Answer {
            taken,
            warnings: notices,
            telling,
        })
    }

    /// An accept for which no call is live is taken: the view may be behind, and help that is offered is told.
    fn notice_of_no_live_call(&self, event: &Event) -> Option<Notice> {
        let Event::Accepted(accept) = event else {
            return None;
        };
        let live = self.recent.has_live_call(
            &accept.line,
            &accept.target,
            accept.alert_id,
            clock::steady(),
        );
        (live == Some(false)).then_some(Notice::NO_LIVE_CALL)
    }

    async fn make_once(
        self: &Arc<Self>,
        making: Making,
        scope: &IdempotencyScope<'_>,
        owner: KeyOwner,
    ) -> Result<(Taken, Telling), Refusal> {
        let (id, topic) = (making.event.id(), making.event.topic());
        loop {
            let ticket = match self.in_flight.claim(owner.clone(), id) {
                Claim::First(ticket) => Some(ticket),
                // As long as not all is known, the other call may be the one that reused the key.
                Claim::Reused if self.recent.is_whole() => {
                    return Err(Refusal::IdempotencyKeyReused);
                }
                Claim::Reused => None,
                Claim::Wait(progress) => {
                    // Also what an earlier run took: every instance derives the same id.
                    if let Some(taken) = self.outboxed(id, &making.owner) {
                        return Ok((taken, Telling::Again));
                    }
                    match timeout_at(making.deadline, ended(progress)).await {
                        Ok(Some(taken)) => return Ok((taken, Telling::Again)),
                        // The first try gave up: this one may be the next first.
                        Ok(None) => continue,
                        Err(_) => {
                            let taken = self
                                .outboxed(id, &making.owner)
                                .ok_or(Refusal::OutcomeUnknown { id })?;
                            return Ok((taken, Telling::Again));
                        }
                    }
                }
            };
            // Only now: what ended between two looks stands among the recent calls before it leaves the ones in flight.
            if let Some(taken) = self.outboxed(id, &making.owner) {
                return Ok((taken, Telling::Again));
            }
            return match self.recent.key_use(scope, topic, id, clock::steady()) {
                KeyUse::New => Ok((self.make(making, ticket).await?, Telling::First)),
                KeyUse::Repeated(taken) => Ok((taken, Telling::Again)),
                KeyUse::Reused => Err(Refusal::IdempotencyKeyReused),
            };
        }
    }

    /// Where an earlier try took a call by way of the outbox. One that the log would not take may be tried anew.
    fn outboxed(&self, id: EventId, owner: &Owner) -> Option<Taken> {
        match self.whereabouts(id, owner)? {
            Whereabouts::Taken(taken) => Some(taken),
            Whereabouts::Dead { .. } => None,
        }
    }

    /// Where a call of the last 25 hours is, told to who made it.
    pub(crate) fn whereabouts(&self, id: EventId, owner: &Owner) -> Option<Whereabouts> {
        let recent = self.recent.find(id, &owner.issuer, &owner.subject);
        if let Some(Taken::Stored(_)) = recent {
            return recent.map(Whereabouts::Taken);
        }
        let outboxed = self
            .outbox
            .as_ref()
            .and_then(|outbox| outbox.fate(id, owner));
        let Some((fate, at)) = outboxed else {
            return recent.map(Whereabouts::Taken);
        };
        Some(match fate {
            Fate::Queued | Fate::Delivered => Whereabouts::Taken(Taken::Queued { id, at }),
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
        let record = making.record(self.spring_types);
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
        match timeout_at(making.deadline, sending.delivered()).await {
            Ok(Ok(place)) => Ok(self.delivered(&making, place, ticket).await),
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

    /// The record is in the log. Where the report does not say at which place, the log's tail will: the record is not
    /// sent again for that, and its caller waits no longer than for any other answer.
    async fn delivered(
        &self,
        making: &Making,
        place: Option<Place>,
        ticket: Option<Ticket>,
    ) -> Taken {
        let (id, at) = (making.event.id(), making.event.at());
        self.recent.add(making.recent_call(place), clock::steady());
        let place = match place {
            Some(place) => Some(place),
            None => timeout_at(making.deadline, self.recent.place_of(id))
                .await
                .ok(),
        };
        let taken = match place {
            Some(place) => Taken::Stored(Stored { id, place, at }),
            None => Taken::Queued { id, at },
        };
        if let Some(ticket) = ticket {
            ticket.taken(taken.clone());
        }
        taken
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
            Err(refused) => {
                warn!(%id, error = &refused as &dyn std::error::Error, "a call found no place in the outbox");
                let error = match refused {
                    TakeError::Disk(WriteFailed::Unknown) => AppendError::OutcomeUnknown(None),
                    TakeError::Disk(WriteFailed::NotWritten) | TakeError::Full(_) => error,
                };
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
            Fate::Queued | Fate::Delivered => Taken::Queued { id, at },
            Fate::Dead => return Err(Refusal::LogRefused),
        })
    }
}

/// A call on its way, and until when its caller waits.
struct Making {
    event: Event,
    owner: Owner,
    key: Option<Tag>,
    traceparent: Option<String>,
    deadline: Instant,
}

impl Making {
    /// The id that every try under this key has, through any instance.
    fn with_derived_id(self, scope: &IdempotencyScope<'_>, unreadable_body: Option<&[u8]>) -> Self {
        let event = with_derived_id(self.event, scope, unreadable_body);
        let key = Some(scope.tag());
        Self { event, key, ..self }
    }

    fn caller(&self) -> Tag {
        Tag::of_caller(self.event.id(), &self.owner.issuer, &self.owner.subject)
    }

    fn record(&self, spring_types: SpringTypes) -> EncodedRecord {
        let mut record = encode(&self.event, spring_types, self.traceparent.as_deref());
        let mut put = |name, tag: Tag| record.headers.push((name, tag.to_string().into_bytes()));
        put(header::CALLER, self.caller());
        if let Some(key) = self.key {
            put(header::IDEMPOTENCY_KEY, key);
        }
        record
    }

    fn recent_call(&self, place: Option<Place>) -> RecentCall {
        let event = &self.event;
        let house = match event {
            Event::Raised(alert) => Some((alert.line.clone(), alert.house.clone())),
            Event::Accepted(_) => None,
        };
        RecentCall {
            id: event.id(),
            topic: event.topic(),
            at: event.at(),
            place,
            caller: Some(self.caller()),
            key: self.key,
            house,
        }
    }
}

/// What the first try of a call found: `None` if it gave up.
async fn ended(mut progress: watch::Receiver<Progress>) -> Option<Taken> {
    let ended = progress
        .wait_for(|progress| *progress != Progress::OnItsWay)
        .await;
    match &*ended.ok()? {
        Progress::Taken(taken) => Some(taken.clone()),
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

fn with_derived_id(
    event: Event,
    scope: &IdempotencyScope<'_>,
    unreadable_body: Option<&[u8]>,
) -> Event {
    match event {
        Event::Raised(mut alert) => {
            alert.id = match unreadable_body {
                Some(body) => alert.idempotent_id_of_bytes(scope, body),
                None => alert.idempotent_id(scope),
            };
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
