//! Takes the connections of other nodes: makes sure of each, then hears what it tells or answers what it asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use service_kit::bounds::{Accepted, Acceptor, PlaceLimits, Places, WhenFull};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::SendTimeoutError;
use tracing::{debug, warn};

use super::connection::{self, PeerConnection, PeerError};
use super::frame::{FrameKind, PeerFrame, put_frame};
use super::handshake::{Hello, Purpose};
use super::metrics;
use super::registry::PeerRegistry;
use super::rpc::{self, Status};
use super::rpc_server;
use crate::consensus::{Message, decode_message};

/// Handshakes at once with one machine: a stranger on one cannot keep the nodes on others out.
const HANDSHAKES_PER_MACHINE_MAX: usize = 8;
/// Connections at once on which peers ask. A question is a connection, and few are asked.
const ASKING_MAX: usize = 64;
/// A peer that tells nothing for so long is gone: it says how it is four times a second.
const TELLING_SILENCE_MAX: Duration = Duration::from_secs(3);
/// A peer that asks nothing more for so long keeps a place from others.
const ASKING_SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a message waits for the replica's thread before it is dropped: Raft repeats, and a message this old helps
/// nobody.
const TAKEN_WITHIN: Duration = Duration::from_millis(100);
/// The same trouble with the same machine is logged again after so long.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Troubles that are remembered as said. A stranger who brings more is heard of that much more often.
const TROUBLES_MAX: usize = 256;

pub(super) struct PeerListener {
    registry: Arc<PeerRegistry>,
    handshakes: Places,
    asking: Arc<Semaphore>,
    /// When each was last said.
    troubles: Mutex<BTreeMap<String, Duration>>,
}

impl PeerListener {
    pub(super) fn new(registry: Arc<PeerRegistry>, handshakes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            registry,
            handshakes: Places::new(PlaceLimits {
                strangers_max: HANDSHAKES_PER_MACHINE_MAX,
                ..PlaceLimits::unshared(handshakes_max)
            }),
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
            troubles: Mutex::default(),
        })
    }

    /// Takes connections, for ever. A handshake has its place for as long as it takes, which is a second at most; a peer
    /// that has proven itself leaves it.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let acceptor = Acceptor::new(listener, self.handshakes.clone(), WhenFull::Close);
        loop {
            self.admit(acceptor.next().await);
        }
    }

    fn admit(self: &Arc<Self>, accepted: Accepted) {
        let Accepted {
            stream,
            address,
            place,
            evicted,
        } = accepted;
        let listener = Arc::clone(self);
        let serving = async move {
            let judge = |caller: &Hello| {
                let now = listener.registry.clock.elapsed();
                listener.registry.leases.judge(now, caller)
            };
            let shaking = connection::answer(&listener.registry.local, stream, judge);
            let shaken = evicted.run_until_cancelled(shaking).await;
            drop(place);
            match shaken {
                Some(Ok(connection)) => listener.serve_peer(connection).await,
                Some(Err(error)) => listener.note_trouble(address, &error),
                None => debug!(from = %address, "a handshake makes room for another"),
            }
        };
        self.registry.spawn(serving);
    }

    /// Said once, and again when it changes or lasts: a stranger must not fill the log.
    fn note_trouble(&self, from: SocketAddr, error: &PeerError) {
        metrics::refused();
        let expected = match error {
            PeerError::Refusing(refusal) | PeerError::Refused(refusal) => refusal.is_expected(),
            PeerError::Closed | PeerError::Socket(_) => true,
            _ => false,
        };
        if expected {
            debug!(%from, trouble = %error, "connection of a peer did not come about");
            return;
        }
        if self.is_news(format!("{}: {error}", from.ip())) {
            warn!(%from, trouble = %error, "connection of a peer did not come about");
        }
    }

    fn is_news(&self, trouble: String) -> bool {
        let now = self.registry.clock.elapsed();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if TROUBLES_MAX <= troubles.len() {
            troubles.clear();
        }
        let last = troubles.insert(trouble.clone(), now);
        let Some(last) = last.filter(|last| now.saturating_sub(*last) < SAID_AGAIN_AFTER) else {
            return true;
        };
        troubles.insert(trouble, last);
        false
    }

    async fn serve_peer(&self, connection: PeerConnection) {
        self.registry.book.note(&connection.peer);
        let node = connection.peer.node;
        let ended = match connection.purpose {
            Purpose::Messages => self.hear(connection).await,
            Purpose::Requests => self.answer(connection).await,
        };
        match ended {
            Ok(()) => debug!(%node, "connection of a peer ended"),
            Err(error) if error.is_malformed() && self.is_news(format!("node {node}: {error}")) => {
                warn!(
                    %node,
                    trouble = %error,
                    "a peer is not understood: run releases that are next to each other, and look at the network between"
                );
            }
            Err(error) => debug!(%node, trouble = %error, "connection of a peer ended"),
        }
    }

    /// Hears what a peer tells, until a newer connection of the same peer comes.
    async fn hear(&self, mut connection: PeerConnection) -> Result<(), PeerError> {
        let (registry, replica) = (&self.registry, connection.peer.replica);
        let now = || registry.clock.elapsed();
        // Only a part of the cluster tells. It may have presented itself a moment ago, when it was none.
        registry.pending.forget(replica);
        let lease = registry.leases.begin(now(), replica, connection.process);
        let hearing = async {
            while let Some(frame) = connection.next(TELLING_SILENCE_MAX).await? {
                lease.heard(now());
                self.take(&connection, frame).await?;
            }
            Ok(())
        };
        let heard = lease.superseded.run_until_cancelled(hearing).await;
        registry.leases.end(replica, &lease);
        heard.unwrap_or(Ok(()))
    }

    async fn take(&self, connection: &PeerConnection, frame: PeerFrame) -> Result<(), PeerError> {
        metrics::received(frame.body.len());
        match frame.kind {
            FrameKind::Message => {
                let message = self.checked(connection, &frame.body)?;
                self.hand_on(message).await;
                Ok(())
            }
            FrameKind::Status => {
                let status = Status::decode(&frame.body, connection.version);
                let status = status.map_err(|_| PeerError::Unreadable)?;
                self.registry.note_status(connection.peer.replica, status);
                Ok(())
            }
            other => Err(PeerError::Unexpected(other)),
        }
    }

    /// A peer speaks for itself, and to this replica.
    fn checked(&self, connection: &PeerConnection, body: &[u8]) -> Result<Message, PeerError> {
        let message = decode_message(body).map_err(|_| PeerError::Unreadable)?;
        let honest = message.from == connection.peer.replica.0;
        if honest && message.to == self.registry.local.replica.0 {
            Ok(message)
        } else {
            Err(PeerError::Unreadable)
        }
    }

    async fn hand_on(&self, message: Message) {
        match self
            .registry
            .incoming
            .send_timeout(message, TAKEN_WITHIN)
            .await
        {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => metrics::overran(),
            // Without its replica a node must not look alive.
            Err(SendTimeoutError::Closed(_)) => self.registry.stop.cancel(),
        }
    }

    /// Answers one question after the other.
    async fn answer(&self, mut connection: PeerConnection) -> Result<(), PeerError> {
        let Ok(_place) = self.asking.try_acquire() else {
            return Ok(());
        };
        while let Some(frame) = connection.next(ASKING_SILENCE_MAX).await? {
            if frame.kind != FrameKind::Request {
                return Err(PeerError::Unexpected(frame.kind));
            }
            let answer = self.answer_to(&connection, &frame.body).await?;
            connection.send(&answer).await?;
        }
        Ok(())
    }

    async fn answer_to(
        &self,
        connection: &PeerConnection,
        body: &Bytes,
    ) -> Result<BytesMut, PeerError> {
        let request = rpc::decode_request(body).map_err(|_| PeerError::Unreadable)?;
        let answer = rpc_server::answer(&self.registry, &connection.peer, request).await;
        let mut frame = BytesMut::new();
        put_frame(&mut frame, FrameKind::Answer, |to| {
            to.put_slice(&rpc::encode(&answer));
        });
        Ok(frame)
    }
}
