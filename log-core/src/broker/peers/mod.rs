//! The other nodes of the cluster: who and where they are, and what is said to them.
//!
//! Messages of the consensus go over one connection per direction and peer; a question opens a connection of its own.
//! Nothing here decides anything about the log, and nothing here makes the replica wait: what cannot go is dropped.
//!
//! ```text
//!  replica's thread ── send ──> Outbox ──> Link ════ messages, statuses ════> Door ──> replica's thread of the peer
//!  registration, handlers, fetcher ──> Asking ══════ questions, answers ═════ Door ──> answering
//! ```

mod address;
mod address_book;
mod answering;
mod asking;
mod conversation;
mod door;
mod formation;
mod forming;
pub mod frame;
mod handshake;
mod inner;
mod link;
mod meters;
mod outbox;
mod question;
mod secret;
mod snapshot_fetcher;
mod teller;
mod us;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;

use journal::disk::Disk;
use service_kit::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::address::Peer;
pub use self::secret::{PeerSecret, SecretTooShort};
pub use self::snapshot_fetcher::FetchError;

pub(in crate::broker) use self::address::host_and_port;
pub(in crate::broker) use self::address_book::join;
pub(in crate::broker) use self::forming::form;
pub(in crate::broker) use self::snapshot_fetcher::SnapshotFetcher;
pub(in crate::broker) use self::waiting::Waiting;

use self::door::Door;
use self::inner::Inner;
use self::us::Us;
use super::replica_handle::ReplicaHandle;
use crate::consensus::Message;
use crate::node::{Outcome, ProposeError};
use crate::state::Command;
use crate::storage::Identity;

/// Messages of other replicas that wait for the replica's thread; more are dropped. A leader has at most 64 under way
/// to a follower, so this is full only when the replica's thread hangs.
const INCOMING_MAX: usize = 256;

/// The way to the other nodes; cheap to clone.
#[derive(Clone)]
pub(in crate::broker) struct Peers {
    inner: Option<Arc<Inner>>,
}

/// How this node is reached, and by whom.
pub(in crate::broker) struct Reach {
    /// Where the others are told to connect.
    pub(in crate::broker) address: String,
    /// The nodes to form a cluster with, this one included.
    pub(in crate::broker) listed: Vec<Peer>,
    /// What all of them know.
    pub(in crate::broker) secret: Option<PeerSecret>,
    /// Handshakes at once.
    pub(in crate::broker) handshakes_max: usize,
}

impl Peers {
    /// Nobody: the peers of a cluster of one.
    pub(in crate::broker) fn none() -> (Self, mpsc::Receiver<Message>) {
        let (_nobody_sends, incoming) = mpsc::channel(1);
        (Self { inner: None }, incoming)
    }

    /// Meets the others, from now until `stop`: answers who this node is, and once it is part of a cluster, hears and
    /// tells. What is heard comes out of the receiver.
    pub(in crate::broker) fn meet(
        identity: &Identity,
        reach: Reach,
        listener: TcpListener,
        clock: Clock,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (incoming_in, incoming) = mpsc::channel(INCOMING_MAX);
        let handshakes_max = reach.handshakes_max;
        let us = Us::new(identity, reach.address, reach.listed, reach.secret);
        let inner = Arc::new(Inner::new(us, incoming_in, clock, stop));
        let door = Door::new(Arc::clone(&inner), handshakes_max);
        inner.spawn(door.serve(listener));
        (Self { inner: Some(inner) }, incoming)
    }

    /// From now on the members are those that the log says, and questions about it are answered.
    pub(in crate::broker) fn attach(&self, replica: ReplicaHandle) {
        if let Some(inner) = &self.inner {
            inner.attach(replica.clone());
            inner.spawn(Arc::clone(inner).stay_linked(replica));
        }
    }

    /// Waits until nothing is said or heard any more, after `stop`: then the address is free.
    pub(in crate::broker) async fn gone(&self) {
        if let Some(inner) = &self.inner {
            inner.tasks.close();
            inner.tasks.wait().await;
        }
    }

    /// Who fetches snapshots from the others, into a data folder.
    pub(in crate::broker) fn fetcher(
        &self,
        disk: Arc<dyn Disk>,
        folder: PathBuf,
    ) -> SnapshotFetcher {
        match &self.inner {
            Some(inner) => SnapshotFetcher::into(Arc::clone(inner), disk, folder),
            None => SnapshotFetcher::none(),
        }
    }

    /// Puts a message in line to the replica that it is for. Never blocks; what cannot go is dropped.
    pub(in crate::broker) fn send(&self, message: Message) {
        let Some(inner) = &self.inner else {
            return;
        };
        if inner.push(message).is_err() {
            meters::dropped(1);
        }
    }

    /// Has the leader propose a command, here or wherever it is: one that concerns this node itself, or no record.
    ///
    /// # Errors
    /// [`ProposeError`], as if it had been proposed here.
    pub(in crate::broker) async fn forward(
        &self,
        command: Command,
    ) -> Result<Outcome, ProposeError> {
        match &self.inner {
            Some(inner) => asking::forward(inner, command).await,
            None => Err(ProposeError::NotLeader),
        }
    }

    /// The nodes that have presented themselves lately and are no members.
    pub(in crate::broker) fn waiting(&self) -> Vec<Waiting> {
        match &self.inner {
            Some(inner) => inner.waiting.list(inner.clock.elapsed()),
            None => Vec::new(),
        }
    }
}

/// Reads what a frame says, down to its values, as a node does; for the fuzzer. Says whether it was understood.
#[cfg(any(test, feature = "testing"))]
pub fn hear(frame: &frame::Frame) -> bool {
    use frame::FrameKind;
    let body = &frame.body;
    match frame.kind {
        FrameKind::Hello => handshake::Hello::decode(body).is_ok(),
        FrameKind::Greeting => handshake::Greeting::decode(body).is_ok(),
        FrameKind::Proof => handshake::Proof::decode(body).is_ok(),
        FrameKind::Welcome => true,
        FrameKind::Refusal => !handshake::Refusal::decode(body).to_string().contains('\n'),
        FrameKind::Message => crate::consensus::decode_message(body).is_ok(),
        FrameKind::Status => (*handshake::VERSIONS.start()..=*handshake::VERSIONS.end())
            .any(|version| question::Status::decode(body, version).is_ok()),
        FrameKind::Request => question::decode_request(body).is_ok(),
        FrameKind::Answer => question::decode::<question::Answer>(body).is_ok(),
    }
}
