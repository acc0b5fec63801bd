//! One socket: its bytes in and out, its session, its deadlines. A connection decides what concerns its own socket; the
//! shard that owns it decides which others are sent something.
//!
//! ```text
//!  Waiting ── CONNECT ──▶ Open ── DISCONNECT ──▶ Leaving
//!     │                    │                        │
//!     └───── a reason, the peer's Close, a deadline ┴───▶ Closing ──▶ dropped
//! ```

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use mio::{Interest, Registry, Token, net::TcpStream};
use resident_token::{Resident, good_until};
use service_kit::bounds::{Evict, Place};

use crate::{
    backlog::{BacklogItem, Backlogs},
    config::SocketLimits,
    destination::Channel,
    disconnect_reason::DisconnectReason,
    frame_buffer::FrameBuffer,
    hub::SubscriptionHandle,
    socket_counts::CountedSocket,
    stomp::{Effect, Frame, Limits, ParseError, Parser, Session, SubscriptionKey},
    token_bucket::TokenBucket,
    websocket::{self, CloseCode, Message, MessageReader, OpCode, WebSocketError, coding},
    write_queue::{FlushOutcome, SendError, WriteQueue},
};

/// Frames taken at once from a client that was silent before, and then in a second.
const FRAMES_AT_ONCE: i64 = 1_000;
const FRAMES_PER_SECOND: i64 = 100;

/// How long a client that said DISCONNECT may take to close; how long Close waits for its answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How long before a token expires its bearer is told: time enough to get another.
const TELL_EXPIRY_BEFORE: Duration = Duration::from_secs(60);

/// How far along a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Upgraded, and nothing known of who it is but perhaps a token in the upgrade. Takes CONNECT, until then.
    Waiting { connect_by: Duration },
    /// CONNECT was accepted. Takes every frame, until the token expires.
    Open { expires_at: Timestamp },
    /// DISCONNECT was taken: what the client still sends is passed over, and it closes, until then.
    Leaving { close_by: Duration },
    /// Close was sent or queued: only the peer's Close still counts, until then.
    Closing {
        drop_by: Duration,
        peer_closed: bool,
    },
}

/// What a deadline that has come asks for.
#[derive(Debug)]
pub(crate) enum DueAction {
    Nothing,
    Refuse(DisconnectReason),
    Close(CloseCode),
    TellExpiry {
        left: Duration,
    },
    Drop,
    /// A heart-beat, a ping, or both at once.
    KeepAlive {
        beat: bool,
        ping: bool,
    },
}

/// What a client has begun to send and not ended: a frame, a message in fragments, a frame of STOMP in several messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartialMessage {
    pub(crate) since: Duration,
    /// Memory that it takes.
    pub(crate) bytes: usize,
}

/// One socket and all that belongs to it.
#[derive(Debug)]
pub(crate) struct Connection {
    number: u64,
    socket: TcpStream,
    reader: MessageReader,
    parser: Parser,
    /// Since when the client has begun something, and not ended it.
    partial_since: Option<Duration>,
    session: Session,
    stage: Stage,
    resident: Option<Box<Resident>>,
    subscriptions: Vec<(SubscriptionKey, SubscriptionHandle<Channel>)>,
    /// What the client is answered in.
    opcode: OpCode,
    /// When the wheel wakes this connection next.
    wake_at: Option<Duration>,
    /// Whether the bearer of the token was told that it expires soon.
    expiry_told: bool,
    /// Whether what comes is thrown away.
    discards_input: bool,
    /// A random time to close at, when the gateway is drained.
    drain_at: Option<Duration>,
    write_queue: WriteQueue,
    backlogs: Backlogs,
    frames: TokenBucket<FRAMES_AT_ONCE, FRAMES_PER_SECOND>,
    sent_at: Duration,
    received_at: Duration,
    pinged_at: Duration,
    /// Among all sockets: it waits until CONNECT, and works from then on.
    place: Place,
    /// Among those of its person and its house, from CONNECT on.
    counted: Option<CountedSocket>,
}

impl Connection {
    pub(crate) fn new(
        number: u64,
        socket: TcpStream,
        resident: Option<Box<Resident>>,
        place: Place,
        limits: &SocketLimits,
        queued: Arc<AtomicUsize>,
        now: Duration,
    ) -> Self {
        Self {
            number,
            socket,
            reader: MessageReader::default(),
            parser: Parser::default(),
            partial_since: None,
            session: Session::new(number),
            stage: Stage::Waiting {
                connect_by: now + limits.connect_within,
            },
            resident,
            subscriptions: Vec::new(),
            opcode: OpCode::Data(coding::Data::Text),
            wake_at: None,
            expiry_told: false,
            discards_input: false,
            drain_at: None,
            write_queue: WriteQueue::new(limits.outbox_bytes_max, queued),
            backlogs: Backlogs::new(limits.outbox_bytes_max, now),
            frames: TokenBucket::full(now),
            sent_at: now,
            received_at: now,
            pinged_at: now,
            place,
            counted: None,
        }
    }

    /// Never used for two connections of a shard.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// From now on `poll` tells when the socket can be read or written.
    pub(crate) fn register(&mut self, poll: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.register(&mut self.socket, token, interest)
    }

    pub(crate) fn deregister(&mut self, poll: &Registry) -> io::Result<()> {
        poll.deregister(&mut self.socket)
    }

    /// While it waits for its CONNECT this is how it is told to make room. Whether it may stay: it may have been told already.
    pub(crate) fn evict_by(&self, evict: Evict) -> bool {
        self.place.evict_by(evict)
    }

    // ---- what comes in ----

    /// Reads once. `None`: nothing there now.
    pub(crate) fn read(&mut self, buffer: &mut [u8], now: Duration) -> io::Result<Option<usize>> {
        loop {
            match self.socket.read(buffer) {
                Ok(read) => {
                    self.received_at = now;
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message in what came. `None`: all is taken, or nothing that comes counts any more.
    ///
    /// # Errors
    ///
    /// The client does not send_keep_alive WebSocket: nothing that comes counts any more.
    pub(crate) fn next_message(
        &mut self,
        bytes: &mut &[u8],
        now: Duration,
    ) -> Result<Option<Message>, WebSocketError> {
        if self.discards_input {
            return Ok(None);
        }
        self.note_partial(now);
        let message = self.reader.next(bytes);
        match message {
            Ok(None) => self.note_partial(now),
            Ok(Some(Message::Close(_))) | Err(_) => self.stop_reading(),
            Ok(Some(_)) => {}
        }
        message
    }

    /// The next frame of STOMP in a message. `None`: all is taken.
    pub(crate) fn next_frame(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, ParseError> {
        let frame = self.parser.next(bytes)?;
        if frame.is_some() {
            self.partial_since = None;
        }
        Ok(frame)
    }

    /// What is begun counts from its beginning, and what is whole no more.
    fn note_partial(&mut self, now: Duration) {
        if self.partial_bytes() == 0 {
            self.partial_since = None;
        } else {
            self.partial_since.get_or_insert(now);
        }
    }

    fn partial_bytes(&self) -> usize {
        self.reader.bytes_held() + self.parser.bytes_held()
    }

    /// What the client has begun and not ended.
    pub(crate) fn partial_message(&self) -> Option<PartialMessage> {
        self.partial_since.map(|since| PartialMessage {
            since,
            bytes: self.partial_bytes(),
        })
    }

    /// Nothing that comes counts any more. It is read, so that our Close is not lost to a reset, and thrown away.
    pub(crate) fn stop_reading(&mut self) {
        self.discards_input = true;
        self.reader = MessageReader::default();
        self.parser = Parser::default();
        self.partial_since = None;
    }

    /// Whether what the client says still counts.
    pub(crate) fn accepts_input(&self) -> bool {
        matches!(
            self.stage,
            Stage::Waiting { .. } | Stage::Open { .. } | Stage::Leaving { .. }
        )
    }

    /// The client speaks in this kind of message. What CONNECT comes in is what it is answered in from then on.
    pub(crate) fn answer_as(&mut self, opcode: OpCode) {
        if let Stage::Waiting { .. } = self.stage {
            self.opcode = opcode;
        }
    }

    /// Takes a frame, and pushes what must now happen.
    pub(crate) fn handle(
        &mut self,
        frame: Frame,
        effects: &mut Vec<Effect>,
        now: Duration,
    ) -> Result<(), DisconnectReason> {
        if !self.frames.take(1, now) {
            return Err(DisconnectReason::TooManyFrames);
        }
        self.session.handle(frame, effects)?;
        Ok(())
    }

    /// All that the frame asked for is done.
    pub(crate) fn frame_done(&mut self) {
        self.session.frame_done();
    }

    // ---- who it is ----

    /// Whose it is, since CONNECT; before it, whose token came with the upgrade.
    pub(crate) fn resident(&self) -> Option<&Resident> {
        self.resident.as_deref()
    }

    /// Whose token came with the upgrade: CONNECT may bring another.
    pub(crate) fn take_resident(&mut self) -> Option<Box<Resident>> {
        self.resident.take()
    }

    /// The token was verified: the socket makes room for no other any more. Whether it had not been told to already.
    pub(crate) fn keep_place(&self) -> bool {
        let keeps = self.place.work();
        if keeps {
            self.place.verified();
        }
        keeps
    }

    /// The token was good: larger frames, of the agreed version, may come.
    pub(crate) fn open(&mut self, resident: Box<Resident>, counted: CountedSocket) {
        self.counted = Some(counted);
        self.stage = Stage::Open {
            expires_at: resident.expires_at,
        };
        self.resident = Some(resident);
        self.parser
            .set_version(self.session.version(), Limits::AFTER_CONNECT);
    }

    /// Another token of the same person.
    pub(crate) fn renew(&mut self, resident: Box<Resident>) {
        self.tell_expiry_again();
        self.stage = Stage::Open {
            expires_at: resident.expires_at,
        };
        self.resident = Some(resident);
    }

    /// One more subscription is to be told that the token expires soon, if it does.
    pub(crate) fn tell_expiry_again(&mut self) {
        self.expiry_told = false;
    }

    // ---- what it subscribes to ----

    pub(crate) fn subscribed(
        &mut self,
        subscription: SubscriptionKey,
        handle: SubscriptionHandle<Channel>,
    ) {
        self.subscriptions.push((subscription, handle));
    }

    /// `None`: it is a subscription to a queue that nothing is sent to.
    pub(crate) fn subscription_handle(
        &self,
        subscription: SubscriptionKey,
    ) -> Option<&SubscriptionHandle<Channel>> {
        let mut subscriptions = self.subscriptions.iter();
        let (_, handle) = subscriptions.find(|(known, _)| *known == subscription)?;
        Some(handle)
    }

    /// A subscription has ended.
    pub(crate) fn unsubscribed(
        &mut self,
        subscription: SubscriptionKey,
    ) -> Option<SubscriptionHandle<Channel>> {
        let mut subscriptions = self.subscriptions.iter();
        let at = subscriptions.position(|(known, _)| *known == subscription)?;
        Some(self.subscriptions.swap_remove(at).1)
    }

    /// All subscriptions have ended.
    pub(crate) fn take_subscriptions(
        &mut self,
    ) -> impl Iterator<Item = SubscriptionHandle<Channel>> + use<> {
        std::mem::take(&mut self.subscriptions)
            .into_iter()
            .map(|(_, handle)| handle)
    }

    /// What to add to the head of a message on a subscription that acknowledges.
    pub(crate) fn delivered(
        &mut self,
        subscription: SubscriptionKey,
        message_id: &str,
    ) -> Option<u64> {
        self.session.delivered(subscription, message_id)
    }

    // ---- how it ends ----

    /// When the gateway is drained, the connection is closed then.
    pub(crate) fn drain_at(&mut self, at: Duration) {
        self.drain_at = Some(at);
    }

    /// The client is done and closes soon.
    pub(crate) fn leave(&mut self, now: Duration) {
        self.backlogs.clear();
        self.stage = Stage::Leaving {
            close_by: now + LEAVE_WITHIN,
        };
    }

    // ---- what goes out ----

    /// Sends a STOMP frame as a message of its own.
    pub(crate) fn send_stomp(&mut self, frame: &[u8], now: Duration) -> Result<(), SendError> {
        self.send(websocket::message_frame(self.opcode, frame), now)
    }

    /// Sends the message in the frame buffer with this head. Head and rest are needed apart only if the socket blocks: then the
    /// queue shares the rest.
    pub(crate) fn deliver(
        &mut self,
        frame_buffer: &mut FrameBuffer,
        head: &[u8],
        now: Duration,
    ) -> Result<(), SendError> {
        let rest_bytes = frame_buffer.rest().len();
        let frame = frame_buffer.address(self.opcode, head);
        let written = self.write_in_turn(frame, now)?;
        if written == frame.len() {
            return Ok(());
        }
        let head = frame[..frame.len() - rest_bytes].into();
        self.write_queue
            .push(head, frame_buffer.rest().clone(), written)
    }

    fn send(&mut self, frame: Vec<u8>, now: Duration) -> Result<(), SendError> {
        let written = self.write_in_turn(&frame, now)?;
        if written == frame.len() {
            return Ok(());
        }
        self.write_queue.push(Box::default(), frame.into(), written)
    }

    /// How many bytes the socket takes now: none if others wait before them.
    fn write_in_turn(&mut self, bytes: &[u8], now: Duration) -> Result<usize, SendError> {
        self.sent_at = now;
        if self.write_queue.is_empty() {
            self.write(bytes)
        } else {
            Ok(0)
        }
    }

    /// Memory that waits for this socket, about.
    pub(crate) fn queue_cost(&self) -> usize {
        self.write_queue.cost()
    }

    /// What its subscriptions are sent before anything live.
    pub(crate) fn backlogs(&mut self) -> &mut Backlogs {
        &mut self.backlogs
    }

    /// The next message of what was missed, if the socket takes one now.
    pub(crate) fn next_of_backlog(
        &mut self,
        now: Duration,
    ) -> Option<(SubscriptionKey, BacklogItem)> {
        if self.write_queue.is_empty() {
            self.backlogs.next(now)
        } else {
            None
        }
    }

    /// How many bytes the socket takes now.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        loop {
            match self.socket.write(bytes) {
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(SendError::Gone),
            }
        }
    }

    /// Answers a ping.
    pub(crate) fn pong(&mut self, payload: Bytes, now: Duration) -> Result<(), SendError> {
        self.send(websocket::pong_frame(payload), now)
    }

    /// A heart-beat (a message of one LF), a ping, or both in one write.
    pub(crate) fn send_keep_alive(
        &mut self,
        beat: bool,
        ping: bool,
        now: Duration,
    ) -> Result<(), SendError> {
        let mut bytes = Vec::new();
        if beat {
            bytes.extend(websocket::message_frame(self.opcode, b"\n"));
        }
        if ping {
            bytes.extend_from_slice(websocket::PING_FRAME);
            self.pinged_at = now;
        }
        self.send(bytes, now)
    }

    /// Says Close after all that is queued, and waits for the peer's.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, now: Duration) {
        self.backlogs.clear();
        self.stage = Stage::Closing {
            drop_by: now + CLOSE_WITHIN,
            peer_closed: false,
        };
        self.say_close(websocket::close_frame(code, reason), now);
    }

    /// Says Close after the frame that was begun, and nothing else of what is queued.
    fn abort(&mut self, code: CloseCode, reason: &str, now: Duration) {
        self.write_queue.drop_unbegun();
        self.close(code, reason, now);
    }

    /// The peer said Close, with this code if it said one: answer it, unless it is itself the answer.
    pub(crate) fn peer_closed(&mut self, code: Option<coding::CloseCode>, now: Duration) {
        self.backlogs.clear();
        if let Stage::Closing { drop_by, .. } = self.stage {
            self.stage = Stage::Closing {
                drop_by,
                peer_closed: true,
            };
            return;
        }
        self.stage = Stage::Closing {
            drop_by: now + CLOSE_WITHIN,
            peer_closed: true,
        };
        self.say_close(websocket::close_reply(code), now);
    }

    /// Close is taken however full the queue is: it is a few bytes, and the last.
    fn say_close(&mut self, frame: Vec<u8>, now: Duration) {
        let written = self.write_in_turn(&frame, now);
        if let Ok(written) = written
            && written < frame.len()
        {
            self.write_queue
                .push_last(Box::default(), frame.into(), written);
        }
        if written.is_err() || self.end_if_input_is_discarded().is_err() {
            // The socket is gone, and with it the client that would have read this.
            self.stage = Stage::Closing {
                drop_by: now,
                peer_closed: true,
            };
        }
    }

    /// Ends the session with the reason's ERROR, where one can be sent, and says Close.
    pub(crate) fn refuse(&mut self, reason: &DisconnectReason, now: Duration) {
        let reply = reason.reply();
        let error = reason
            .error_text()
            .and_then(|text| self.session.error(&text));
        let is_sent = error.is_none_or(|error| self.send_stomp(&error, now).is_ok());
        if is_sent && !matches!(reason, DisconnectReason::SlowConsumer) {
            self.close(reply.close, reply.code, now);
        } else {
            self.abort(reply.close, reply.code, now);
        }
    }

    /// The socket takes more. Whether all is sent.
    pub(crate) fn flush(&mut self) -> io::Result<FlushOutcome> {
        let flushed = self.write_queue.flush(&mut self.socket)?;
        self.end_if_input_is_discarded()?;
        Ok(flushed)
    }

    /// Nothing that a peer says after it failed can be its Close: ours is followed by the end of the stream.
    fn end_if_input_is_discarded(&mut self) -> io::Result<()> {
        if self.discards_input && !self.accepts_input() && self.write_queue.is_empty() {
            return self.socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Whether nothing is left to do for this socket.
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self.stage,
            Stage::Closing {
                peer_closed: true,
                ..
            }
        ) && self.write_queue.is_empty()
    }

    // ---- what is due ----

    /// Whether the wheel must wake it earlier than it is set to.
    pub(crate) fn wake_by(&mut self, at: Duration) -> bool {
        let is_earlier = self.wake_at.is_none_or(|set| at < set);
        if is_earlier {
            self.wake_at = Some(at);
        }
        is_earlier
    }

    /// The wheel wakes it. Whether that was still wanted: an earlier time may have been set since.
    pub(crate) fn wake(&mut self, at: Duration) -> bool {
        let is_wanted = self.wake_at == Some(at);
        if is_wanted {
            self.wake_at = None;
        }
        is_wanted
    }

    /// What is due by now.
    pub(crate) fn due(
        &mut self,
        limits: &SocketLimits,
        now: Duration,
        wall: Timestamp,
    ) -> DueAction {
        match self.stage {
            Stage::Waiting { connect_by } if connect_by <= now => {
                DueAction::Refuse(DisconnectReason::ConnectTimeout)
            }
            Stage::Open { expires_at } if good_until(expires_at) <= wall => DueAction::Refuse(
                DisconnectReason::Token(resident_token::TokenError::Expired {
                    expired_at: expires_at,
                }),
            ),
            Stage::Leaving { close_by } if close_by <= now => DueAction::Close(CloseCode::Normal),
            Stage::Closing { drop_by, .. } if drop_by <= now => DueAction::Drop,
            Stage::Closing { .. } => DueAction::Nothing,
            _ if self.drain_at.is_some_and(|at| at <= now) => {
                DueAction::Refuse(DisconnectReason::Draining)
            }
            _ if self.received_at + limits.silence_max <= now => DueAction::Drop,
            _ if self.backlogs.stalled_at().is_some_and(|at| at <= now) => {
                DueAction::Refuse(DisconnectReason::SlowConsumer)
            }
            Stage::Open { expires_at }
                if !self.expiry_told && time_left(expires_at, wall) <= TELL_EXPIRY_BEFORE =>
            {
                self.expiry_told = true;
                DueAction::TellExpiry {
                    left: time_left(expires_at, wall),
                }
            }
            Stage::Waiting { .. } | Stage::Open { .. } | Stage::Leaving { .. } => {
                self.keep_alive_due(limits, now)
            }
        }
    }

    fn keep_alive_due(&self, limits: &SocketLimits, now: Duration) -> DueAction {
        let beat = self.beat_at().is_some_and(|at| at <= now);
        // A connection that is woken for a beat is pinged with the same write, if a ping is due within half its time.
        let early = if beat {
            limits.ping_every / 2
        } else {
            Duration::ZERO
        };
        let ping = self.ping_at(limits).saturating_sub(early) <= now;
        if beat || ping {
            DueAction::KeepAlive { beat, ping }
        } else {
            DueAction::Nothing
        }
    }

    fn beat_at(&self) -> Option<Duration> {
        self.session
            .heart_beat_every()
            .map(|every| self.sent_at + every)
    }

    fn ping_at(&self, limits: &SocketLimits) -> Duration {
        self.received_at.max(self.pinged_at) + limits.ping_every
    }

    /// When something may be due next.
    pub(crate) fn next_deadline(
        &self,
        limits: &SocketLimits,
        now: Duration,
        wall: Timestamp,
    ) -> Duration {
        let stage = match self.stage {
            Stage::Waiting { connect_by } => connect_by,
            Stage::Open { expires_at } => {
                if self.expiry_told {
                    now + time_left(good_until(expires_at), wall)
                } else {
                    now + time_left(expires_at, wall).saturating_sub(TELL_EXPIRY_BEFORE)
                }
            }
            Stage::Leaving { close_by } => close_by,
            Stage::Closing { drop_by, .. } => return drop_by,
        };
        let words = self
            .beat_at()
            .unwrap_or(Duration::MAX)
            .min(self.ping_at(limits));
        let silence = self.received_at + limits.silence_max;
        let stalled = self.backlogs.stalled_at().unwrap_or(Duration::MAX);
        stage
            .min(words)
            .min(silence)
            .min(stalled)
            .min(self.drain_at.unwrap_or(Duration::MAX))
    }
}

/// What is left of a token's time; zero once it has expired.
fn time_left(expires_at: Timestamp, wall: Timestamp) -> Duration {
    Duration::try_from(expires_at.duration_since(wall)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr, TcpListener},
        sync::Arc,
    };

    use event_model::{House, Line};
    use resident_token::Roles;
    use service_kit::{
        bounds::{PlaceLimits, Places},
        clock,
    };

    use super::*;
    use crate::{
        socket_counts::SocketCounts,
        stomp::{Command, Frame},
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn wall(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    /// Connected at time 0 with a token for a day, wanting heart-beats; and the other end.
    fn connection() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let places = Places::new(PlaceLimits::unshared(1));
        let address = IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let place = places
            .admit(address, clock::steady(), Arc::new(|| ()))
            .unwrap();
        let mut connection = Connection::new(
            1,
            TcpStream::from_std(ours),
            None,
            place,
            &SocketLimits::default(),
            Arc::default(),
            Duration::ZERO,
        );
        let connect = Frame::new(Command::Connect)
            .with("accept-version", "1.2")
            .with("heart-beat", "0,10000");
        connection.session.handle(connect, &mut Vec::new()).unwrap();
        let resident = Resident {
            subject: "kim".to_owned(),
            issuer: None,
            token_id: None,
            line: Some(Line::new("101").unwrap()),
            house: Some(House::new("1502").unwrap()),
            roles: Roles::default(),
            expires_at: wall(86_400),
        };
        let counted = SocketCounts::default().take(&resident).unwrap();
        connection.open(Box::new(resident), counted);
        (connection, theirs)
    }

    fn due(connection: &mut Connection, second: u64) -> DueAction {
        connection.due(&SocketLimits::default(), seconds(second), wall(second))
    }

    #[test]
    fn point_26_a_heart_beat_is_sent_only_if_nothing_else_was() {
        let (mut connection, mut theirs) = connection();
        connection.received_at = seconds(24);
        assert!(matches!(due(&mut connection, 24), DueAction::Nothing));
        assert!(matches!(
            due(&mut connection, 25),
            DueAction::KeepAlive { beat: true, .. }
        ));

        let mut frame_buffer = FrameBuffer::default();
        frame_buffer.load(&Bytes::from_static(b"\n\0"));
        connection
            .deliver(&mut frame_buffer, b"MESSAGE\n", seconds(20))
            .unwrap();

        assert!(matches!(due(&mut connection, 44), DueAction::Nothing));
        assert!(matches!(
            due(&mut connection, 45),
            DueAction::KeepAlive { beat: true, .. }
        ));
        connection.send_keep_alive(true, true, seconds(45)).unwrap();
        let mut heard = [0; 17];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"\x81\x0aMESSAGE\n\n\0\x81\x01\n\x89\x00");
    }

    #[test]
    fn point_26_whatever_a_client_sends_shows_that_it_lives() {
        let (mut connection, _theirs) = connection();
        (connection.sent_at, connection.pinged_at) = (seconds(60), seconds(60));
        assert!(matches!(due(&mut connection, 70), DueAction::Drop));

        connection.received_at = seconds(65);

        assert!(matches!(due(&mut connection, 70), DueAction::Nothing));
    }

    #[test]
    fn the_next_deadline_is_never_after_something_is_due() {
        let (connection, _theirs) = connection();
        let next = connection.next_deadline(&SocketLimits::default(), Duration::ZERO, wall(0));
        assert_eq!(next, seconds(25));
    }

    #[test]
    fn an_idle_connection_owns_almost_nothing() {
        assert!(
            size_of::<Connection>() <= 608,
            "{} bytes",
            size_of::<Connection>()
        );
    }
}
