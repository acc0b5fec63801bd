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

use super::answering;
use super::conversation::{self, Conversation, TalkError};
use super::frame::{Frame, FrameKind, put_frame};
use super::handshake::{Hello, Purpose};
use super::inner::Inner;
use super::meters;
use super::question::{self, Status};
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

pub(super) struct Door {
    inner: Arc<Inner>,
    handshakes: Places,
    asking: Arc<Semaphore>,
    /// When each was last said.
    troubles: Mutex<BTreeMap<String, Duration>>,
}

impl Door {
    pub(super) fn new(inner: Arc<Inner>, handshakes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            inner,
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
        let door = Arc::clone(self);
        let serving = async move {
            let judge = |caller: &Hello| {
                let now = door.inner.clock.elapsed();
                door.inner.tellers.judge(now, caller)
            };
            let shaking = conversation::answer(&door.inner.us, stream, judge);
            let shaken = evicted.run_until_cancelled(shaking).await;
            drop(place);
            match shaken {
                Some(Ok(conversation)) => door.serve_peer(conversation).await,
                Some(Err(error)) => door.note_trouble(address, &error),
                None => debug!(from = %address, "a handshake makes room for another"),
            }
        };
        self.inner.spawn(serving);
    }

    /// Said once, and again when it changes or lasts: a stranger must not fill the log.
    fn note_trouble(&self, from: SocketAddr, error: &TalkError) {
        meters::refused();
        let expected = match error {
            TalkError::Refusing(refusal) | TalkError::Refused(refusal) => refusal.is_expected(),
            TalkError::Closed | TalkError::Socket(_) => true,
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
        let now = self.inner.clock.elapsed();
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

    async fn serve_peer(&self, conversation: Conversation) {
        self.inner.book.note(&conversation.peer);
        let node = conversation.peer.node;
        let ended = match conversation.purpose {
            Purpose::Messages => self.hear(conversation).await,
            Purpose::Requests => self.answer(conversation).await,
        };
        match ended {
            Ok(()) => debug!(%node, "connection of a peer ended"),
            Err(error) if error.is_nonsense() && self.is_news(format!("node {node}: {error}")) => {
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
    async fn hear(&self, mut conversation: Conversation) -> Result<(), TalkError> {
        let (inner, replica) = (&self.inner, conversation.peer.replica);
        let now = || inner.clock.elapsed();
        // Only a part of the cluster tells. It may have presented itself a moment ago, when it was none.
        inner.waiting.forget(replica);
        let teller = inner.tellers.begin(now(), replica, conversation.process);
        let hearing = async {
            while let Some(frame) = conversation.next(TELLING_SILENCE_MAX).await? {
                teller.heard(now());
                self.take(&conversation, frame).await?;
            }
            Ok(())
        };
        let heard = teller.superseded.run_until_cancelled(hearing).await;
        inner.tellers.end(replica, &teller);
        heard.unwrap_or(Ok(()))
    }

    async fn take(&self, conversation: &Conversation, frame: Frame) -> Result<(), TalkError> {
        meters::received(frame.body.len());
        match frame.kind {
            FrameKind::Message => {
                let message = self.checked(conversation, &frame.body)?;
                self.hand_on(message).await;
                Ok(())
            }
            FrameKind::Status => {
                let status = Status::decode(&frame.body, conversation.version);
                let status = status.map_err(|_| TalkError::Unreadable)?;
                self.inner.note_status(conversation.peer.replica, status);
                Ok(())
            }
            other => Err(TalkError::Unexpected(other)),
        }
    }

    /// A peer speaks for itself, and to this replica.
    fn checked(&self, conversation: &Conversation, body: &[u8]) -> Result<Message, TalkError> {
        let message = decode_message(body).map_err(|_| TalkError::Unreadable)?;
        let honest = message.from == conversation.peer.replica.0;
        if honest && message.to == self.inner.us.replica.0 {
            Ok(message)
        } else {
            Err(TalkError::Unreadable)
        }
    }

    async fn hand_on(&self, message: Message) {
        match self
            .inner
            .incoming
            .send_timeout(message, TAKEN_WITHIN)
            .await
        {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => meters::overran(),
            // Without its replica a node must not look alive.
            Err(SendTimeoutError::Closed(_)) => self.inner.stop.cancel(),
        }
    }

    /// Answers one question after the other.
    async fn answer(&self, mut conversation: Conversation) -> Result<(), TalkError> {
        let Ok(_place) = self.asking.try_acquire() else {
            return Ok(());
        };
        while let Some(frame) = conversation.next(ASKING_SILENCE_MAX).await? {
            if frame.kind != FrameKind::Request {
                return Err(TalkError::Unexpected(frame.kind));
            }
            let answer = self.answer_to(&conversation, &frame.body).await?;
            conversation.send(&answer).await?;
        }
        Ok(())
    }

    async fn answer_to(
        &self,
        conversation: &Conversation,
        body: &Bytes,
    ) -> Result<BytesMut, TalkError> {
        let request = question::decode_request(body).map_err(|_| TalkError::Unreadable)?;
        let answer = answering::answer(&self.inner, &conversation.peer, request).await;
        let mut frame = BytesMut::new();
        put_frame(&mut frame, FrameKind::Answer, |to| {
            to.put_slice(&question::encode(&answer));
        });
        Ok(frame)
    }
}
