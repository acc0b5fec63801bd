//! Takes connections and gives each a task of its own: what one does or suffers is its own affair.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span, warn};

use super::connection::{self, ConnectionError};
use super::metrics;
use super::request_memory::RequestMemory;
use super::service::Service;

/// Wait after a failed accept, so that a lack of file descriptors does not spin.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

pub(super) struct Listener {
    listener: TcpListener,
    service: Arc<Service>,
    memory: RequestMemory,
    places: Arc<Semaphore>,
}

impl Listener {
    pub(super) fn new(listener: TcpListener, service: Arc<Service>) -> Self {
        let config = service.config();
        let memory = RequestMemory::new(config.queued_max_request_bytes);
        let places = Arc::new(Semaphore::new(config.max_connections));
        Self {
            listener,
            service,
            memory,
            places,
        }
    }

    /// Accepts until shutdown.
    pub(super) async fn run(self, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.service.shutdown().cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, &tasks),
                Err(error) => {
                    warn!(
                        error = &error as &(dyn std::error::Error + 'static),
                        "accept a connection"
                    );
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            metrics::connection_refused();
            debug!(%peer, "no place for another connection");
            return;
        };
        let memory = self
            .memory
            .share(self.service.config().connection_request_bytes_max);
        let service = Arc::clone(&self.service);
        let serving = async move {
            let _place: OwnedSemaphorePermit = place;
            let _counted = metrics::Connection::open();
            if let Err(error) = prepare(&stream) {
                debug!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "connection gone before its first request"
                );
                return;
            }
            report(connection::serve(service, stream, peer, memory).await);
        };
        tasks.spawn(serving.instrument(debug_span!("connection", %peer)));
    }
}

/// Answers are small and awaited: never hold one back to fill a packet.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

fn report(served: Result<(), ConnectionError>) {
    match served {
        Ok(()) => debug!("connection ended"),
        Err(error @ ConnectionError::Encode(_)) => {
            tracing::error!(
                error = &error as &(dyn std::error::Error + 'static),
                "answer could not be encoded"
            );
        }
        Err(error) => debug!(
            error = &error as &(dyn std::error::Error + 'static),
            "connection closed"
        ),
    }
}
