//! The thread that owns the store: all that waits is written with one sync.
//!
//! While no journal can be written, requests are refused at once, and it tries to begin a new one after 1, 2, 4 .. 30 s.

use std::{
    thread,
    time::{Duration, Instant},
};

use journal::JournalError;
use service_kit::error_value;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};
use tracing::{error, info};

use super::{
    health::OutboxHealth,
    store::{Store, StoreError, StoreWrite},
};
use crate::clock;

/// Nothing may rely on what was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// It is not on the disk, and will not be.
    #[error("the disk takes nothing at present")]
    NotWritten,
    /// It may be there after a restart.
    #[error("the disk failed while it was written")]
    Unknown,
}

/// So many wait for the sync before them at most: further callers wait for a place, until their own deadline.
const QUEUE_MAX: usize = 1024;
/// After the disk failed, and twice as long after each further time, up to the second.
const RECOVER_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How soon a request is seen while the disk fails.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

struct WriteRequest {
    write: StoreWrite,
    done: oneshot::Sender<Result<(), WriteError>>,
}

pub(super) struct Writer {
    requests: mpsc::Sender<WriteRequest>,
}

impl Writer {
    /// Tells `health` whether the store can be written, whenever that changes.
    pub(super) fn start(store: Store, health: watch::Sender<OutboxHealth>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let thread = WriterThread {
            store,
            queue,
            health,
            failed: None,
        };
        thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || thread.run())
            .expect("a process that cannot start a thread cannot go on");
        Self { requests }
    }

    /// Returns once it is on the disk.
    pub(super) async fn write(&self, write: StoreWrite) -> Result<(), WriteError> {
        let (done, written) = oneshot::channel();
        self.requests
            .send(WriteRequest { write, done })
            .await
            .map_err(|_| WriteError::NotWritten)?;
        written.await.unwrap_or(Err(WriteError::Unknown))
    }
}

struct WriterThread {
    store: Store,
    queue: mpsc::Receiver<WriteRequest>,
    health: watch::Sender<OutboxHealth>,
    failed: Option<Backoff>,
}

/// Since when the store cannot be written.
struct Backoff {
    pause: Duration,
    again_at: Instant,
}

impl WriterThread {
    /// Ends when the `Writer` is dropped.
    fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            let writes: Vec<&StoreWrite> = batch.iter().map(|request| &request.write).collect();
            let written = if self.failed.is_some() {
                self.try_again(&writes)
            } else {
                self.write(&writes)
            };
            for request in batch {
                // A caller that stopped waiting has its own deadline.
                let _nobody_waits = request.done.send(written).is_err();
            }
        }
    }

    /// All that waits. Empty: it is time to see whether the disk is better.
    fn next_batch(&mut self) -> Option<Vec<WriteRequest>> {
        let mut batch = Vec::new();
        if self.failed.is_none() {
            batch.push(self.queue.blocking_recv()?);
        }
        loop {
            match self.queue.try_recv() {
                Ok(next) => batch.push(next),
                Err(TryRecvError::Empty) if batch.is_empty() && !self.is_due() => {
                    thread::sleep(IDLE_PAUSE);
                }
                Err(TryRecvError::Empty) => return Some(batch),
                Err(TryRecvError::Disconnected) => return (!batch.is_empty()).then_some(batch),
            }
        }
    }

    fn is_due(&self) -> bool {
        let failed = self.failed.as_ref();
        failed.is_some_and(|failed| failed.again_at <= clock::steady())
    }

    fn write(&mut self, writes: &[&StoreWrite]) -> Result<(), WriteError> {
        let Err(error) = self.store.write(writes) else {
            return Ok(());
        };
        if let StoreError::Journal(JournalError::RecordTooLarge { .. }) = error {
            error!(
                error = error_value(&error),
                "a call is too large for the outbox"
            );
            return Err(WriteError::NotWritten);
        }
        error!(
            error = error_value(&error),
            "the outbox cannot be written: calls that the log does not take are refused until it can"
        );
        self.fail_again(&error);
        Err(outcome_of(&error, writes.len()))
    }

    fn try_again(&mut self, writes: &[&StoreWrite]) -> Result<(), WriteError> {
        if !self.is_due() {
            return Err(WriteError::NotWritten);
        }
        let recovered = self.store.recover().and_then(|()| self.store.probe());
        if let Err(error) = recovered {
            self.fail_again(&error);
            return Err(WriteError::NotWritten);
        }
        self.failed = None;
        info!("the outbox can be written again");
        self.health.send_modify(OutboxHealth::succeed);
        self.write(writes)
    }

    fn fail_again(&mut self, error: &StoreError) {
        let [first, longest] = RECOVER_AFTER;
        let before = self.failed.take();
        let pause = before.map_or(first, |failed| (failed.pause * 2).min(longest));
        self.failed = Some(Backoff {
            pause,
            again_at: clock::steady() + pause,
        });
        self.health.send_modify(|health| health.fail(error));
    }
}

/// A disk that becomes full in the middle has taken some of several, and nothing of a single one.
fn outcome_of(error: &StoreError, writes: usize) -> WriteError {
    match error {
        StoreError::Journal(JournalError::Full { .. }) if 1 < writes => WriteError::Unknown,
        StoreError::Journal(JournalError::Full { .. } | JournalError::RecordTooLarge { .. })
        | StoreError::Unusable => WriteError::NotWritten,
        StoreError::Journal(
            JournalError::Io { .. } | JournalError::Damaged { .. } | JournalError::Broken { .. },
        )
        | StoreError::Version { .. }
        | StoreError::Entry { .. }
        | StoreError::Folder { .. } => WriteError::Unknown,
    }
}
