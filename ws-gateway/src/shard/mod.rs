//! One core's share of the sockets: a thread that owns them, their sessions, their subscriptions and their queues.
//!
//! The thread loops: wait for sockets, commands or a deadline; take the next thing; do what it asks for. One thing
//! happens at a time, so nothing is locked, and on one subscription nothing overtakes: joining, what was missed and
//! what comes next are written by the same hand.
//!
//! A panic while one socket is served ends that socket only.

mod backfill;
mod command;
mod connection_key;
mod deadlines;
mod effects;
mod log_ends;
mod partial_messages;
mod pending_subscribe;
mod publisher;
#[cfg(test)]
mod tests;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use mio::{Events, Poll, Token, Waker};
use rand::Rng;
use resident_token::Verifier;
use service_kit::{bounds::Evict, clock::Clock, error_value};
use slab::Slab;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use self::{
    backfill::BackfillBudgets, connection_key::ConnectionKey, deadlines::Deadlines,
    partial_messages::PartialMessages, pending_subscribe::PendingSubscribe, publisher::Publisher,
};
pub(crate) use self::{
    command::{Notice, ReadRecord, ShardCommand, ShardEnded, ShardHandle, UpgradedSocket},
    log_ends::LogEnds,
};
use crate::{
    config::{Config, SocketLimits},
    connection::Connection,
    disconnect_reason::DisconnectReason,
    event_clock::EventClock,
    metrics,
    outbound_event::OutboundEvent,
    socket_counts::SocketCounts,
    stomp::{Frame, ProtocolError},
    websocket::{
        Message, OpCode,
        coding::{CloseCode, Data},
    },
};

/// Commands that wait for a shard. The log's reader waits when it is full: a broadcast takes milliseconds.
const COMMANDS_MAX: usize = 1_024;
/// Commands taken before sockets are looked at again.
const COMMANDS_AT_ONCE: usize = 64;
/// What is read from a socket at once.
const READ_BYTES: usize = 16 * 1024;
/// Reads from one socket before the others have their turn.
const READS_AT_ONCE: usize = 8;

const WAKER: Token = Token(usize::MAX);

/// Starts the thread of one shard.
pub(crate) fn start(
    number: usize,
    config: &Config,
    clock: Clock,
    event_clock: Arc<EventClock>,
    counts: SocketCounts,
) -> io::Result<(ShardHandle, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let shard = Shard {
        poll,
        inbox,
        waker: Arc::clone(&waker),
        clock,
        event_clock,
        now: clock.elapsed(),
        limits: config.limits,
        verifier: Arc::clone(&config.verifier),
        counts,
        evicted: Arc::default(),
        connections: Slab::new(),
        connections_made: (number as u64) << 48,
        publisher: Publisher::new(config.recent_bytes_max),
        deadlines: Deadlines::new(clock.elapsed()),
        read_buffer: Vec::new(),
        unfinished: Vec::new(),
        unfilled: Vec::new(),
        pending: Vec::new(),
        pending_changed: false,
        judged_at: Duration::ZERO,
        log_ends: LogEnds::default(),
        backfill_budgets: BackfillBudgets::default(),
        queued: Arc::default(),
        queued_max: config.queues_bytes_max / config.shards,
        partial_messages: PartialMessages::new(
            config.partial_bytes_max / config.shards,
            config.limits.message_within,
        ),
        ending: None,
    };
    let thread = std::thread::Builder::new()
        .name(format!("shard-{number}"))
        .spawn(move || shard.run())?;
    Ok((ShardHandle::new(commands, waker), thread))
}

struct Shard {
    poll: Poll,
    inbox: mpsc::Receiver<ShardCommand>,
    waker: Arc<Waker>,
    clock: Clock,
    event_clock: Arc<EventClock>,
    now: Duration,
    limits: SocketLimits,
    verifier: Arc<Verifier>,
    counts: SocketCounts,
    /// Sockets without CONNECT that were told to make room for a new connection.
    evicted: Arc<Mutex<Vec<ConnectionKey>>>,
    connections: Slab<Connection>,
    connections_made: u64,
    publisher: Publisher,
    deadlines: Deadlines,
    read_buffer: Vec<u8>,
    /// Sockets that have more to read than their turn allowed.
    unfinished: Vec<ConnectionKey>,
    /// Sockets that take more of what they missed than their turn allowed.
    unfilled: Vec<ConnectionKey>,
    /// Subscriptions from a position that was not read here yet.
    pending: Vec<PendingSubscribe>,
    /// Whether more is known than when they were last looked at, and when that was.
    pending_changed: bool,
    judged_at: Duration,
    log_ends: LogEnds,
    backfill_budgets: BackfillBudgets,
    /// Memory that all write queues of this shard hold, about, and its bound.
    queued: Arc<AtomicUsize>,
    queued_max: usize,
    partial_messages: PartialMessages,
    /// When this thread ends, whatever sockets are still open.
    ending: Option<Duration>,
}

impl Shard {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        while !self.has_ended() {
            if let Err(error) = self.poll.poll(&mut events, self.wait())
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(
                    error = error_value(&error),
                    "a shard cannot wait for its sockets and ends"
                );
                return;
            }
            self.now = self.clock.elapsed();
            for key in std::mem::take(&mut self.unfinished) {
                self.guarded(key, Self::read);
            }
            for key in std::mem::take(&mut self.unfilled) {
                self.guarded(key, Self::fill);
            }
            for event in &events {
                match event.token() {
                    WAKER => self.take_commands(),
                    Token(slot) => {
                        self.socket_is_ready(slot, event.is_readable(), event.is_writable())
                    }
                }
            }
            self.do_what_is_due();
            self.judge_pending();
            self.shed_queues();
            self.shed_partial_messages();
        }
    }

    /// All queues together hold no more than their bound: the longest goes first.
    fn shed_queues(&mut self) {
        while self.queued_max < self.queued.load(Ordering::Relaxed) {
            let longest = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.accepts_input())
                .max_by_key(|(_, connection)| connection.queue_cost());
            let Some((slot, connection)) = longest.filter(|(_, one)| 0 < one.queue_cost()) else {
                return;
            };
            let number = connection.number();
            self.refuse(
                ConnectionKey { slot, number },
                &DisconnectReason::SlowConsumer,
            );
        }
    }

    /// What has begun to arrive is whole in time, and takes no more memory than its bound: the oldest goes first.
    fn shed_partial_messages(&mut self) {
        while let Some(key) = self.partial_messages.to_refuse(self.now) {
            self.partial_messages.set(key, None);
            if let Some(connection) = self.connection(key) {
                connection.stop_reading();
                self.refuse(key, &DisconnectReason::PartialMessage);
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.ending
            .is_some_and(|ending| self.connections.is_empty() || ending <= self.now)
    }

    fn wait(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() || !self.unfilled.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.elapsed();
        let ending = self.ending.map(|ending| ending.saturating_sub(now));
        let judging = self.next_judgement(now);
        let overdue = self.partial_messages.next_deadline();
        let overdue = overdue.map(|at| at.saturating_sub(now));
        let sleeps = self.deadlines.sleep(now).into_iter();
        sleeps.chain(ending).chain(judging).chain(overdue).min()
    }

    fn take_commands(&mut self) {
        self.make_room();
        for _ in 0..COMMANDS_AT_ONCE {
            match self.inbox.try_recv() {
                Ok(command) => self.perform_command(command),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.ending.get_or_insert(self.now);
                    return;
                }
            }
        }
        // There may be more: come back after the sockets had their turn.
        if let Err(error) = self.waker.wake() {
            warn!(error = error_value(&error), "a shard cannot wake itself");
        }
    }

    fn perform_command(&mut self, command: ShardCommand) {
        match command {
            ShardCommand::AddConnection(upgraded) => self.add_connection(upgraded),
            ShardCommand::Store(read) => drop(self.store(read)),
            ShardCommand::Publish(read) => {
                if let Some(event) = self.store(read) {
                    self.publish(&event);
                }
            }
            ShardCommand::LogEnds(ends) => {
                self.log_ends = ends;
                self.pending_changed = true;
            }
            ShardCommand::Notify(notice) => self.notify(notice),
            ShardCommand::Drain(window) => self.drain(window),
        }
    }

    // ---- what the log says ----

    fn store(&mut self, read: ReadRecord) -> Option<Arc<OutboundEvent>> {
        self.pending_changed = true;
        self.publisher.store(read)
    }

    fn publish(&mut self, event: &Arc<OutboundEvent>) {
        let (connections, log_ends) = (&mut self.connections, &self.log_ends);
        let published = self
            .publisher
            .publish(connections, event, log_ends, self.now);
        metrics::delivered(published.delivered);
        for key in published.to_fill {
            self.fill(key);
        }
        self.sends_failed(published.failed);
    }

    fn notify(&mut self, notice: Notice) {
        let failed = self
            .publisher
            .notify(&mut self.connections, notice, self.now);
        self.sends_failed(failed);
    }

    // ---- sockets come and go ----

    fn add_connection(&mut self, upgraded: UpgradedSocket) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        self.connections_made += 1;
        let number = self.connections_made;
        let key = ConnectionKey { slot, number };
        let mut connection = Connection::new(
            number,
            mio::net::TcpStream::from_std(upgraded.socket),
            upgraded.resident,
            upgraded.place,
            &self.limits,
            Arc::clone(&self.queued),
            self.now,
        );
        if let Err(error) = connection.register(self.poll.registry(), Token(slot)) {
            warn!(error = error_value(&error), "a socket cannot be watched");
            return;
        }
        if self.ending.is_some() {
            connection.drain_at(self.now);
        }
        if !connection.evict_by(evict_by(key, &self.evicted, &self.waker)) {
            // It was told to make room on its way here.
            return;
        }
        entry.insert(connection);
        metrics::opened();
        self.schedule(key);
        self.guarded(key, |shard, key| shard.take(key, &upgraded.first_bytes));
    }

    /// Ends the sockets that were told to, at once: their descriptors are wanted by those that came in their place.
    fn make_room(&mut self) {
        let evicted = std::mem::take(&mut *lock(&self.evicted));
        for key in evicted {
            self.refuse(key, &DisconnectReason::Evicted);
            self.drop_connection(key);
        }
    }

    fn drop_connection(&mut self, key: ConnectionKey) {
        if self.connection(key).is_none() {
            return;
        }
        self.pending.retain(|pending| pending.key != key);
        self.partial_messages.set(key, None);
        let mut connection = self.connections.remove(key.slot);
        self.publisher.unsubscribe(connection.take_subscriptions());
        if let Err(error) = connection.deregister(self.poll.registry()) {
            debug!(error = error_value(&error), "a socket was not watched");
        }
        metrics::closed();
    }

    fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.connections
            .get_mut(key.slot)
            .filter(|connection| connection.number() == key.number)
    }

    /// A panic in here costs the socket it is about, and no other.
    fn guarded(&mut self, key: ConnectionKey, serve: impl FnOnce(&mut Self, ConnectionKey)) {
        if catch_unwind(AssertUnwindSafe(|| serve(self, key))).is_err() {
            error!(connection = key.number, "a session panicked and is closed");
            self.refuse(key, &DisconnectReason::Internal);
            self.drop_connection(key);
        }
    }

    fn drain(&mut self, window: Duration) {
        // A few sockets need no spreading: two hundred can come back in a second.
        let window = window.min(
            Duration::from_millis(5) * u32::try_from(self.connections.len()).unwrap_or(u32::MAX),
        );
        info!(
            sockets = self.connections.len(),
            window_ms = window.as_millis(),
            "draining"
        );
        self.notify(Notice {
            name: "draining",
            body: serde_json::json!({"type": "draining", "retryAfterMs": window.as_millis()}),
            lasts: true,
        });
        self.ending = Some(self.now + window + Duration::from_secs(5));
        let keys: Vec<_> = self
            .connections
            .iter()
            .map(|(slot, connection)| ConnectionKey {
                slot,
                number: connection.number(),
            })
            .collect();
        for key in keys {
            let at = self.now + window.mul_f64(rand::rng().random_range(0.0..=1.0));
            if let Some(connection) = self.connection(key) {
                connection.drain_at(at);
            }
            self.schedule(key);
        }
    }

    // ---- what sockets say ----

    fn socket_is_ready(&mut self, slot: usize, readable: bool, writable: bool) {
        let Some(number) = self.connections.get(slot).map(Connection::number) else {
            return;
        };
        let key = ConnectionKey { slot, number };
        if writable {
            self.flush(key);
        }
        if readable {
            self.guarded(key, Self::read);
        }
    }

    fn read(&mut self, key: ConnectionKey) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        buffer.resize(READ_BYTES, 0);
        let now = self.now;
        // Readiness is told once: a socket left before it is empty must be come back to.
        self.unfinished.push(key);
        for _ in 0..READS_AT_ONCE {
            let read = self
                .connection(key)
                .map(|connection| connection.read(&mut buffer, now));
            match read {
                None | Some(Ok(None)) => {
                    self.unfinished.pop();
                    break;
                }
                Some(Ok(Some(0)) | Err(_)) => {
                    self.unfinished.pop();
                    self.drop_connection(key);
                    break;
                }
                Some(Ok(Some(read))) => self.take(key, &buffer[..read]),
            }
        }
        self.read_buffer = buffer;
    }

    fn take(&mut self, key: ConnectionKey, mut bytes: &[u8]) {
        while let Some(message) = self.next_message(key, &mut bytes) {
            self.take_message(key, message);
        }
        if let Some(connection) = self.connection(key) {
            let partial = connection.partial_message();
            self.partial_messages.set(key, partial);
        }
    }

    /// `None`: all is taken, or nothing that comes counts any more.
    fn next_message(&mut self, key: ConnectionKey, bytes: &mut &[u8]) -> Option<Message> {
        let now = self.now;
        let message = self.connection(key)?.next_message(bytes, now);
        message.unwrap_or_else(|error| {
            self.refuse(key, &DisconnectReason::WebSocket(error));
            None
        })
    }

    fn take_message(&mut self, key: ConnectionKey, message: Message) {
        if let Message::Close(close) = message {
            return self.peer_closed(key, close.map(|close| close.code));
        }
        if !self
            .connection(key)
            .is_some_and(|connection| connection.accepts_input())
        {
            return;
        }
        match message {
            Message::Text(text) => self.take_stomp(key, Data::Text, text.as_bytes()),
            Message::Binary(bytes) => self.take_stomp(key, Data::Binary, &bytes),
            Message::Ping(payload) => {
                self.send(key, |connection, now| connection.pong(payload, now))
            }
            Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }

    fn peer_closed(&mut self, key: ConnectionKey, code: Option<CloseCode>) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        connection.peer_closed(code, now);
        self.after_close(key);
    }

    /// Close is on its way: done if both have said it, else a deadline is set.
    fn after_close(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        if connection.is_done() {
            return self.drop_connection(key);
        }
        let subscriptions = connection.take_subscriptions();
        self.publisher.unsubscribe(subscriptions);
        self.pending.retain(|pending| pending.key != key);
        self.schedule(key);
    }

    fn take_stomp(&mut self, key: ConnectionKey, kind: Data, mut bytes: &[u8]) {
        loop {
            let Some(connection) = self
                .connection(key)
                .filter(|connection| connection.accepts_input())
            else {
                return;
            };
            connection.answer_as(OpCode::Data(kind));
            match connection.next_frame(&mut bytes) {
                Ok(None) => return,
                Ok(Some(frame)) => self.take_frame(key, frame),
                Err(error) => {
                    return self.refuse(
                        key,
                        &DisconnectReason::Protocol(ProtocolError::Parse(error)),
                    );
                }
            }
        }
    }

    fn take_frame(&mut self, key: ConnectionKey, frame: Frame) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        let mut effects = Vec::new();
        let handled = connection.handle(frame, &mut effects, now);
        let performed = handled.and_then(|()| self.perform_all(key, effects));
        match performed {
            Ok(()) => {
                if let Some(connection) = self.connection(key) {
                    connection.frame_done();
                }
            }
            Err(reason) => self.refuse(key, &reason),
        }
    }
}

/// Tells the shard that a socket is to make room.
fn evict_by(
    key: ConnectionKey,
    evicted: &Arc<Mutex<Vec<ConnectionKey>>>,
    waker: &Arc<Waker>,
) -> Evict {
    let (evicted, waker) = (Arc::clone(evicted), Arc::clone(waker));
    Arc::new(move || {
        lock(&evicted).push(key);
        if let Err(error) = waker.wake() {
            warn!(error = error_value(&error), "a shard cannot be woken");
        }
    })
}

fn lock(evicted: &Mutex<Vec<ConnectionKey>>) -> MutexGuard<'_, Vec<ConnectionKey>> {
    evicted.lock().unwrap_or_else(PoisonError::into_inner)
}
