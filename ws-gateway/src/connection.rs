//! One socket: its bytes in and out, its session, its deadlines. The shard that owns it decides nothing here and
//! everything that concerns others.
//!
//! ```text
//!  Waiting ── CONNECT ──▶ Open ── DISCONNECT ──▶ Leaving
//!     │                    │                        │
//!     └──── a refusal, the peer's Close, a deadline ┴───▶ Closing ──▶ dropped
//! ```

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use mio::net::TcpStream;
use resident_token::{Resident, good_until};
use service_kit::bounds::Place;

use crate::{
    config::Pace,
    destination::Channel,
    hub::Seat,
    outbox::{Flushed, Outbox},
    push::Push,
    refusal::Refusal,
    socket_counts::CountedSocket,
    stomp::{Frame, Limits, ParseError, Parser, Session, SubscriptionKey},
    websocket::{self, CloseCode, Message, MessageReader, OpCode, WebSocketError, coding},
};

/// Frames taken at once from a client that was silent before, and then in a second.
const FRAMES_AT_ONCE: u32 = 1_000;
const FRAMES_PER_SECOND: u32 = 100;

/// How long a client that said DISCONNECT may take to close; how long Close waits for its answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How long a client may take none of what it missed. Phones in a lift come back; who does not read holds our memory.
const BACKLOG_STALLED_AFTER: Duration = Duration::from_secs(60);

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
pub(crate) enum Due {
    Nothing,
    Refuse(Refusal),
    Close(CloseCode),
    TellExpiry {
        left: Duration,
    },
    Drop,
    /// A heart-beat, a ping, or both at once.
    Speak {
        beat: bool,
        ping: bool,
    },
}

/// What a subscription is sent before anything live, as the socket takes it: frames that all sockets share, and what
/// came meanwhile, since on one subscription nothing overtakes.
#[derive(Debug)]
struct Backlog {
    subscription: SubscriptionKey,
    items: VecDeque<BacklogItem>,
    /// Bytes of what came meanwhile.
    live_bytes: usize,
}

/// One message of a backlog.
#[derive(Debug)]
pub(crate) enum BacklogItem {
    /// An event that was missed.
    Missed(Arc<Push>),
    /// An event that came while others were still to be sent.
    Live(Arc<Push>),
    /// A message that only this subscription is sent.
    Note {
        /// The second half of the MESSAGE.
        rest: Bytes,
        /// Its `message-id`.
        message_id: String,
    },
    /// Another frame, whole: the RECEIPT of the SUBSCRIBE.
    Frame(Vec<u8>),
}

/// What a client has begun to send and not ended: a frame, a message in fragments, a frame of STOMP in several messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartialMessage {
    pub(crate) since: Duration,
    /// Memory that it takes.
    pub(crate) bytes: usize,
}

/// What happened to the bytes that were to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The outbox is full.
    Slow,
    /// The socket is gone.
    Gone,
}

/// One socket and all that belongs to it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) socket: TcpStream,
    reader: MessageReader,
    parser: Parser,
    /// Since when the client has begun something, and not ended it.
    partial_since: Option<Duration>,
    pub(crate) session: Session,
    pub(crate) stage: Stage,
    pub(crate) resident: Option<Box<Resident>>,
    pub(crate) seats: Vec<(SubscriptionKey, Seat<Channel>)>,
    /// What the client is answered in.
    opcode: OpCode,
    /// When the wheel wakes this connection next.
    pub(crate) wake_at: Option<Duration>,
    /// Whether the bearer of the token was told that it expires soon.
    pub(crate) expiry_told: bool,
    /// Whether what comes is thrown away.
    deaf: bool,
    /// A random time to close at, when the gateway is drained.
    pub(crate) drain_at: Option<Duration>,
    outbox: Outbox,
    outbox_bytes_max: usize,
    /// What all outboxes of the shard hold, of which this one's part is `queued_here`.
    queued: Arc<AtomicUsize>,
    queued_here: usize,
    backlogs: Vec<Backlog>,
    backlog_moved_at: Duration,
    frames: FrameBudget,
    sent_at: Duration,
    received_at: Duration,
    pinged_at: Duration,
    /// Among all sockets: it waits until CONNECT, and works from then on.
    pub(crate) place: Place,
    /// Among those of its person and its house, from CONNECT on.
    counted: Option<CountedSocket>,
}

/// How many frames a client may still send.
#[derive(Debug)]
struct FrameBudget {
    left: u32,
    counted_at: Duration,
}

impl FrameBudget {
    fn take(&mut self, now: Duration) -> bool {
        let earned =
            u32::try_from(now.saturating_sub(self.counted_at).as_secs()).unwrap_or(u32::MAX);
        if 0 < earned {
            self.left = self
                .left
                .saturating_add(earned.saturating_mul(FRAMES_PER_SECOND))
                .min(FRAMES_AT_ONCE);
            self.counted_at = now;
        }
        let is_left = 0 < self.left;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl Connection {
    pub(crate) fn new(
        number: u64,
        socket: TcpStream,
        resident: Option<Box<Resident>>,
        place: Place,
        pace: &Pace,
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
                connect_by: now + pace.connect_within,
            },
            resident,
            seats: Vec::new(),
            opcode: OpCode::Data(coding::Data::Text),
            wake_at: None,
            expiry_told: false,
            deaf: false,
            drain_at: None,
            outbox: Outbox::default(),
            outbox_bytes_max: pace.outbox_bytes_max,
            queued,
            queued_here: 0,
            backlogs: Vec::new(),
            backlog_moved_at: now,
            frames: FrameBudget {
                left: FRAMES_AT_ONCE,
                counted_at: now,
            },
            sent_at: now,
            received_at: now,
            pinged_at: now,
            place,
            counted: None,
        }
    }

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
    /// The client does not speak WebSocket: nothing that comes counts any more.
    pub(crate) fn next_message(
        &mut self,
        bytes: &mut &[u8],
        now: Duration,
    ) -> Result<Option<Message>, WebSocketError> {
        if self.deaf {
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
        self.deaf = true;
        self.reader = MessageReader::default();
        self.parser = Parser::default();
        self.partial_since = None;
    }

    /// Whether what the client says still counts.
    pub(crate) fn listens(&self) -> bool {
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

    /// Whether one more frame may be taken.
    pub(crate) fn take_frame(&mut self, now: Duration) -> Result<(), Refusal> {
        if self.frames.take(now) {
            Ok(())
        } else {
            Err(Refusal::TooManyFrames)
        }
    }

    /// The token was good: larger frames, of the agreed version, may come.
    pub(crate) fn open(&mut self, resident: Box<Resident>, counted: CountedSocket) {
        self.counted = Some(counted);
        self.stage = Stage::Open {
            expires_at: resident.expires_at,
        };
        self.resident = Some(resident);
        self.parser
            .speak(self.session.version(), Limits::AFTER_CONNECT);
    }

    /// Another token of the same person.
    pub(crate) fn renew(&mut self, resident: Box<Resident>) {
        self.expiry_told = false;
        self.stage = Stage::Open {
            expires_at: resident.expires_at,
        };
        self.resident = Some(resident);
    }

    /// The client is done and closes soon.
    pub(crate) fn leave(&mut self, now: Duration) {
        self.backlogs.clear();
        self.stage = Stage::Leaving {
            close_by: now + LEAVE_WITHIN,
        };
    }

    /// Sends a STOMP frame as a message of its own.
    pub(crate) fn send_stomp(&mut self, frame: &[u8], now: Duration) -> Result<(), SendError> {
        let message = websocket::message_frame(self.opcode, frame);
        self.send(&[], Bytes::from(message), now)
    }

    /// Sends the WebSocket frame `bytes`, which are `head` and `rest` joined. The halves are needed apart only if
    /// the socket blocks: then the queue shares the rest.
    pub(crate) fn deliver(
        &mut self,
        letter: &mut Letter,
        head: &[u8],
        now: Duration,
    ) -> Result<(), SendError> {
        let rest = letter.rest.clone();
        let frame = letter.address(self.opcode, head);
        let head_bytes = frame.len() - rest.len();
        let written = if self.outbox.is_empty() {
            self.write(frame)?
        } else {
            0
        };
        self.sent_at = now;
        if written == frame.len() {
            return Ok(());
        }
        let head = &frame[..head_bytes];
        let pushed = self.outbox.push(head, rest, written, self.outbox_bytes_max);
        self.count_queue();
        pushed.map_err(|_| SendError::Slow)
    }

    fn send(&mut self, head: &[u8], rest: Bytes, now: Duration) -> Result<(), SendError> {
        let written = if self.outbox.is_empty() {
            self.write(&rest)?
        } else {
            0
        };
        self.sent_at = now;
        if written == rest.len() {
            return Ok(());
        }
        let pushed = self.outbox.push(head, rest, written, self.outbox_bytes_max);
        self.count_queue();
        pushed.map_err(|_| SendError::Slow)
    }

    /// Tells the shard what this queue holds now.
    fn count_queue(&mut self) {
        let cost = self.outbox.cost();
        if self.queued_here < cost {
            self.queued
                .fetch_add(cost - self.queued_here, Ordering::Relaxed);
        } else {
            self.queued
                .fetch_sub(self.queued_here - cost, Ordering::Relaxed);
        }
        self.queued_here = cost;
    }

    /// Memory that waits for this socket, about.
    pub(crate) fn queue_cost(&self) -> usize {
        self.queued_here
    }

    // ---- what was missed ----

    /// From now on a subscription is sent these before anything else.
    pub(crate) fn begin_backlog(
        &mut self,
        subscription: SubscriptionKey,
        items: VecDeque<BacklogItem>,
        now: Duration,
    ) {
        if self.backlogs.is_empty() {
            self.backlog_moved_at = now;
        }
        self.backlogs.push(Backlog {
            subscription,
            items,
            live_bytes: 0,
        });
    }

    /// Whether a subscription is still sent what it missed.
    pub(crate) fn has_backlog(&self, subscription: SubscriptionKey) -> bool {
        self.backlogs
            .iter()
            .any(|backlog| backlog.subscription == subscription)
    }

    /// An event for a subscription that is still sent what it missed. Bounded as the outbox is.
    pub(crate) fn append_to_backlog(
        &mut self,
        subscription: SubscriptionKey,
        item: BacklogItem,
        now: Duration,
    ) -> Result<(), SendError> {
        if !self.has_backlog(subscription) {
            self.begin_backlog(subscription, VecDeque::new(), now);
        }
        let bytes_max = self.outbox_bytes_max;
        let Some(backlog) = self
            .backlogs
            .iter_mut()
            .find(|backlog| backlog.subscription == subscription)
        else {
            return Ok(());
        };
        backlog.live_bytes += item.len();
        backlog.items.push_back(item);
        if bytes_max < backlog.live_bytes {
            return Err(SendError::Slow);
        }
        Ok(())
    }

    /// The next message of what was missed, if the socket takes one now.
    pub(crate) fn next_of_backlog(
        &mut self,
        now: Duration,
    ) -> Option<(SubscriptionKey, BacklogItem)> {
        if !self.outbox.is_empty() {
            return None;
        }
        let backlog = self.backlogs.first_mut()?;
        let subscription = backlog.subscription;
        let item = backlog.items.pop_front();
        if backlog.items.is_empty() {
            self.backlogs.remove(0);
        }
        self.backlog_moved_at = now;
        item.map(|item| (subscription, item))
    }

    /// A subscription has ended: it is sent nothing more. The frames that are not messages are left to be sent.
    pub(crate) fn drop_backlog(&mut self, subscription: SubscriptionKey) -> Vec<Vec<u8>> {
        let Some(at) = self
            .backlogs
            .iter()
            .position(|backlog| backlog.subscription == subscription)
        else {
            return Vec::new();
        };
        let backlog = self.backlogs.remove(at);
        backlog
            .items
            .into_iter()
            .filter_map(|item| match item {
                BacklogItem::Frame(frame) => Some(frame),
                BacklogItem::Missed(_) | BacklogItem::Live(_) | BacklogItem::Note { .. } => None,
            })
            .collect()
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
        self.send(&[], websocket::pong_frame(payload).into(), now)
    }

    /// A heart-beat (a message of one LF), a ping, or both in one write.
    pub(crate) fn speak(&mut self, beat: bool, ping: bool, now: Duration) -> Result<(), SendError> {
        let mut bytes = Vec::new();
        if beat {
            bytes.extend(websocket::message_frame(self.opcode, b"\n"));
        }
        if ping {
            bytes.extend_from_slice(websocket::PING_FRAME);
            self.pinged_at = now;
        }
        self.send(&[], bytes.into(), now)
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
    pub(crate) fn cut_off(&mut self, code: CloseCode, reason: &str, now: Duration) {
        self.outbox.drop_unbegun();
        self.count_queue();
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

    /// Close is taken however full the outbox is: it is a few bytes, and the last.
    fn say_close(&mut self, frame: Vec<u8>, now: Duration) {
        let bytes_max = std::mem::replace(&mut self.outbox_bytes_max, usize::MAX);
        if self.send(&[], frame.into(), now).is_err() || self.end_if_deaf().is_err() {
            // The socket is gone, and with it whoever would have heard this.
            self.stage = Stage::Closing {
                drop_by: now,
                peer_closed: true,
            };
        }
        self.outbox_bytes_max = bytes_max;
    }

    /// The socket takes more. Whether all is sent.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        let flushed = self.outbox.flush(&mut self.socket);
        self.count_queue();
        let flushed = flushed?;
        self.end_if_deaf()?;
        Ok(flushed)
    }

    /// Nothing that a peer says after it failed can be its Close: ours is followed by the end of the stream.
    fn end_if_deaf(&mut self) -> io::Result<()> {
        if self.deaf && !self.listens() && self.outbox.is_empty() {
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
        ) && self.outbox.is_empty()
    }

    /// What is due by now.
    pub(crate) fn due(&self, pace: &Pace, now: Duration, wall: Timestamp) -> Due {
        match self.stage {
            Stage::Waiting { connect_by } if connect_by <= now => {
                Due::Refuse(Refusal::ConnectTimeout)
            }
            Stage::Open { expires_at } if good_until(expires_at) <= wall => {
                Due::Refuse(Refusal::Token(resident_token::TokenError::Expired {
                    expired_at: expires_at,
                }))
            }
            Stage::Leaving { close_by } if close_by <= now => Due::Close(CloseCode::Normal),
            Stage::Closing { drop_by, .. } if drop_by <= now => Due::Drop,
            Stage::Closing { .. } => Due::Nothing,
            _ if self.drain_at.is_some_and(|at| at <= now) => Due::Refuse(Refusal::Draining),
            _ if self.received_at + pace.silence_max <= now => Due::Drop,
            _ if self.is_stalled(now) => Due::Refuse(Refusal::SlowConsumer),
            Stage::Open { expires_at }
                if !self.expiry_told && time_left(expires_at, wall) <= TELL_EXPIRY_BEFORE =>
            {
                Due::TellExpiry {
                    left: time_left(expires_at, wall),
                }
            }
            Stage::Waiting { .. } | Stage::Open { .. } | Stage::Leaving { .. } => {
                self.due_words(pace, now)
            }
        }
    }

    fn is_stalled(&self, now: Duration) -> bool {
        !self.backlogs.is_empty() && self.backlog_moved_at + BACKLOG_STALLED_AFTER <= now
    }

    fn due_words(&self, pace: &Pace, now: Duration) -> Due {
        let beat = self.beat_at().is_some_and(|at| at <= now);
        // Whoever is woken for a beat is pinged with the same write, if a ping is due within half its time.
        let early = if beat {
            pace.ping_every / 2
        } else {
            Duration::ZERO
        };
        let ping = self.ping_at(pace).saturating_sub(early) <= now;
        if beat || ping {
            Due::Speak { beat, ping }
        } else {
            Due::Nothing
        }
    }

    fn beat_at(&self) -> Option<Duration> {
        self.session
            .heart_beat_every()
            .map(|every| self.sent_at + every)
    }

    fn ping_at(&self, pace: &Pace) -> Duration {
        self.received_at.max(self.pinged_at) + pace.ping_every
    }

    /// When something may be due next.
    pub(crate) fn next_deadline(&self, pace: &Pace, now: Duration, wall: Timestamp) -> Duration {
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
            .min(self.ping_at(pace));
        let silence = self.received_at + pace.silence_max;
        let stalled = if self.backlogs.is_empty() {
            Duration::MAX
        } else {
            self.backlog_moved_at + BACKLOG_STALLED_AFTER
        };
        stage
            .min(words)
            .min(silence)
            .min(stalled)
            .min(self.drain_at.unwrap_or(Duration::MAX))
    }
}

impl BacklogItem {
    /// Bytes of its message, but for the head of the subscription.
    pub(crate) fn len(&self) -> usize {
        match self {
            BacklogItem::Missed(push) | BacklogItem::Live(push) => push.rest().len(),
            BacklogItem::Note { rest, .. } => rest.len(),
            BacklogItem::Frame(frame) => frame.len(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.queued_here, Ordering::Relaxed);
    }
}

/// What is left of a token's time; zero once it has expired.
fn time_left(expires_at: Timestamp, wall: Timestamp) -> Duration {
    Duration::try_from(expires_at.duration_since(wall)).unwrap_or_default()
}

/// One message on its way to many sockets: the shared rest stays where it is, and each head is written in front of
/// it, so that a delivery copies a few dozen bytes and is one write.
#[derive(Debug, Default)]
pub(crate) struct Letter {
    buffer: Vec<u8>,
    rest_at: usize,
    rest: Bytes,
}

/// Room for the frame header and most heads; a longer head makes more.
const HEAD_BYTES: usize = 512;

impl Letter {
    /// Takes the next message.
    pub(crate) fn load(&mut self, rest: &Bytes) {
        self.rest = rest.clone();
        self.lay_out(HEAD_BYTES);
    }

    fn lay_out(&mut self, head_bytes: usize) {
        self.rest_at = head_bytes;
        self.buffer.resize(head_bytes, 0);
        self.buffer.extend_from_slice(&self.rest);
    }

    /// The whole WebSocket frame for one subscription.
    fn address(&mut self, opcode: OpCode, head: &[u8]) -> &[u8] {
        let header = websocket::message_header(opcode);
        let payload_bytes = (head.len() + self.rest.len()) as u64;
        let header_bytes = header.len(payload_bytes);
        let head_bytes = header_bytes + head.len();
        if self.rest_at < head_bytes {
            self.lay_out(head_bytes);
        }
        let begin = self.rest_at - head_bytes;
        let (mut before, after) = self.buffer[begin..self.rest_at].split_at_mut(header_bytes);
        header
            .format(payload_bytes, &mut before)
            .expect("the header is as long as it says");
        after.copy_from_slice(head);
        &self.buffer[begin..]
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr, TcpListener},
        sync::Arc,
    };

    use event_model::{House, Line};
    use resident_token::Roles;
    use service_kit::bounds::{PlaceLimits, Places};

    use super::*;
    use crate::{
        clock,
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
            &Pace::default(),
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

    fn due(connection: &Connection, second: u64) -> Due {
        connection.due(&Pace::default(), seconds(second), wall(second))
    }

    #[test]
    fn point_26_a_heart_beat_is_sent_only_if_nothing_else_was() {
        let (mut connection, mut theirs) = connection();
        connection.received_at = seconds(24);
        assert!(matches!(due(&connection, 24), Due::Nothing));
        assert!(matches!(
            due(&connection, 25),
            Due::Speak { beat: true, .. }
        ));

        let mut letter = Letter::default();
        letter.load(&Bytes::from_static(b"\n\0"));
        connection
            .deliver(&mut letter, b"MESSAGE\n", seconds(20))
            .unwrap();

        assert!(matches!(due(&connection, 44), Due::Nothing));
        assert!(matches!(
            due(&connection, 45),
            Due::Speak { beat: true, .. }
        ));
        connection.speak(true, true, seconds(45)).unwrap();
        let mut heard = [0; 17];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"\x81\x0aMESSAGE\n\n\0\x81\x01\n\x89\x00");
    }

    #[test]
    fn point_26_whatever_a_client_sends_shows_that_it_lives() {
        let (mut connection, _theirs) = connection();
        (connection.sent_at, connection.pinged_at) = (seconds(60), seconds(60));
        assert!(matches!(due(&connection, 70), Due::Drop));

        connection.received_at = seconds(65);

        assert!(matches!(due(&connection, 70), Due::Nothing));
    }

    #[test]
    fn the_next_deadline_is_never_after_something_is_due() {
        let (connection, _theirs) = connection();
        let next = connection.next_deadline(&Pace::default(), Duration::ZERO, wall(0));
        assert_eq!(next, seconds(25));
    }

    #[test]
    fn an_idle_connection_owns_almost_nothing() {
        assert!(
            size_of::<Connection>() <= 768,
            "{} bytes",
            size_of::<Connection>()
        );
        let outbox = Outbox::default();
        assert!(outbox.is_empty() && size_of_val(&outbox) <= 48);
    }
}
