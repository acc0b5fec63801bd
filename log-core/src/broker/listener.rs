//! Takes connections and gives each a task of its own: what one does or suffers is its own affair.
//!
//! Clients come from a few addresses, loopback most of all, so no address has a share: when all places are taken, the
//! connection that asked for nothing for the longest time makes room, first of the address that has most.

use std::io;
use std::sync::Arc;

use service_kit::bounds::{Accepted, Acceptor, PlaceLimits, Places, WhenFull};
use service_kit::error_value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use super::connection::{self, ConnectionError};
use super::metrics;
use super::request_memory::RequestMemory;
use super::service::Service;

pub(super) struct Listener {
    acceptor: Acceptor,
    service: Arc<Service>,
    memory: RequestMemory,
}

impl Listener {
    pub(super) fn new(listener: TcpListener, service: Arc<Service>) -> Self {
        let config = service.config();
        let memory = RequestMemory::new(config.queued_max_request_bytes);
        let places = Places::new(PlaceLimits::unshared(config.max_connections));
        Self {
            acceptor: Acceptor::new(listener, places, WhenFull::Close)
                .on_turned_away(metrics::connection_refused),
            service,
            memory,
        }
    }

    /// Accepts until shutdown.
    pub(super) async fn run(self, tasks: TaskTracker) {
        let shutdown = self.service.shutdown().clone();
        while let Some(accepted) = shutdown.run_until_cancelled(self.acceptor.next()).await {
            self.admit(accepted, &tasks);
        }
    }

    fn admit(&self, accepted: Accepted, tasks: &TaskTracker) {
        let Accepted {
            stream,
            address,
            place,
            evicted,
        } = accepted;
        let memory = self
            .memory
            .share(self.service.config().connection_request_bytes_max);
        let service = Arc::clone(&self.service);
        let serving = async move {
            let _counted = metrics::Connection::open();
            if let Err(error) = prepare(&stream) {
                debug!(
                    error = error_value(&error),
                    "connection gone before its first request"
                );
                return;
            }
            let serving = connection::serve(service, stream, address, memory, place);
            match evicted.run_until_cancelled(serving).await {
                Some(served) => report(served),
                None => debug!("a connection that asked for nothing makes room"),
            }
        };
        tasks.spawn(serving.instrument(debug_span!("connection", peer = %address)));
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
            tracing::error!(error = error_value(&error), "answer could not be encoded");
        }
        Err(error) => debug!(error = error_value(&error), "connection closed"),
    }
}
