//! The operator's word that a program should end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// SIGINT (Ctrl-C) and SIGTERM, heard from the moment this is made: before it, either ends the process at once.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Listens to both.
    ///
    /// # Errors
    /// The system does not let this process listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when one has come since [`listen`](Self::listen).
    ///
    /// # Cancel safety
    /// A signal that came while nothing waited is not lost.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => info!("SIGINT: stopping"),
            _ = self.terminate.recv() => info!("SIGTERM: stopping"),
        }
    }

    /// Cancels the token at the first signal.
    pub async fn cancel(mut self, stop: CancellationToken) {
        self.received().await;
        stop.cancel();
    }
}
