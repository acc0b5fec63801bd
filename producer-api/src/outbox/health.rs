//! Whether the outbox can be written, as the thread that writes it found out.

use std::path::PathBuf;

use super::store::StoreError;

/// Whether calls can wait here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OutboxHealth {
    /// Why the disk takes nothing at present.
    failure: Option<String>,
    /// Journals that were found damaged, and are kept.
    damaged: Vec<PathBuf>,
}

impl OutboxHealth {
    pub(super) fn new(damaged: Vec<PathBuf>) -> Self {
        let health = Self {
            failure: None,
            damaged,
        };
        health.record_metrics();
        health
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        self.failure = Some(error.to_string());
        self.record_metrics();
    }

    pub(super) fn succeed(&mut self) {
        self.failure = None;
        self.record_metrics();
    }

    fn record_metrics(&self) {
        let usable = self.failure.is_none();
        metrics::gauge!("producer_api_outbox_usable").set(f64::from(u8::from(usable)));
        metrics::gauge!("producer_api_outbox_damaged_journals").set(self.damaged.len() as f64);
    }

    /// Whether a call could be written now.
    pub(super) fn readiness(&self) -> OutboxReadiness {
        let failure = self.failure.as_ref();
        let failure = failure.map(|failure| format!("the outbox cannot be written: {failure}"));
        let damage = self.damaged.first().map(|damaged| {
            let kept = damaged.display();
            format!(
                "calls answered 202 may be lost: a damaged journal of the outbox is kept in {kept}"
            )
        });
        let usable = failure.is_none();
        let trouble = [failure, damage].into_iter().flatten();
        OutboxReadiness {
            usable,
            trouble: trouble.reduce(|all, one| format!("{all}; {one}")),
        }
    }
}

/// What is said about the outbox from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboxReadiness {
    /// A call could be written now.
    pub(crate) usable: bool,
    /// What is wrong, or was lost.
    pub(crate) trouble: Option<String>,
}
