//! What is known about the log: whether it answers, has its topics, and stores records.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{append_error::AppendError, topics::Misconfiguration};

/// After so many probes in a row without an answer, the next such one makes the log unavailable: that is above 2.5 s, where an election takes 0.5 s.
const UNANSWERED_PROBES_MAX: u32 = 2;
/// So many probes after a record was refused or not reported in time, that says nothing about the next record any more.
pub(super) const PROBES_PER_FAILURE: u32 = 15;

/// Shared by the producers, the health check and the tasks that wait for the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogHealth {
    unanswered_probes: Arc<AtomicU32>,
    topics_generation: Arc<AtomicU64>,
    state: watch::Sender<HealthState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct HealthState {
    /// Nothing is sent before the topics are there: some logs would make them by themselves, with settings that
    /// forget calls.
    topics_exist: bool,
    /// It has not answered for longer than an election takes.
    unavailable: bool,
    /// The last record that was reported on was not stored, for so many probes from now.
    failure: Option<Failure>,
    /// The topics are set so that no call is taken.
    misconfiguration: Option<Misconfiguration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    reason: String,
    probes_left: u32,
}

impl HealthState {
    fn is_available(&self) -> bool {
        self.topics_exist && !self.unavailable
    }

    fn unready_reason(&self) -> Option<String> {
        if self.unavailable {
            return Some("the log does not answer".to_owned());
        }
        if !self.topics_exist {
            return Some("the log's topics are not there".to_owned());
        }
        if let Some(misconfiguration) = &self.misconfiguration {
            return Some(misconfiguration.to_string());
        }
        let failure = self.failure.as_ref()?;
        Some(format!(
            "the last record was not stored: {}",
            failure.reason
        ))
    }
}

impl LogHealth {
    /// A probe was answered, or a record was stored.
    pub(super) fn record_answer(&self) {
        if UNANSWERED_PROBES_MAX < self.unanswered_probes.swap(0, Ordering::Relaxed) {
            info!("the log is back");
            self.set_unavailable(false);
        }
    }

    pub(super) fn record_unanswered(&self) {
        if self.unanswered_probes.fetch_add(1, Ordering::Relaxed) == UNANSWERED_PROBES_MAX {
            warn!("the log does not answer: nothing is sent until it does");
            self.set_unavailable(true);
        }
    }

    fn set_unavailable(&self, unavailable: bool) {
        self.state
            .send_modify(|state| state.unavailable = unavailable);
        metrics::gauge!("producer_api_log_reachable").set(if unavailable { 0.0 } else { 1.0 });
    }

    /// A record's report came.
    pub(super) fn record_report(&self, outcome: Result<(), &AppendError>) {
        let failure = match outcome {
            Ok(()) => {
                self.record_answer();
                None
            }
            Err(error) => Some(Failure {
                reason: reason_of(error),
                probes_left: PROBES_PER_FAILURE,
            }),
        };
        let begins = |state: &HealthState| state.failure.is_none() != failure.is_none();
        let mut begun = false;
        self.state.send_if_modified(|state| {
            begun = begins(state);
            let changed = state.failure != failure;
            state.failure.clone_from(&failure);
            changed
        });
        match &failure {
            Some(Failure { reason, .. }) if begun => {
                warn!(
                    reason,
                    "the log does not store records: calls wait, or are refused"
                );
            }
            None if begun => info!("the log stores records again"),
            Some(_) | None => {}
        }
    }

    /// One more probe has passed since a record failed.
    pub(super) fn age_failure(&self) {
        self.state.send_if_modified(|state| {
            let Some(failure) = &mut state.failure else {
                return false;
            };
            failure.probes_left = failure.probes_left.saturating_sub(1);
            if failure.probes_left == 0 {
                state.failure = None;
            }
            true
        });
    }

    pub(super) fn set_misconfiguration(&self, misconfiguration: Option<Misconfiguration>) {
        let changed = self.state.send_if_modified(|state| {
            let changed = state.misconfiguration != misconfiguration;
            state.misconfiguration.clone_from(&misconfiguration);
            changed
        });
        match misconfiguration {
            Some(misconfiguration) if changed => {
                warn!(%misconfiguration, "the topics are set so that no call can be stored")
            }
            None if changed => info!("the topics are set so that calls can be stored"),
            Some(_) | None => {}
        }
    }

    pub(super) fn record_topics_found(&self) {
        self.topics_generation.fetch_add(1, Ordering::Relaxed);
        self.state.send_modify(|state| state.topics_exist = true);
        metrics::gauge!("producer_api_log_reachable").set(1.0);
    }

    pub(super) fn record_topics_missing(&self) {
        self.state.send_modify(|state| state.topics_exist = false);
    }

    /// Grows each time the topics were found or made: what was read before may stand elsewhere now.
    pub(super) fn topics_generation(&self) -> u64 {
        self.topics_generation.load(Ordering::Relaxed)
    }

    /// Known not to answer: waiting would not help.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.state.borrow().unavailable
    }

    /// The topics are there, and the log answers.
    pub(crate) fn is_available(&self) -> bool {
        self.state.borrow().is_available()
    }

    /// Why the log would not store a call now, as far as is known.
    pub(crate) fn unready_reason(&self) -> Option<String> {
        self.state.borrow().unready_reason()
    }

    /// Resolves once calls come through.
    pub(crate) async fn wait_until_available(&self) {
        let mut state = self.state.subscribe();
        let good = state.wait_for(HealthState::is_available).await.map(|_| ());
        good.expect("the sender is in self");
    }

    pub(super) async fn wait_for_topics(&self, deadline: Instant) -> Result<(), AppendError> {
        let (unavailable, topics_exist) = {
            let state = self.state.borrow();
            (state.unavailable, state.topics_exist)
        };
        match (unavailable, topics_exist) {
            (true, _) => Err(AppendError::Unavailable),
            (false, true) => Ok(()),
            (false, false) => timeout_at(deadline, self.wait_until_available())
                .await
                .map_err(|_| AppendError::Unavailable),
        }
    }
}

/// The innermost cause, for an operator's eyes.
fn reason_of(error: &AppendError) -> String {
    match error {
        AppendError::NotStored(cause)
        | AppendError::Rejected(cause)
        | AppendError::OutcomeUnknown(Some(cause)) => cause
            .rdkafka_error_code()
            .map_or_else(|| cause.to_string(), |code| code.to_string()),
        AppendError::Unavailable
        | AppendError::ProducerQueueFull
        | AppendError::OutcomeUnknown(None) => error.to_string(),
    }
}
