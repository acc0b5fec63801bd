//! HTTP/1.1 over the connections of an [`Acceptor`]: a time limit for each head, work that is never cut off to make
//! room, an end in order.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::debug;

use super::{Accepted, Acceptor, Place};
use crate::{clock, error_value};

/// What one connection is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// From the connection, or the answer before, to the end of a head.
    pub head_timeout: Duration,
    /// Bytes of a head, and of what is read at once.
    pub head_bytes_max: usize,
}

/// Whose request it is. Put into the extensions of every request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// The connection's place among the others of its listener.
    pub place: Arc<Place>,
}

/// Accepts until the shutdown, then returns. The connections end by themselves in `connections`: those that wait at
/// once, the others with the answer to their request. A connection may be upgraded; it leaves its place then.
pub async fn serve_http(
    acceptor: Acceptor,
    router: Router,
    limits: HttpLimits,
    connections: TaskTracker,
    shutdown: CancellationToken,
) {
    while let Some(accepted) = shutdown.run_until_cancelled(acceptor.next()).await {
        connections.spawn(serve(accepted, router.clone(), limits, shutdown.clone()));
    }
}

async fn serve(
    accepted: Accepted,
    router: Router,
    limits: HttpLimits,
    shutdown: CancellationToken,
) {
    let Accepted {
        stream,
        address,
        place,
        evicted,
    } = accepted;
    // Answers are small and awaited: none is held back to fill a packet.
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(error = error_value(&error), "the client is gone already");
    }
    let client = Client {
        address,
        place: Arc::clone(&place),
    };
    let answer = service_fn(|request: hyper::Request<Incoming>| answer(&router, &client, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        () = evicted.cancelled() => return debug!("a connection that waited makes room"),
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            if place.waits() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = error_value(&error), "a connection broke");
    }
}

async fn answer(
    router: &Router,
    client: &Client,
    request: hyper::Request<Incoming>,
) -> Result<Response, std::convert::Infallible> {
    let Some(working) = Working::begin(&client.place) else {
        // It was told to make room a moment ago, and is closed before anything is done for it.
        return std::future::pending().await;
    };
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(client.clone());
    let response = router.clone().oneshot(request).await?;
    Ok(response.map(|body| {
        Body::new(WorkingBody {
            body,
            _working: working,
        })
    }))
}

/// The connection works for as long as this lives.
struct Working(Arc<Place>);

impl Working {
    fn begin(place: &Arc<Place>) -> Option<Self> {
        place.work().then(|| Self(Arc::clone(place)))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.wait(clock::steady());
    }
}

/// A body that is being sent. When the server has all of it, the connection waits again: one that does not read its
/// answer makes room like one that sends nothing.
struct WorkingBody {
    body: Body,
    _working: Working,
}

impl HttpBody for WorkingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
