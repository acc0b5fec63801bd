//! The connection over which one peer is told what the consensus says: calls, tells, calls again when it breaks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rand::Rng;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{Instrument, debug, info, info_span, warn};

use super::connection::{PeerConnection, PeerError, call};
use super::frame::{FrameKind, put_frame};
use super::handshake::{ExpectedPeer, Purpose};
use super::metrics;
use super::registry::PeerRegistry;
use super::send_queue::{Full, SendQueue};
use crate::broker::node_handle::NodeHandle;
use crate::consensus::{Message, encode_message};
use crate::ids::ReplicaId;

/// Bytes of messages that go out with one write, about.
const WRITE_BYTES: usize = 1 << 20;
/// The first wait after a call that failed.
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(25);
/// The longest: with the time a call may take (500 ms) a healed link is found within a second.
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(250);
/// Between two words about how this node is. They also keep the connection tried: silence would hide that it is dead.
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// A link to a replica that is no member and to which nothing is said any more ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Troubles that are remembered as said. More come only from a peer that words each refusal differently.
const TROUBLES_MAX: usize = 32;

/// The ways in: a link is opened when there is a message, or a new member to say it to.
impl PeerRegistry {
    /// Puts a message in line to a replica, or says that there is no room.
    pub(super) fn push(self: &Arc<Self>, message: Message) -> Result<(), Full> {
        // A link that ends at this very moment may take the message along: Raft repeats it.
        self.queue_to(ReplicaId(message.to)).push(message)
    }

    /// Opens the link to each other member, before there is anything to say: an election must not wait for it.
    pub(super) async fn stay_linked(self: Arc<Self>, replica: NodeHandle) {
        let mut changes = replica.membership_changes();
        loop {
            let members = changes.borrow_and_update().clone();
            let members = members.voters.iter().chain(&members.learners);
            for member in members.filter(|member| **member != self.local.replica) {
                self.queue_to(*member);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn queue_to(self: &Arc<Self>, to: ReplicaId) -> Arc<SendQueue> {
        let queue = {
            let mut queues = self.queues();
            if let Some(queue) = queues.get(&to) {
                return Arc::clone(queue);
            }
            let queue = Arc::new(SendQueue::default());
            queues.insert(to, Arc::clone(&queue));
            queue
        };
        // Not under the lock: where nothing can be started any more the link ends at once, and takes it.
        spawn(self, to, Arc::clone(&queue));
        queue
    }
}

/// Runs the link to one replica until it is no longer needed, or the broker stops.
fn spawn(registry: &Arc<PeerRegistry>, to: ReplicaId, queue: Arc<SendQueue>) {
    let link = Link {
        registry: Arc::clone(registry),
        to,
        queue,
        troubles: BTreeSet::new(),
        calls_failed: 0,
    };
    let span = info_span!("peer", replica = %to);
    registry.spawn(link.run().instrument(span));
}

struct Link {
    registry: Arc<PeerRegistry>,
    to: ReplicaId,
    queue: Arc<SendQueue>,
    /// Why there was no connection since the last one: each reason is said once.
    troubles: BTreeSet<String>,
    calls_failed: usize,
}

impl Drop for Link {
    fn drop(&mut self) {
        // However it ended: the next word to this replica opens another.
        self.registry.forget(self.to, &self.queue);
    }
}

impl Link {
    async fn run(mut self) {
        while self.is_needed().await {
            match self.connect().await {
                Ok(connection) => self.tell(connection).await,
                Err((address, error)) => self.note_trouble(&address, &error),
            }
            // What was to be said is about a moment that has passed.
            metrics::dropped(self.queue.clear());
            sleep(self.wait()).await;
        }
        debug!("link ended: the replica is no member, and nothing is said to it");
    }

    /// Waits until the peer is a member or something is queued; false when that is over for good.
    async fn is_needed(&self) -> bool {
        loop {
            if self.registry.is_member(self.to) {
                return true;
            }
            if timeout(IDLE_MAX, self.queue.filled()).await.is_ok() {
                return true;
            }
            if self.registry.forget_idle(self.to) {
                return false;
            }
        }
    }

    /// Calls the replica at one of the places where it may be, another one each time.
    async fn connect(&mut self) -> Result<PeerConnection, (String, PeerError)> {
        let places = self.registry.addresses_of(self.to);
        let Some(address) = places.get(self.calls_failed % places.len().max(1)) else {
            return Err((String::new(), PeerError::NoAddress));
        };
        let wanted = ExpectedPeer {
            node: None,
            replica: Some(self.to),
        };
        let called = call(&self.registry.local, address, wanted, Purpose::Messages).await;
        called.map_err(|error| (address.clone(), error))
    }

    fn note_trouble(&mut self, address: &str, error: &PeerError) {
        self.calls_failed += 1;
        let trouble = error.to_string();
        if TROUBLES_MAX <= self.troubles.len() {
            self.troubles.clear();
        }
        if !self.troubles.insert(format!("{address}: {trouble}")) {
            return;
        }
        if matches!(error, PeerError::Refused(refusal) if refusal.is_expected()) {
            debug!(address, trouble, "peer is not ready");
        } else {
            warn!(address, trouble, "peer cannot be told anything");
        }
    }

    /// Tells the peer what there is to tell, until the connection breaks.
    async fn tell(&mut self, mut connection: PeerConnection) {
        self.calls_failed = 0;
        self.troubles.clear();
        self.registry.book.note(&connection.peer);
        let node = connection.peer.node;
        let _counted = metrics::Connected::to(node);
        info!(%node, address = connection.peer.address, "peer connected");
        let ended = self.tell_all(&mut connection).await;
        info!(%node, trouble = %ended, "peer disconnected");
    }

    async fn tell_all(&self, connection: &mut PeerConnection) -> PeerError {
        let mut statuses = interval(STATUS_EVERY);
        statuses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frames = BytesMut::new();
        let mut spoke = false;
        loop {
            // The peer says nothing on this connection: whatever is read is its end.
            tokio::select! {
                biased;
                end = connection.next(Duration::MAX) => return end_of(end.err()),
                // Before the messages: they may never end.
                _ = statuses.tick() => {
                    if !spoke && !self.registry.is_member(self.to) {
                        return PeerError::NoMember;
                    }
                    self.put_status(&mut frames, connection.version);
                    spoke = false;
                }
                () = self.queue.filled() => {
                    self.gather(&mut frames);
                    spoke = true;
                }
            }
            if let Err(error) = connection.send(&frames).await {
                return error;
            }
            frames.clear();
        }
    }

    /// Puts together what goes out with one write.
    fn gather(&self, frames: &mut BytesMut) {
        let messages = self.queue.take(WRITE_BYTES);
        for message in &messages {
            put_message(frames, message);
        }
        metrics::sent(messages.len(), frames.len());
    }

    fn put_status(&self, frames: &mut BytesMut, version: u16) {
        if let Some(status) = self.registry.status() {
            put_frame(frames, FrameKind::Status, |to| {
                to.put_slice(&status.encode(version));
            });
        }
    }

    /// Longer after each failure, and never the same for two links: peers that lost each other do not call in step.
    fn wait(&self) -> Duration {
        let doublings = u32::try_from(self.calls_failed).unwrap_or(u32::MAX).min(8);
        let longest = (AGAIN_AFTER_MIN * 2_u32.pow(doublings)).min(AGAIN_AFTER_MAX);
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

fn put_message(frames: &mut BytesMut, message: &Message) {
    put_frame(frames, FrameKind::Message, |to| {
        to.put_slice(&encode_message(message));
    });
}

fn end_of(error: Option<PeerError>) -> PeerError {
    error.unwrap_or(PeerError::Closed)
}
