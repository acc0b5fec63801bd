//! The thread that owns the store: all that waits is written with one sync.

use std::{sync::Arc, thread};

use log_core::JournalError;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::{
    Fate, QueuedCall,
    store::{Store, StoreError},
};

/// What is to be written.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Taken { number: u64, call: Arc<QueuedCall> },
    Ended { number: u64, fate: Fate },
}

/// It was not written, or it is not known: nothing may rely on it.
#[derive(Debug, thiserror::Error)]
#[error("the disk did not take it")]
pub(crate) struct WriterStopped;

/// So many wait for the sync before them at most: further callers wait for a place, until their own deadline.
const QUEUE_MAX: usize = 1024;

struct Request {
    write: Write,
    done: oneshot::Sender<()>,
}

pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    pub(super) fn start(store: Store) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || write_all(store, queue))
            .expect("a process that cannot start a thread cannot go on");
        Self { requests }
    }

    /// Returns once it is on the disk.
    pub(super) async fn write(&self, write: Write) -> Result<(), WriterStopped> {
        let (done, written) = oneshot::channel();
        self.requests
            .send(Request { write, done })
            .await
            .map_err(|_| WriterStopped)?;
        written.await.map_err(|_| WriterStopped)
    }
}

/// Ends when nobody can ask any more, or when the disk has failed: a failed sync is never tried again.
fn write_all(mut store: Store, mut queue: mpsc::Receiver<Request>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = queue.try_recv() {
            batch.push(next);
        }
        let writes: Vec<&Write> = batch.iter().map(|request| &request.write).collect();
        match store.write(&writes) {
            Ok(()) => {
                for request in batch {
                    // Whoever stopped waiting has its own deadline.
                    let _nobody_waits = request.done.send(()).is_err();
                }
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "the outbox cannot be written"
                );
                if !may_pass(&error) {
                    return;
                }
            }
        }
    }
}

/// The disk is full, and the journal goes on as soon as it is not. The batch may be half written: its callers are told
/// that it is not, so a call of it may be stored once too often, under one id.
fn may_pass(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Journal(JournalError::Full { .. } | JournalError::RecordTooLarge { .. })
    )
}
