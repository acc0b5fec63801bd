//! What an earlier try of a call came to, and how one whose outcome is unknown is looked for before the call is sent again.

use std::time::{Duration, Instant};

use event_model::{EventId, RecordPosition};
use tokio::time::{sleep, timeout_at};
use tracing::info;

use crate::{
    clock,
    idempotency::InFlightGuard,
    kafka::{AppendError, LogProducer, PendingDelivery},
    recent_calls::RecentCalls,
};

/// How long a call that may be in the log already waits for a reading of the log's tail that does not go on. Beyond it the call
/// is sent again: rather twice under one id than never.
const TAIL_PATIENCE: Duration = Duration::from_secs(10);
/// How long after a try has ended its record may still be written: a log whose disks are slow had it, and not yet on disk.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// What the try before came to.
pub(crate) enum EarlierTry {
    /// There was none, or it is known to have stored nothing.
    NotStored,
    /// Its report is to come.
    Pending(PendingDelivery),
    /// Nothing will say: its process ended before the report came, or the report says that nothing is known. If there was a
    /// try at all, its record may be in the log, or get there yet.
    Unknown {
        /// Nothing was sent after that.
        ended: Instant,
    },
}

impl EarlierTry {
    /// What is known when a try has ended with an error just now.
    pub(crate) fn ended(self, error: &AppendError) -> Self {
        match (self, error) {
            (_, AppendError::OutcomeUnknown(_)) => Self::Unknown {
                ended: clock::steady(),
            },
            (unknown @ Self::Unknown { .. }, _) => unknown,
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

/// Looks in the log's tail for what earlier tries may have stored. One reading of it answers for all tries that had ended
/// before: a line of thousands of calls waits once.
pub(crate) struct LookUp<'a> {
    pub(crate) log: &'a LogProducer,
    pub(crate) recent: &'a RecentCalls,
    /// When the log was asked last for the end that its tail has been read to, or was waited for in vain.
    read_at: Option<Instant>,
}

impl<'a> LookUp<'a> {
    pub(crate) fn new(log: &'a LogProducer, recent: &'a RecentCalls) -> Self {
        Self {
            log,
            recent,
            read_at: None,
        }
    }

    /// Where the log has a call whose try ended then. `None`: it is not there, or the tail cannot be read. Waits for a log that
    /// is away, however long.
    pub(crate) async fn place_of(&mut self, id: EventId, ended: Instant) -> Option<RecordPosition> {
        self.log.health().wait_until_available().await;
        let settled = ended + RECORD_PATIENCE;
        if self.read_at.is_none_or(|read_at| read_at < settled) {
            let early = timeout_at(settled.into(), self.recent.place_of(id)).await;
            if early.is_err() {
                self.read_tail().await;
            }
        }
        let place = self.recent.known_place(id)?;
        info!(%id, %place, "an earlier try had stored a call");
        Some(place)
    }

    /// A tail that was waited for in vain is not waited for again before it was read once more.
    async fn read_tail(&mut self) {
        self.read_at = Some(clock::steady());
        let patience = if self.recent.tail_is_unreadable() {
            Duration::ZERO
        } else {
            TAIL_PATIENCE
        };
        let pause = || sleep(patience);
        if !self.recent.read_to_end_unless_stalled(pause).await {
            self.recent.note_tail_unreadable();
        }
    }
}
