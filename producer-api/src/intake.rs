//! The way of a call from submission to answer: to the log, or to the outbox.

use std::{sync::Arc, time::Duration};

use event_model::{Event, EventId, House, Line, RecordPosition, SpringTypes, Tag, Topic};
use log_client::RecordToSend;
use service_kit::error_value;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, warn};

use crate::{
    api_error::ApiError,
    call_response::CallResponse,
    call_status::CallStatus,
    clock,
    earlier_try::{EarlierTry, LookUp, OpenTry},
    idempotency::{Claim, InFlightCalls, InFlightGuard, Progress},
    kafka::{AppendError, AppendOutcome, LogProducer},
    limiter::{Limiter, RetryAfter},
    outbox::{DeliveryStatus, EnqueueError, Outbox, QueuedCall, WriteError},
    owner::Owner,
    receipt::Receipt,
    recent_calls::{KeyUse, RecentCall, RecentCalls},
    response_warning::ResponseWarning,
    submission::Submission,
};

/// Takes calls in, and knows where those of the last 25 hours are.
pub(crate) struct Intake {
    pub(crate) log: Arc<LogProducer>,
    pub(crate) outbox: Option<Arc<Outbox>>,
    pub(crate) recent: Arc<RecentCalls>,
    pub(crate) in_flight: InFlightCalls,
    pub(crate) calls_by_house: Limiter<(Topic, Line, House)>,
    /// Appends go on when the client's connection breaks: the call was made.
    pub(crate) appends: TaskTracker,
    /// Ends what still waits for the outcome of a call whose client has its answer.
    pub(crate) stop: CancellationToken,
    /// How long a client waits for the answer to its call.
    pub(crate) deadline: Duration,
    pub(crate) spring_types: SpringTypes,
}

impl Intake {
    /// Stores the call, or says where an earlier try of it is.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        submission: Submission,
        warnings: Vec<ResponseWarning>,
    ) -> Result<CallResponse, ApiError> {
        let started = clock::steady();
        let deadline = Instant::from_std(started) + self.deadline;
        let topic = submission.event.topic();
        let submitted = match submission.key {
            None => {
                let stored = self.store(submission, None, deadline).await;
                stored.map(|receipt| (receipt, false))
            }
            Some(key) => self.submit_once(submission, key, deadline).await,
        };
        let outcome = match &submitted {
            Ok((Receipt { place: Some(_), .. }, _)) => "stored",
            Ok((Receipt { place: None, .. }, _)) => "queued",
            Err(_) => "refused",
        };
        metrics::histogram!("producer_api_call_seconds", "topic" => topic.name(), "outcome" => outcome)
            .record(clock::steady() - started);
        let (receipt, is_replay) = submitted?;
        Ok(CallResponse {
            receipt,
            warnings,
            is_replay,
        })
    }

    /// A call that may have been submitted before, under the same key; with its receipt, whether it was.
    async fn submit_once(
        self: &Arc<Self>,
        submission: Submission,
        key: Tag,
        deadline: Instant,
    ) -> Result<(Receipt, bool), ApiError> {
        let (id, topic) = (submission.event.id(), submission.event.topic());
        let replay = |receipt| (receipt, true);
        let guard = loop {
            let progress = match self.in_flight.claim(key, topic, id) {
                Claim::First(guard) => break Some(guard),
                // As long as not all is known, the other call may be the one that reused the key.
                Claim::Reused if !self.recent.is_caught_up() => break None,
                Claim::Reused => return Err(ApiError::IdempotencyKeyReused),
                Claim::Wait(progress) => progress,
            };
            // Also what an earlier run took: every instance derives the same id.
            if let Some(receipt) = self.earlier_receipt(id, &submission.owner) {
                return Ok(replay(receipt));
            }
            match timeout_at(deadline, outcome_of(progress)).await {
                Ok(Some(receipt)) => return Ok(replay(receipt)),
                // The first try gave up: this one may be the next first.
                Ok(None) => {}
                Err(_) => {
                    let receipt = self.earlier_receipt(id, &submission.owner);
                    return receipt.map(replay).ok_or(ApiError::OutcomeUnknown { id });
                }
            }
        };
        // Only now: what ended between two looks stands among the recent calls before it leaves the ones in flight.
        if let Some(receipt) = self.earlier_receipt(id, &submission.owner) {
            return Ok(replay(receipt));
        }
        match self.recent.key_use(key, topic, id, clock::steady()) {
            KeyUse::New => {
                let stored = self.store(submission, guard, deadline).await?;
                Ok((stored, false))
            }
            KeyUse::Repeated(receipt) => Ok(replay(receipt)),
            KeyUse::Reused => Err(ApiError::IdempotencyKeyReused),
        }
    }

    /// The receipt of an earlier try. A call that the log would not take may be tried anew.
    fn earlier_receipt(&self, id: EventId, owner: &Owner) -> Option<Receipt> {
        match self.call_status(id, owner)? {
            CallStatus::Received(receipt) => Some(receipt),
            CallStatus::Dead { .. } => None,
        }
    }

    /// Where a call of the last 25 hours is. Only its owner is told.
    pub(crate) fn call_status(&self, id: EventId, owner: &Owner) -> Option<CallStatus> {
        let recent = self.recent.find(id, owner);
        if recent.is_some_and(|receipt| receipt.place.is_some()) {
            return recent.map(CallStatus::Received);
        }
        let outbox = self.outbox.as_ref();
        let Some((status, at)) = outbox.and_then(|outbox| outbox.status(id, owner)) else {
            return recent.map(CallStatus::Received);
        };
        let received = |place| CallStatus::Received(Receipt { id, at, place });
        Some(match status {
            DeliveryStatus::Queued => received(None),
            DeliveryStatus::Stored(place) => received(place),
            DeliveryStatus::Dead => CallStatus::Dead { id, at },
        })
    }

    /// Stores a call that was not submitted before, if its house may call again.
    async fn store(
        self: &Arc<Self>,
        submission: Submission,
        guard: Option<InFlightGuard>,
        deadline: Instant,
    ) -> Result<Receipt, ApiError> {
        let event = &submission.event;
        let house = (event.topic(), event.line().clone(), event.house().clone());
        let allowed = self.calls_by_house.take(house.clone(), clock::steady());
        allowed.map_err(|RetryAfter(wait)| ApiError::HouseRateLimited { wait })?;
        let id = event.id();
        let intake = Arc::clone(self);
        let append = async move {
            let receipt = intake.append_or_enqueue(submission, guard, deadline).await;
            if receipt.is_err() {
                // Not heard, or perhaps not: its next try is a first call again.
                intake.calls_by_house.give_back(&house);
            }
            receipt
        };
        let append = self.appends.spawn(append.in_current_span());
        append.await.unwrap_or(Err(ApiError::OutcomeUnknown { id }))
    }

    /// What is known before the first try of this process. Soon after a start the log's tail has still to tell what an earlier
    /// run stored under a key; where it cannot be read, calls do not wait for it.
    fn earlier_try(&self, submission: &Submission) -> EarlierTry {
        if submission.key.is_some() && self.recent.is_catching_up() {
            EarlierTry::Unknown {
                ended: self.recent.started_at(),
            }
        } else {
            EarlierTry::NotStored
        }
    }

    /// To the log, and to the outbox if the log does not have it in time.
    async fn append_or_enqueue(
        self: &Arc<Self>,
        submission: Submission,
        guard: Option<InFlightGuard>,
        deadline: Instant,
    ) -> Result<Receipt, ApiError> {
        let record = submission.record(self.spring_types);
        let earlier = self.earlier_try(&submission);
        let line = submission.event.line();
        let waits = |outbox: &Arc<Outbox>| {
            matches!(earlier, EarlierTry::Unknown { .. }) || outbox.holds(line)
        };
        let outcome = if self.outbox.as_ref().is_some_and(waits) {
            AppendOutcome::Failed(AppendError::Unavailable)
        } else {
            self.log
                .append(&RecordToSend::from(&record), deadline)
                .await
        };
        let (error, earlier) = match outcome {
            AppendOutcome::Stored(place) => {
                return Ok(self.stored(&submission, place, guard, deadline).await);
            }
            AppendOutcome::Failed(error) => {
                let earlier = earlier.ended(&error);
                (error, earlier)
            }
            AppendOutcome::Late(delivery) => {
                let error = AppendError::OutcomeUnknown(None);
                (error, EarlierTry::Pending(delivery))
            }
        };
        let open = OpenTry { earlier, guard };
        let outbox = self.outbox.as_ref();
        let outbox = outbox.filter(|_| !matches!(error, AppendError::Rejected(_)));
        let Some(outbox) = outbox else {
            self.await_outcome(submission.recent_call(None), open);
            return Err(api_error_of(error, &submission.event));
        };
        let recent_call = submission.recent_call(None);
        let Submission { event, owner, .. } = submission;
        let call = QueuedCall::new(event.id(), event.line().clone(), owner, record);
        match outbox.enqueue(call, open).await {
            Ok(status) => self.queued(&event, status, deadline).await,
            Err((refused, open)) => {
                let id = event.id();
                self.await_outcome(recent_call, open);
                warn!(%id, error = error_value(&refused), "a call found no place in the outbox");
                Err(api_error_of(
                    match refused {
                        EnqueueError::Disk(WriteError::Unknown) => {
                            AppendError::OutcomeUnknown(None)
                        }
                        EnqueueError::Disk(WriteError::NotWritten) | EnqueueError::Full(_) => error,
                    },
                    &event,
                ))
            }
        }
    }

    /// The record is in the log. Where the report does not say at which place, the log's tail will: the record is not
    /// sent again for that, and the client waits no longer than for any other answer.
    async fn stored(
        &self,
        submission: &Submission,
        place: Option<RecordPosition>,
        guard: Option<InFlightGuard>,
        deadline: Instant,
    ) -> Receipt {
        let (id, at) = (submission.event.id(), submission.event.at());
        self.recent
            .add(submission.recent_call(place), clock::steady());
        let place = match place {
            Some(place) => Some(place),
            None => timeout_at(deadline, self.recent.place_of(id)).await.ok(),
        };
        let receipt = Receipt { id, at, place };
        if let Some(guard) = guard {
            guard.complete(receipt);
        }
        receipt
    }

    /// The client is told that its call may be stored or not. Its repetitions under the same key wait until that is known, and
    /// what is in the log is not sent again.
    fn await_outcome(self: &Arc<Self>, call: RecentCall, open: OpenTry) {
        let OpenTry {
            earlier,
            guard: Some(guard),
        } = open
        else {
            return;
        };
        let (intake, stop) = (Arc::clone(self), self.stop.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the service, which cancels the token"
        )]
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let reported = match earlier {
                EarlierTry::NotStored => return,
                EarlierTry::Unknown { ended } => Err(ended),
                EarlierTry::Pending(mut delivery) => match delivery.delivered().await {
                    Ok(place) => Ok(place),
                    Err(AppendError::OutcomeUnknown(_)) => Err(clock::steady()),
                    Err(_) => return,
                },
            };
            let place = match reported {
                Ok(place) => place,
                Err(ended) => {
                    let mut look_up = LookUp::new(&intake.log, &intake.recent);
                    let Some(place) = look_up.place_of(call.id, ended).await else {
                        return;
                    };
                    Some(place)
                }
            };
            let (id, at) = (call.id, call.at);
            intake
                .recent
                .add(RecentCall { place, ..call }, clock::steady());
            guard.complete(Receipt { id, at, place });
        }));
    }

    /// The call is in the outbox. A log that answers may have it before the deadline.
    async fn queued(
        &self,
        event: &Event,
        mut status: watch::Receiver<DeliveryStatus>,
        deadline: Instant,
    ) -> Result<Receipt, ApiError> {
        let (id, at) = (event.id(), event.at());
        if !self.log.health().is_unavailable() {
            let ended = status.wait_for(|status| *status != DeliveryStatus::Queued);
            if let Ok(Ok(_)) = timeout_at(deadline, ended).await {
                debug!(%id, "a call left the outbox before its deadline");
            }
        }
        let place = match *status.borrow() {
            DeliveryStatus::Stored(place) => place,
            DeliveryStatus::Queued => None,
            DeliveryStatus::Dead => return Err(ApiError::LogRefused),
        };
        Ok(Receipt { id, at, place })
    }
}

/// What the first try of a call found: `None` if it gave up.
async fn outcome_of(mut progress: watch::Receiver<Progress>) -> Option<Receipt> {
    let ended = progress
        .wait_for(|progress| *progress != Progress::Pending)
        .await;
    match &*ended.ok()? {
        Progress::Completed(receipt) => Some(*receipt),
        Progress::Pending | Progress::Abandoned => None,
    }
}

fn api_error_of(error: AppendError, event: &Event) -> ApiError {
    let id = event.id();
    warn!(%id, topic = %event.topic(), error = error_value(&error), "a call was not stored");
    match error {
        AppendError::Unavailable => ApiError::LogUnavailable,
        AppendError::ProducerQueueFull => ApiError::ProducerQueueFull,
        AppendError::NotStored(_) | AppendError::Rejected(_) => ApiError::LogRefused,
        AppendError::OutcomeUnknown(_) => ApiError::OutcomeUnknown { id },
    }
}
