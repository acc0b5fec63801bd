//! Calls that the log could not take in time: kept on this machine's disk until it does.
//!
//! A call in the outbox is synced, so a `202` survives a crash, though not the loss of this disk. It is sent again until
//! its delivery report says that it is stored, in the order of its line, across restarts; and it is never sent while an
//! earlier report for it may still come. While a line has calls here, its new calls queue behind them.
//!
//! `backlog` knows which calls wait and in which order; `store` writes them down and reads them back, on files that
//! `reserved_disk` holds for it; `writer` is the thread that owns the store. This file runs them, one task for each line that
//! waits.

mod backlog;
mod delivery_status;
mod health;
mod queued_call;
mod reserved_disk;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use event_model::{EventId, EventTime, Line, RecordPosition};
use journal::{FolderLock, FolderLockError};
use service_kit::error_value;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use backlog::{Backlog, LineHead, NextDelivery, OutboxFull};
pub(crate) use delivery_status::DeliveryStatus;
use health::{OutboxHealth, OutboxReadiness};
pub(crate) use queued_call::QueuedCall;
use reserved_disk::ReservedDisk;
pub use store::StoreError;
use store::{SIZES, Store, StoreWrite};
pub(crate) use writer::WriteError;
use writer::Writer;

use crate::{
    clock,
    earlier_try::{EarlierTry, LookUp, OpenTry},
    kafka::{AppendError, LogProducer},
    owner::Owner,
    recent_calls::RecentCalls,
};

/// After the log refused to take a call for a reason that may pass.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How long a line waits for the log's tail to say where a call of it stands. Its order is settled by then.
const PLACE_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no outbox.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Another process has the folder.
    #[error("the outbox in {folder} cannot be taken", folder = folder.display())]
    Lock {
        /// The folder from the settings.
        folder: PathBuf,
        /// The process that has it, or what is wrong with it.
        #[source]
        source: FolderLockError,
    },
    /// Its journal cannot be read.
    #[error("the outbox in {folder} cannot be read", folder = folder.display())]
    Open {
        /// The folder from the settings.
        folder: PathBuf,
        /// What is wrong with it.
        #[source]
        source: StoreError,
    },
}

/// How much waits, and how much of the disk is kept for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxSizes {
    /// The most bytes of calls that wait.
    pub(crate) bytes_max: usize,
    /// What is preallocated, in bytes, so that calls can wait on a full disk.
    pub(crate) reserve_bytes: u64,
}

/// Why a call is not in the outbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnqueueError {
    #[error(transparent)]
    Full(#[from] OutboxFull),
    #[error("the outbox cannot be written")]
    Disk(#[from] WriteError),
}

/// The calls that wait, and what became of those that did.
pub(crate) struct Outbox {
    backlog: Mutex<Backlog>,
    writer: Writer,
    lines: TaskTracker,
    stop: CancellationToken,
    health: watch::Sender<OutboxHealth>,
    log: Arc<LogProducer>,
    recent: Arc<RecentCalls>,
    _lock: FolderLock,
}

impl Outbox {
    /// Opens the folder, or makes it. Blocks.
    pub(crate) fn open(
        folder: &Path,
        sizes: OutboxSizes,
        log: Arc<LogProducer>,
        recent: Arc<RecentCalls>,
    ) -> Result<Self, OutboxError> {
        let lock = FolderLock::acquire(folder).map_err(|source| OutboxError::Lock {
            folder: folder.to_owned(),
            source,
        })?;
        let disk = ReservedDisk::open(&folder.join("reserve"), SIZES, sizes.reserve_bytes);
        let (store, found) =
            Store::open(Arc::new(disk), folder, SIZES).map_err(|source| OutboxError::Open {
                folder: folder.to_owned(),
                source,
            })?;
        let mut backlog = Backlog::new(sizes.bytes_max);
        for (number, call, status) in found.ended {
            backlog.restore_status(number, &call, status);
        }
        for (number, call) in found.waiting {
            backlog.restore(number, call, recent.started_at());
        }
        if backlog.calls() != 0 {
            warn!(
                calls = backlog.calls(),
                "calls of an earlier run wait in the outbox"
            );
        }
        let health = watch::Sender::new(OutboxHealth::new(found.damaged));
        let writer = Writer::start(store, health.clone());
        Ok(Self {
            backlog: Mutex::new(backlog),
            writer,
            lines: TaskTracker::new(),
            stop: CancellationToken::new(),
            health,
            log,
            recent,
            _lock: lock,
        })
    }

    /// Whether a call could be written now.
    pub(crate) fn readiness(&self) -> OutboxReadiness {
        self.health.borrow().readiness()
    }

    /// Begins to send what an earlier run left.
    pub(crate) fn resume(self: &Arc<Self>) {
        let lines = self.backlog().lines();
        for line in lines {
            self.drain(line);
        }
    }

    /// Whether calls of this line wait, so that new ones must queue behind them.
    pub(crate) fn holds(&self, line: &Line) -> bool {
        self.backlog().holds(line)
    }

    /// What became of a call, if it came through here lately and `owner` made it.
    pub(crate) fn status(&self, id: EventId, owner: &Owner) -> Option<(DeliveryStatus, EventTime)> {
        self.backlog().status(id, owner)
    }

    /// Takes a call. When this returns it is on the disk, and what it returns tells its status.
    ///
    /// What is `open` is handed on to the task that sends the call, and back with an error: a try under way may store the call
    /// that found no place here.
    ///
    /// # Cancel safety
    ///
    /// None: run it in a task of its own.
    pub(crate) async fn enqueue(
        self: &Arc<Self>,
        call: QueuedCall,
        open: OpenTry,
    ) -> Result<watch::Receiver<DeliveryStatus>, (EnqueueError, OpenTry)> {
        let (line, call) = (call.line.clone(), Arc::new(call));
        let enqueued = self.backlog().enqueue(Arc::clone(&call), open);
        let number = enqueued.map_err(|(full, open)| (full.into(), open))?;
        if let Err(failed) = self.writer.write(StoreWrite::Taken { number, call }).await {
            let (head, open) = self.backlog().abandon(number);
            if head == LineHead::Ready {
                self.drain(line);
            }
            return Err((failed.into(), open));
        }
        let (status, head) = self.backlog().synced(number);
        if head == LineHead::Ready {
            self.drain(line);
        }
        metrics::counter!("producer_api_outbox_taken_total").increment(1);
        Ok(status)
    }

    /// Stops; what waits stays on the disk for the next run.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.lines.close();
        self.lines.wait().await;
    }

    fn drain(self: &Arc<Self>, line: Line) {
        let outbox = Arc::clone(self);
        let stop = self.stop.clone();
        self.lines.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = outbox.drain_line(&line) => {}
            }
        });
    }

    /// Sends the calls of one line, one after the other, until none waits.
    async fn drain_line(&self, line: &Line) {
        // One for all calls of the line that an earlier run had: its look for the first covers them.
        let mut look_up = LookUp::new(&self.log, &self.recent);
        while let Some(NextDelivery {
            number,
            call,
            earlier,
        }) = self.next_delivery(line)
        {
            let status = deliver(&call, earlier, &mut look_up).await;
            // Written before it is forgotten: a crash between the two sends the call again, under its id.
            let ended = StoreWrite::Ended { number, status };
            if self.writer.write(ended).await.is_err() {
                error!(
                    "the outbox cannot be written: a stored call may be sent again after a restart"
                );
            }
            self.backlog().end(number, status);
        }
    }

    /// A function of its own, so that the lock is released before the call is sent.
    fn next_delivery(&self, line: &Line) -> Option<NextDelivery> {
        self.backlog().next(line)
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        let backlog = self.backlog.lock().expect("no holder of this lock panics");
        metrics::gauge!("producer_api_outbox_calls").set(backlog.calls() as f64);
        backlog
    }
}

/// Sends a call until its report says what became of it, never before what became of the try before is known, as far as it
/// can be. What the report says to be in the log is never sent again, whether it says where or not.
async fn deliver(
    call: &QueuedCall,
    mut earlier: EarlierTry,
    look_up: &mut LookUp<'_>,
) -> DeliveryStatus {
    let (log, recent) = (look_up.log, look_up.recent);
    loop {
        let outcome = match &mut earlier {
            EarlierTry::NotStored => send_and_wait(call, log).await,
            EarlierTry::Pending(delivery) => delivery.delivered().await,
            EarlierTry::Unknown { ended } => match look_up.place_of(call.id, *ended).await {
                Some(place) => return DeliveryStatus::Stored(Some(place)),
                None => send_and_wait(call, log).await,
            },
        };
        match outcome {
            Ok(place) => {
                recent.add(call.recent_call(place), clock::steady());
                let place = match place {
                    Some(place) => Some(place),
                    None => timeout(PLACE_PATIENCE, recent.place_of(call.id)).await.ok(),
                };
                let known = place.map(tracing::field::display);
                info!(id = %call.id, place = known, "a call left the outbox");
                return DeliveryStatus::Stored(place);
            }
            Err(AppendError::Rejected(error)) => {
                error!(id = %call.id, error = error_value(&error), "the log will never take a call");
                return DeliveryStatus::Dead;
            }
            Err(error) => earlier = earlier.ended(&error),
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Without a deadline: librdkafka's own time limit ends each try with a report.
async fn send_and_wait(
    call: &QueuedCall,
    log: &LogProducer,
) -> Result<Option<RecordPosition>, AppendError> {
    log.send_when_possible(&call.record())
        .await?
        .delivered()
        .await
}
