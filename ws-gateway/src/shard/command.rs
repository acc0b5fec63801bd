//! What a shard is asked to do, and the way to it.

use std::{net::TcpStream, sync::Arc, time::Duration};

use bytes::Bytes;
use event_model::{Recorded, Topic, fold::AcceptStatus};
use mio::Waker;
use resident_token::Resident;
use service_kit::bounds::Place;
use tokio::sync::mpsc;

use super::log_ends::LogEnds;
use crate::{outbound_event::OutboundEvent, position::Mark};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum ShardCommand {
    /// A new socket.
    AddConnection(UpgradedSocket),
    /// A record of the log was read: store it, and its frame if it has one.
    Store(ReadRecord),
    /// The same, and all who subscribe to its line are sent it.
    Publish(ReadRecord),
    /// How far the log goes.
    LogEnds(LogEnds),
    /// Something that the subscribers of notices are told.
    Notify(Notice),
    /// Close all sockets within this time, and end.
    Drain(Duration),
}

/// A record that was read.
#[derive(Debug, Clone)]
pub(crate) struct ReadRecord {
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    pub(crate) mark: Mark,
    /// None if the record says nothing that residents are sent.
    pub(crate) event: Option<Arc<OutboundEvent>>,
    /// Accepts that were read before their alert, which this record is.
    pub(crate) corrected: Vec<(Recorded, AcceptStatus)>,
}

/// Something about this gateway.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) name: &'static str,
    pub(crate) body: serde_json::Value,
    /// Whether it stays true until the next notice: then later subscribers are told it too.
    pub(crate) lasts: bool,
}

/// A socket that has become a WebSocket.
#[derive(Debug)]
pub(crate) struct UpgradedSocket {
    pub(crate) socket: TcpStream,
    /// What came after the upgrade request.
    pub(crate) first_bytes: Bytes,
    /// Whose token the upgrade request carried.
    pub(crate) resident: Option<Box<Resident>>,
    pub(crate) place: Place,
}

/// Commands wait in a bounded queue; the shard is woken for each.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    commands: mpsc::Sender<ShardCommand>,
    waker: Arc<Waker>,
}

/// The shard is gone: the gateway is ending.
#[derive(Debug, thiserror::Error)]
#[error("the shard has ended")]
pub(crate) struct ShardEnded;

impl ShardHandle {
    pub(super) fn new(commands: mpsc::Sender<ShardCommand>, waker: Arc<Waker>) -> Self {
        Self { commands, waker }
    }

    /// Waits for room. Cancel safe: a command is sent or not.
    pub(crate) async fn send(&self, command: ShardCommand) -> Result<(), ShardEnded> {
        self.commands.send(command).await.map_err(|_| ShardEnded)?;
        self.waker.wake().map_err(|_| ShardEnded)
    }

    /// The same for a thread of its own.
    pub(crate) fn send_blocking(&self, command: ShardCommand) -> Result<(), ShardEnded> {
        self.commands
            .blocking_send(command)
            .map_err(|_| ShardEnded)?;
        self.waker.wake().map_err(|_| ShardEnded)
    }
}
