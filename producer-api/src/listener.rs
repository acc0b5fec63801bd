//! HTTP/1.1 connections: accepted within a bound, with a time limit for each head, and ended in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceExt, util::MapRequestLayer};
use tracing::{debug, warn};

use crate::caller::Peer;

/// What one listener is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections_max: usize,
    pub(crate) head_timeout: Duration,
}

/// The head of a request: a token of 8 KiB and what browsers add.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// After a failed accept: out of files, most likely, which ends when a connection does.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the shutdown, then returns; connections end by themselves in `connections`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    connections: TaskTracker,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections_max));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        let (place, stream, address) = accepted;
        let connection = connection(
            stream,
            address,
            router.clone(),
            bounds.head_timeout,
            shutdown.clone(),
        );
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// Who finds no place waits in the kernel's queue.
///
/// # Cancel safety
///
/// Losing it loses nothing: a place is given back, and a connection is taken from the kernel only when it is returned.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (place, stream, address),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a connection could not be accepted"
                );
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    head_timeout: Duration,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(
            error = &error as &dyn std::error::Error,
            "a socket keeps its delay"
        );
    }
    let with_peer = MapRequestLayer::new(move |mut request: Request<_>| {
        request.extensions_mut().insert(Peer(address));
        request
    });
    let service = tower::Layer::layer(&with_peer, router).boxed_clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(
            error = &error as &dyn std::error::Error,
            "a connection broke"
        );
    }
}
