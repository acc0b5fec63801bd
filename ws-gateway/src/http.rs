//! The main listener: upgrades at `/an-ws`, the residents' page, `/healthz`.
//!
//! HTTP is parsed by hyper. Once a request has become a WebSocket, its socket is taken out of here, and of the
//! runtime, and given to a shard.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use event_model::EventTime;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rand::Rng;
use resident_token::{Resident, TokenCode, TokenError, Verifier, bearer_of, refuse_token_in_query};
use serde_json::json;
use service_kit::{
    bounds::{Client, NoPlace, Place, PlaceLimits, Places},
    clock::{self, Clock},
    error_value,
};
use tokio::net::TcpStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    config::Config,
    page,
    readiness::Readiness,
    shard::{ShardCommand, ShardHandle, UpgradedSocket},
    websocket::{Handshake, HandshakeError},
};

/// Sockets of one address that have said no CONNECT yet.
const UNCONNECTED_PER_ADDRESS_MAX: usize = 256;
/// From the answer to an upgrade to the socket in a shard's hands.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// Where clients of the original system look for the socket.
const ENDPOINT: &str = "/an-ws";

/// What requests are answered with.
pub(crate) struct HttpServer {
    verifier: Arc<Verifier>,
    clock: Clock,
    origins: Option<Vec<String>>,
    api: Option<String>,
    api_port: u16,
    sockets: Places,
    shards: Vec<ShardHandle>,
    next_shard: AtomicUsize,
    readiness: Readiness,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a request did not become a socket.
#[derive(Debug, thiserror::Error)]
enum UpgradeError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("pages of this origin may not open a socket here")]
    Origin,
    #[error("the gateway has not read the log yet")]
    NotReady,
    #[error("the gateway has as many sockets as it takes: {0}")]
    Full(#[from] NoPlace),
    #[error("the gateway is being stopped")]
    Draining,
}

/// A request that may become a socket.
struct AdmittedUpgrade {
    handshake: Handshake,
    resident: Option<Box<Resident>>,
    place: Place,
}

impl HttpServer {
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        shards: Vec<ShardHandle>,
        readiness: Readiness,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            verifier: Arc::clone(&config.verifier),
            clock,
            origins: config.origins.clone(),
            api: config.api.clone(),
            api_port: config.api_port,
            sockets: Places::new(socket_limits(config.sockets_max)),
            shards,
            next_shard: AtomicUsize::new(0),
            readiness,
            stop,
            tasks,
        }
    }

    /// What the main listener serves.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(ENDPOINT, get(upgrade))
            .route("/healthz", get(async || "ok\n"))
            .route("/config.json", get(page_config))
            .fallback(get(page_file))
            .with_state(self)
    }

    // ---- upgrades ----

    fn admit(&self, request: &Request, client: &Client) -> Result<AdmittedUpgrade, UpgradeError> {
        refuse_token_in_query(request.uri().query())?;
        let headers = request.headers();
        let handshake = Handshake::read(request)?;
        self.check_origin(headers)?;
        if self.stop.is_cancelled() {
            return Err(UpgradeError::Draining);
        }
        if !self.readiness.takes_sockets() {
            return Err(UpgradeError::NotReady);
        }
        let resident = self.resident(headers)?;
        let place = self.place(client)?;
        Ok(AdmittedUpgrade {
            handshake,
            resident,
            place,
        })
    }

    /// A place among the sockets, which waits for its CONNECT.
    fn place(&self, client: &Client) -> Result<Place, NoPlace> {
        // Until a shard has the socket there is nothing to tell: the shard finds out when it takes it.
        let evict = Arc::new(|| ());
        let address = client.address.ip().into();
        self.sockets.admit(address, clock::steady(), evict)
    }

    /// Browsers tell which page asks; other clients send no origin.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), UpgradeError> {
        let (Some(allowed), Some(origin)) = (&self.origins, headers.get(header::ORIGIN)) else {
            return Ok(());
        };
        if allowed
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes())
        {
            Ok(())
        } else {
            Err(UpgradeError::Origin)
        }
    }

    /// Who it is, if the upgrade says so. If not, CONNECT must.
    fn resident(&self, headers: &HeaderMap) -> Result<Option<Box<Resident>>, TokenError> {
        let token = match bearer_of(headers) {
            Ok(token) => token,
            Err(TokenError::Missing) => return Ok(None),
            Err(error) => return Err(error),
        };
        let now = EventTime::from_millis(self.clock.wall_ms()).to_timestamp();
        self.verifier
            .verify(token, now)
            .map(|resident| Some(Box::new(resident)))
    }

    async fn hand_over(
        self: Arc<Self>,
        upgrade: OnUpgrade,
        resident: Option<Box<Resident>>,
        place: Place,
    ) {
        let upgraded = match tokio::time::timeout(UPGRADE_WITHIN, upgrade).await {
            Ok(Ok(upgraded)) => upgraded,
            Ok(Err(error)) => {
                return debug!(error = error_value(&error), "an upgrade did not come about");
            }
            Err(_) => return debug!("an upgrade took too long"),
        };
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .expect("every connection of this server is served on such a socket");
        let socket = match parts.io.into_inner().into_std() {
            Ok(socket) => socket,
            Err(error) => {
                return warn!(error = error_value(&error), "a socket cannot be taken over");
            }
        };
        let upgraded = UpgradedSocket {
            socket,
            first_bytes: parts.read_buf,
            resident,
            place,
        };
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        if self.shards[shard]
            .send(ShardCommand::AddConnection(upgraded))
            .await
            .is_err()
        {
            debug!("an upgrade came after the end");
        }
    }
}

/// Before its CONNECT a socket waits; connected it works for as long as it lasts, and makes room for no other.
fn socket_limits(sockets_max: usize) -> PlaceLimits {
    let half = (sockets_max / 2).max(1);
    PlaceLimits {
        places_max: sockets_max,
        strangers_max: UNCONNECTED_PER_ADDRESS_MAX.min(half),
    }
}

async fn upgrade(
    State(server): State<Arc<HttpServer>>,
    Extension(client): Extension<Client>,
    mut request: Request,
) -> Response {
    let AdmittedUpgrade {
        handshake,
        resident,
        place,
    } = match server.admit(&request, &client) {
        Ok(admitted) => admitted,
        Err(error) => return error.into_response(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    server
        .tasks
        .spawn(Arc::clone(&server).hand_over(upgrade, resident, place));
    switching_protocols(&handshake)
}

fn switching_protocols(handshake: &Handshake) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&handshake.accept).expect("base64 is ASCII");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = handshake.subprotocol {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
    }
    response
}

async fn page_config(State(server): State<Arc<HttpServer>>, headers: HeaderMap) -> Response {
    page::config(&page::api_origin(
        server.api.as_deref(),
        server.api_port,
        &headers,
    ))
}

async fn page_file(
    State(server): State<Arc<HttpServer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    page::file(
        uri.path(),
        &page::api_origin(server.api.as_deref(), server.api_port, &headers),
        &headers,
    )
}

impl IntoResponse for UpgradeError {
    /// RFC 9457, with the words that the api uses for the same.
    fn into_response(self) -> Response {
        let (status, code, is_retryable) = match &self {
            UpgradeError::Token(error) => (TokenCode::STATUS, error.code().as_str(), false),
            UpgradeError::Handshake(
                HandshakeError::NotAnUpgrade | HandshakeError::WrongVersion,
            ) => (StatusCode::UPGRADE_REQUIRED, "upgrade_required", false),
            UpgradeError::Handshake(HandshakeError::BadKey) => {
                (StatusCode::BAD_REQUEST, "bad_websocket", false)
            }
            UpgradeError::Origin => (StatusCode::FORBIDDEN, "origin_not_allowed", false),
            UpgradeError::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", true),
            UpgradeError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many", true),
            UpgradeError::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", true),
        };
        let problem = json!({
            "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
            "detail": self.to_string(), "code": code, "retryable": is_retryable,
        });
        let mut response = (status, problem.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == TokenCode::STATUS {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
        }
        if is_retryable {
            // All who are turned away at once must not come back at once.
            headers.insert(
                header::RETRY_AFTER,
                rand::rng().random_range(1u16..=5).into(),
            );
        }
        response
    }
}
