//! What is known about the log: whether it answers, has its topics, and stores records. Shared by all who append.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{append_error::AppendError, topics::Obstacle};

/// So many looks in a row without an answer, and the log counts as gone: above 2.5 s, where an election takes 0.5 s.
const SILENT_LOOKS_MAX: u32 = 2;
/// So many looks after a record was refused or not reported in time, that says nothing about the next one any more.
pub(super) const LOOKS_PER_FAILURE: u32 = 15;

/// What is known about the log. Shared by all who append.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    silent_looks: Arc<AtomicU32>,
    topics_made: Arc<AtomicU64>,
    standing: watch::Sender<Standing>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Standing {
    /// Nothing is sent before the topics are there: some logs would make them by themselves, with settings that
    /// forget calls.
    topics_are_there: bool,
    /// Silent for longer than an election takes.
    gone: bool,
    /// The last record that was reported on was not stored, for so many looks from now.
    failure: Option<Failure>,
    /// The topics are set so that no call is taken.
    obstacle: Option<Obstacle>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    reason: String,
    looks_left: u32,
}

impl Standing {
    fn is_good(&self) -> bool {
        self.topics_are_there && !self.gone
    }

    fn trouble(&self) -> Option<String> {
        if self.gone {
            return Some("the log does not answer".to_owned());
        }
        if !self.topics_are_there {
            return Some("the log's topics are not there".to_owned());
        }
        if let Some(obstacle) = &self.obstacle {
            return Some(obstacle.to_string());
        }
        let failure = self.failure.as_ref()?;
        Some(format!(
            "the last record was not stored: {}",
            failure.reason
        ))
    }
}

impl Reach {
    /// A look was answered, or a record was stored.
    pub(super) fn seen(&self) {
        if SILENT_LOOKS_MAX < self.silent_looks.swap(0, Ordering::Relaxed) {
            info!("the log is back");
            self.set_gone(false);
        }
    }

    pub(super) fn silent(&self) {
        if self.silent_looks.fetch_add(1, Ordering::Relaxed) == SILENT_LOOKS_MAX {
            warn!("the log does not answer: nothing is sent until it does");
            self.set_gone(true);
        }
    }

    fn set_gone(&self, gone: bool) {
        self.standing.send_modify(|standing| standing.gone = gone);
        metrics::gauge!("producer_api_log_reachable").set(if gone { 0.0 } else { 1.0 });
    }

    /// A record's report came.
    pub(super) fn heard(&self, outcome: Result<(), &AppendError>) {
        let failure = match outcome {
            Ok(()) => {
                self.seen();
                None
            }
            Err(error) => Some(Failure {
                reason: reason_of(error),
                looks_left: LOOKS_PER_FAILURE,
            }),
        };
        let begins = |standing: &Standing| standing.failure.is_none() != failure.is_none();
        let mut begun = false;
        self.standing.send_if_modified(|standing| {
            begun = begins(standing);
            let changed = standing.failure != failure;
            standing.failure.clone_from(&failure);
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

    /// One more look has passed since a record failed.
    pub(super) fn age_failure(&self) {
        self.standing.send_if_modified(|standing| {
            let Some(failure) = &mut standing.failure else {
                return false;
            };
            failure.looks_left = failure.looks_left.saturating_sub(1);
            if failure.looks_left == 0 {
                standing.failure = None;
            }
            true
        });
    }

    pub(super) fn set_obstacle(&self, obstacle: Option<Obstacle>) {
        let changed = self.standing.send_if_modified(|standing| {
            let changed = standing.obstacle != obstacle;
            standing.obstacle.clone_from(&obstacle);
            changed
        });
        match obstacle {
            Some(obstacle) if changed => {
                warn!(%obstacle, "the topics are set so that no call can be stored")
            }
            None if changed => info!("the topics are set so that calls can be stored"),
            Some(_) | None => {}
        }
    }

    pub(super) fn topics_are_there(&self) {
        self.topics_made.fetch_add(1, Ordering::Relaxed);
        self.standing
            .send_modify(|standing| standing.topics_are_there = true);
        metrics::gauge!("producer_api_log_reachable").set(1.0);
    }

    pub(super) fn topics_are_lost(&self) {
        self.standing
            .send_modify(|standing| standing.topics_are_there = false);
    }

    /// Grows each time the topics were found or made: what was read before may stand elsewhere now.
    pub(super) fn topics_made(&self) -> u64 {
        self.topics_made.load(Ordering::Relaxed)
    }

    /// Known to be gone: waiting would not help.
    pub(crate) fn is_gone(&self) -> bool {
        self.standing.borrow().gone
    }

    /// The topics are there, and the log answers.
    pub(crate) fn is_good(&self) -> bool {
        self.standing.borrow().is_good()
    }

    /// Why the log would not store a call now, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.standing.borrow().trouble()
    }

    /// Resolves once calls come through.
    pub(crate) async fn wait_until_good(&self) {
        let mut standing = self.standing.subscribe();
        let good = standing.wait_for(Standing::is_good).await.map(|_| ());
        good.expect("the sender is in self");
    }

    pub(super) async fn wait_for_topics(&self, deadline: Instant) -> Result<(), AppendError> {
        let (gone, topics_are_there) = {
            let standing = self.standing.borrow();
            (standing.gone, standing.topics_are_there)
        };
        match (gone, topics_are_there) {
            (true, _) => Err(AppendError::Unavailable),
            (false, true) => Ok(()),
            (false, false) => timeout_at(deadline, self.wait_until_good())
                .await
                .map_err(|_| AppendError::Unavailable),
        }
    }
}

/// The innermost cause, for an operator's eyes.
fn reason_of(error: &AppendError) -> String {
    match error {
        AppendError::NotNow(cause)
        | AppendError::Refused(cause)
        | AppendError::OutcomeUnknown(Some(cause)) => cause
            .rdkafka_error_code()
            .map_or_else(|| cause.to_string(), |code| code.to_string()),
        AppendError::Unavailable
        | AppendError::ProducerQueueFull
        | AppendError::OutcomeUnknown(None) => error.to_string(),
    }
}
