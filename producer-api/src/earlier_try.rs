//! What an earlier try of a call came to, and how one whose outcome is unknown is looked for before the call is sent again.

use std::time::Duration;

use event_model::{EventId, Place};
use tokio::time::timeout;
use tracing::info;

use crate::{
    idempotency::InFlightGuard,
    kafka::{AppendError, LogProducer, PendingDelivery},
    recent_calls::RecentCalls,
};

/// How long a call that may be in the log already waits until the log's tail has been read. Beyond it the call is sent
/// again: rather twice under one id than never.
const TAIL_PATIENCE: Duration = Duration::from_secs(10);
/// How long after that its record may still come to be read: a log whose disks are slow had it, and not yet on disk.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// What the try before came to.
pub(crate) enum EarlierTry {
    /// There was none, or it is known to have stored nothing.
    NotStored,
    /// Its report is to come.
    Pending(PendingDelivery),
    /// Nothing will say: its process ended before the report came, or the report says that nothing is known. If there was a
    /// try at all, its record may be in the log, or get there yet.
    Unknown,
}

impl EarlierTry {
    /// What is known when a try has ended with an error.
    pub(crate) fn ended(self, error: &AppendError) -> Self {
        match (self, error) {
            (_, AppendError::OutcomeUnknown(_)) | (Self::Unknown, _) => Self::Unknown,
            (Self::NotStored | Self::Pending(_), _) => Self::NotStored,
        }
    }
}

/// A call whose try has not ended, as one part of the program hands it to another.
pub(crate) struct OpenTry {
    pub(crate) earlier: EarlierTry,
    /// Where the call has a key: its repetitions wait as long as this is held.
    pub(crate) guard: Option<InFlightGuard>,
}

/// Looks in the log's tail for what earlier tries may have stored.
pub(crate) struct LookUp<'a> {
    pub(crate) log: &'a LogProducer,
    pub(crate) recent: &'a RecentCalls,
    tail_patience: Duration,
    record_patience: Duration,
}

impl<'a> LookUp<'a> {
    pub(crate) fn new(log: &'a LogProducer, recent: &'a RecentCalls) -> Self {
        Self {
            log,
            recent,
            tail_patience: TAIL_PATIENCE,
            record_patience: RECORD_PATIENCE,
        }
    }

    /// Where the log has a call. `None`: it is not there, or the tail could not be read. Waits for a log that is away, however
    /// long.
    ///
    /// The first look has its patience. Those after it, for calls that were tried before it, wait for nothing that it waited
    /// for in vain.
    pub(crate) async fn place_of(&mut self, id: EventId) -> Option<Place> {
        self.log.health().wait_until_available().await;
        if timeout(self.tail_patience, self.recent.read_to_end())
            .await
            .is_err()
        {
            self.tail_patience = Duration::ZERO;
            self.recent.give_up_catching_up();
        }
        let found = timeout(self.record_patience, self.recent.place_of(id)).await;
        self.record_patience = Duration::ZERO;
        let place = found.ok()?;
        info!(%id, %place, "an earlier try had stored a call");
        Some(place)
    }
}
