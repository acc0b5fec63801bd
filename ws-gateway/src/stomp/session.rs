//! One client's session: what each frame means, in the version that was agreed on. Decides only.
//!
//! ```text
//!   Waiting ── CONNECT or STOMP ──▶ Open ── DISCONNECT ──▶ Over
//!      │                             │
//!      └───────── a refusal ─────────┴───────────────────▶ Over
//! ```
//!
//! The effects of a frame are performed in order, and a later one relies on the ones before it: CONNECTED is
//! sent only if the token was found good, a RECEIPT only after what it stands for. When the shell refuses one of
//! them (a bad token, another complex's line) it says why with [`Session::error`], closes the socket, and drops
//! the rest.

use std::{collections::BTreeMap, time::Duration};

use super::{
    AckMode, Command, ErrorText, Frame, MessageHead, ParseError, SubscriptionKey, Version, encoder,
    pending_acks::{AckTarget, PendingAcks},
};

/// Subscriptions of one session. A resident needs two; an operator's wall a few dozen.
pub(super) const SUBSCRIPTIONS_MAX: usize = 256;
/// Open transactions of one session.
pub(super) const TRANSACTIONS_MAX: usize = 16;
/// ACKs and NACKs that wait in one transaction.
pub(super) const TRANSACTION_FRAMES_MAX: usize = 1_000;

/// The server's name and version, as CONNECTED tells it.
const SERVER: &str = concat!("mayday-ws-gateway/", env!("CARGO_PKG_VERSION"));

/// How often we can send a heart-beat at most, in milliseconds; and that we want none: whether the client lives
/// is asked by WebSocket pings, which a browser answers even when it slows a background tab's timers down.
const HEART_BEAT: &str = "25000,0";
const HEART_BEAT_MS: u64 = 25_000;

/// What the shell must do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find out who this is, from the value of the `authorization` header, or refuse. From now on the frames
    /// of the agreed version are read.
    Authenticate {
        /// As the client sent it.
        authorization: Option<String>,
    },
    /// The same for a client that is known already: the same person with a later `exp`, or refuse.
    Renew {
        /// As the client sent it.
        authorization: Option<String>,
    },
    /// Write one frame.
    Send(Vec<u8>),
    /// Deliver a destination's messages from now on, or refuse.
    Subscribe(Subscribe),
    /// Deliver them no more.
    Unsubscribe(SubscriptionKey),
    /// So many messages were acknowledged.
    Acknowledged(usize),
    /// So many messages were declined.
    Declined(usize),
    /// The client is done. What was sent must still reach it.
    Disconnect,
}

/// A SUBSCRIBE that is well formed; whether it is permitted is not known here.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// What it is called between session and shell.
    pub key: SubscriptionKey,
    /// As the client spelled it.
    pub destination: String,
    /// What each of its messages begins with.
    pub head: MessageHead,
    /// Whether [`Session::delivered`] must be told of each message.
    pub ack: AckMode,
    /// The position to go on from: `resume-from`, or its alias `last-event-id`.
    pub resume_from: Option<String>,
    /// Whether the live alerts come first. A client turns it off with `snapshot:false`.
    pub snapshot: bool,
}

/// Why a frame ends the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes are no frame.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Something else came before CONNECT.
    #[error("{} came before CONNECT", .0.as_str())]
    NotConnected(Command),
    /// A second CONNECT.
    #[error("this session is already connected")]
    AlreadyConnected,
    /// `accept-version` names nothing that is spoken here.
    #[error("none of the offered versions is spoken here: {}", Version::LIST)]
    NoCommonVersion,
    /// `heart-beat` is not two numbers.
    #[error("heart-beat is not two numbers of milliseconds")]
    BadHeartBeat,
    /// The command is the server's, or this version does not have it.
    #[error("{} is not for clients of STOMP {}", .0.as_str(), .1.as_str())]
    UnexpectedCommand(Command, Version),
    /// A header that the frame must have is missing.
    #[error("{} needs the header {header}", .command.as_str())]
    MissingHeader {
        /// The frame's command.
        command: Command,
        /// What it lacks.
        header: &'static str,
    },
    /// `ack` is none of the three modes.
    #[error("ack is none of auto, client and client-individual")]
    BadAckMode,
    /// The id names a subscription that exists.
    #[error("there is a subscription with this id already")]
    DuplicateSubscription,
    /// Nothing is subscribed under this id or destination.
    #[error("there is no such subscription")]
    UnknownSubscription,
    /// More than one session may have.
    #[error("more than {SUBSCRIPTIONS_MAX} subscriptions")]
    TooManySubscriptions,
    /// The transaction is open already.
    #[error("there is an open transaction with this name already")]
    DuplicateTransaction,
    /// No such transaction is open.
    #[error("there is no open transaction with this name")]
    UnknownTransaction,
    /// More open transactions than one session may have, or more frames in one.
    #[error("at most {TRANSACTIONS_MAX} transactions of {TRANSACTION_FRAMES_MAX} frames each")]
    TransactionTooLarge,
    /// SEND to anywhere but [`TOKEN_DESTINATION`].
    #[error("nothing can be sent here: calls and accepts are posted to the api")]
    SendRefused,
}

/// Where a SEND with a new token goes: the one destination that takes any.
pub const TOKEN_DESTINATION: &str = "/pub/token";

/// One session. It owns almost nothing until the client subscribes.
#[derive(Debug)]
pub struct Session {
    name: u64,
    state: State,
    /// The receipt id of the frame in hand: an ERROR about that frame names it.
    receipt: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Takes CONNECT or STOMP, refuses all else.
    Waiting,
    /// Takes everything else.
    Open(Box<OpenSession>),
    /// Passes over all that comes: a client must not send after DISCONNECT, and nothing after an ERROR counts.
    Over { version: Version },
}

#[derive(Debug)]
struct OpenSession {
    version: Version,
    heart_beat_every: Option<Duration>,
    subscriptions: Vec<Subscription>,
    subscriptions_made: u32,
    transactions: BTreeMap<String, Vec<Settlement>>,
    unacknowledged: PendingAcks,
}

#[derive(Debug)]
struct Subscription {
    key: SubscriptionKey,
    id: Option<Box<str>>,
    destination: Box<str>,
    ack: AckMode,
}

/// An ACK or NACK, done at once or when its transaction commits.
#[derive(Debug)]
struct Settlement {
    command: Command,
    reference: AckTarget,
}

impl Session {
    /// A session before CONNECT. `name` is what CONNECTED calls it.
    pub fn new(name: u64) -> Self {
        Self {
            name,
            state: State::Waiting,
            receipt: None,
        }
    }

    /// The version in use; before one is agreed on, the one that refusals are written in.
    pub fn version(&self) -> Version {
        match &self.state {
            State::Waiting => Version::V1_2,
            State::Open(open) => open.version,
            State::Over { version } => *version,
        }
    }

    /// Whether CONNECT has been seen and nothing has ended the session since.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// How long at most the client wants us to be silent.
    pub fn heart_beat_every(&self) -> Option<Duration> {
        match &self.state {
            State::Open(open) => open.heart_beat_every,
            State::Waiting | State::Over { .. } => None,
        }
    }

    /// Takes one frame and pushes what must now happen, in the order it must happen.
    ///
    /// # Errors
    ///
    /// The frame is against the protocol: answer with [`Session::error`] and close. No effect was pushed.
    pub fn handle(&mut self, frame: Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        // "receipt" is not allowed on CONNECT: it is not answered there.
        let has_receipt = !matches!(frame.command, Command::Connect | Command::Stomp);
        self.receipt = frame
            .headers
            .get("receipt")
            .filter(|_| has_receipt)
            .map(str::to_owned);
        let before = effects.len();
        let outcome = self.dispatch(frame, effects);
        if outcome.is_err() {
            effects.truncate(before);
        }
        outcome
    }

    fn dispatch(&mut self, frame: Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        match (&mut self.state, frame.command) {
            (State::Over { .. }, _) => Ok(()),
            (State::Waiting, Command::Connect | Command::Stomp) => self.connect(&frame, effects),
            (State::Waiting, command) => Err(ProtocolError::NotConnected(command)),
            (State::Open(_), Command::Connect | Command::Stomp) => {
                Err(ProtocolError::AlreadyConnected)
            }
            (State::Open(open), Command::Disconnect) => {
                let version = open.version;
                effects.extend(receipt(self.receipt.as_deref(), version));
                effects.push(Effect::Disconnect);
                self.state = State::Over { version };
                Ok(())
            }
            (State::Open(open), _) => {
                open.handle(frame, effects)?;
                effects.extend(receipt(self.receipt.as_deref(), open.version));
                Ok(())
            }
        }
    }

    fn connect(&mut self, frame: &Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        let accepted = frame.headers.get("accept-version");
        let version = Version::negotiate(accepted).ok_or(ProtocolError::NoCommonVersion)?;
        let heart_beat_every = match version {
            Version::V1_0 => None,
            Version::V1_1 | Version::V1_2 => heart_beat_every(frame.headers.get("heart-beat"))?,
        };
        effects.push(Effect::Authenticate {
            authorization: authorization(frame),
        });
        effects.push(Effect::Send(self.connected(version)));
        self.state = State::Open(Box::new(OpenSession {
            version,
            heart_beat_every,
            subscriptions: Vec::new(),
            subscriptions_made: 0,
            transactions: BTreeMap::new(),
            unacknowledged: PendingAcks::default(),
        }));
        Ok(())
    }

    fn connected(&self, version: Version) -> Vec<u8> {
        let mut frame = Frame::new(Command::Connected)
            .with("version", version.as_str())
            .with("server", SERVER)
            .with("session", format!("{:016x}", self.name));
        if Version::V1_1 <= version {
            frame = frame.with("heart-beat", HEART_BEAT);
        }
        encoder::encode(&frame, version)
    }

    /// All effects of the frame in hand were performed: an ERROR from now on is not about it.
    pub fn frame_done(&mut self) {
        self.receipt = None;
    }

    /// A message goes to a subscription that acknowledges: what to add to its head. Only 1.2 has an `ack` header.
    pub fn delivered(&mut self, key: SubscriptionKey, message_id: &str) -> Option<u64> {
        let State::Open(open) = &mut self.state else {
            return None;
        };
        let ack = open
            .subscriptions
            .iter()
            .find(|subscription| subscription.key == key)?
            .ack;
        let number = open.unacknowledged.delivered(key, ack, message_id);
        (open.version == Version::V1_2).then_some(number)
    }

    /// Ends the session, whatever its state: the ERROR to send before the socket is closed. It names the
    /// receipt of the frame in hand. `None`: the session was over already.
    pub fn error(&mut self, text: &ErrorText) -> Option<Vec<u8>> {
        if let State::Over { .. } = self.state {
            return None;
        }
        let version = self.version();
        self.state = State::Over { version };
        Some(encoder::error(
            version,
            text,
            self.receipt.take().as_deref(),
        ))
    }
}

impl OpenSession {
    fn handle(&mut self, frame: Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        match frame.command {
            Command::Subscribe => self.subscribe(&frame, effects),
            Command::Unsubscribe => self.unsubscribe(&frame, effects),
            Command::Ack => self.acknowledge(&frame, effects),
            Command::Nack if self.version == Version::V1_0 => Err(
                ProtocolError::UnexpectedCommand(Command::Nack, self.version),
            ),
            Command::Nack => self.acknowledge(&frame, effects),
            Command::Begin => self.begin(&frame),
            Command::Commit => self.commit(&frame, effects),
            Command::Abort => self.take_transaction(&frame).map(drop),
            Command::Send => self.send(&frame, effects),
            command @ (Command::Connect
            | Command::Stomp
            | Command::Disconnect
            | Command::Connected
            | Command::Message
            | Command::Receipt
            | Command::Error) => Err(ProtocolError::UnexpectedCommand(command, self.version)),
        }
    }

    fn subscribe(&mut self, frame: &Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        let destination = required(frame, "destination")?;
        let id = match self.version {
            Version::V1_0 => frame.headers.get("id"),
            Version::V1_1 | Version::V1_2 => Some(required(frame, "id")?),
        };
        let ack =
            AckMode::from_header(frame.headers.get("ack")).ok_or(ProtocolError::BadAckMode)?;
        if id.is_some()
            && self
                .subscriptions
                .iter()
                .any(|known| known.id.as_deref() == id)
        {
            return Err(ProtocolError::DuplicateSubscription);
        }
        if self.subscriptions.len() == SUBSCRIPTIONS_MAX {
            return Err(ProtocolError::TooManySubscriptions);
        }
        let key = SubscriptionKey(self.subscriptions_made);
        self.subscriptions_made += 1;
        self.subscriptions.push(Subscription {
            key,
            id: id.map(Into::into),
            destination: destination.into(),
            ack,
        });
        effects.push(Effect::Subscribe(Subscribe {
            key,
            destination: destination.to_owned(),
            head: MessageHead::new(self.version, id, destination),
            ack,
            resume_from: resume_from(frame),
            snapshot: frame.headers.get("snapshot") != Some("false"),
        }));
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        frame: &Frame,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ProtocolError> {
        let ended = self
            .position_to_unsubscribe(frame)?
            .ok_or(ProtocolError::UnknownSubscription)?;
        let subscription = self.subscriptions.remove(ended);
        self.unacknowledged.forget(subscription.key);
        effects.push(Effect::Unsubscribe(subscription.key));
        Ok(())
    }

    /// By `id`; in 1.0 also by `destination`, for a subscription that has no id.
    fn position_to_unsubscribe(&self, frame: &Frame) -> Result<Option<usize>, ProtocolError> {
        let id = frame.headers.get("id");
        if id.is_none() && self.version == Version::V1_0 {
            let destination = required(frame, "destination")?;
            let is_meant =
                |known: &Subscription| known.id.is_none() && *known.destination == *destination;
            return Ok(self.subscriptions.iter().position(is_meant));
        }
        let id = required(frame, "id")?;
        Ok(self
            .subscriptions
            .iter()
            .position(|known| known.id.as_deref() == Some(id)))
    }

    fn acknowledge(
        &mut self,
        frame: &Frame,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ProtocolError> {
        let settlement = Settlement {
            command: frame.command,
            reference: self.reference(frame)?,
        };
        let Some(transaction) = frame.headers.get("transaction") else {
            self.settle(&settlement, effects);
            return Ok(());
        };
        let waiting = self
            .transactions
            .get_mut(transaction)
            .ok_or(ProtocolError::UnknownTransaction)?;
        if waiting.len() == TRANSACTION_FRAMES_MAX {
            return Err(ProtocolError::TransactionTooLarge);
        }
        waiting.push(settlement);
        Ok(())
    }

    fn reference(&self, frame: &Frame) -> Result<AckTarget, ProtocolError> {
        match self.version {
            Version::V1_0 => Ok(AckTarget::Message(
                required(frame, "message-id")?.to_owned(),
            )),
            Version::V1_1 => {
                let id = required(frame, "subscription")?;
                let is_named = |known: &&Subscription| known.id.as_deref() == Some(id);
                let subscription = self
                    .subscriptions
                    .iter()
                    .find(is_named)
                    .ok_or(ProtocolError::UnknownSubscription)?;
                Ok(AckTarget::MessageOn(
                    subscription.key,
                    required(frame, "message-id")?.to_owned(),
                ))
            }
            Version::V1_2 => Ok(AckTarget::Number(required(frame, "id")?.parse().ok())),
        }
    }

    fn settle(&mut self, settlement: &Settlement, effects: &mut Vec<Effect>) {
        let settled = self.unacknowledged.settle(&settlement.reference);
        effects.push(match settlement.command {
            Command::Nack => Effect::Declined(settled),
            _ => Effect::Acknowledged(settled),
        });
    }

    fn begin(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        let name = required(frame, "transaction")?;
        if self.transactions.contains_key(name) {
            return Err(ProtocolError::DuplicateTransaction);
        }
        if self.transactions.len() == TRANSACTIONS_MAX {
            return Err(ProtocolError::TransactionTooLarge);
        }
        self.transactions.insert(name.to_owned(), Vec::new());
        Ok(())
    }

    fn commit(&mut self, frame: &Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        for settlement in self.take_transaction(frame)? {
            self.settle(&settlement, effects);
        }
        Ok(())
    }

    fn take_transaction(&mut self, frame: &Frame) -> Result<Vec<Settlement>, ProtocolError> {
        let name = required(frame, "transaction")?;
        self.transactions
            .remove(name)
            .ok_or(ProtocolError::UnknownTransaction)
    }

    /// A new token is not data: it takes effect at once and in no transaction.
    fn send(&mut self, frame: &Frame, effects: &mut Vec<Effect>) -> Result<(), ProtocolError> {
        let destination = required(frame, "destination")?;
        if let Some(transaction) = frame.headers.get("transaction")
            && !self.transactions.contains_key(transaction)
        {
            return Err(ProtocolError::UnknownTransaction);
        }
        if destination != TOKEN_DESTINATION {
            return Err(ProtocolError::SendRefused);
        }
        effects.push(Effect::Renew {
            authorization: authorization(frame),
        });
        Ok(())
    }
}

fn receipt(id: Option<&str>, version: Version) -> Option<Effect> {
    let frame = Frame::new(Command::Receipt).with("receipt-id", id?);
    Some(Effect::Send(encoder::encode(&frame, version)))
}

fn required<'a>(frame: &'a Frame, name: &'static str) -> Result<&'a str, ProtocolError> {
    frame.headers.get(name).ok_or(ProtocolError::MissingHeader {
        command: frame.command,
        header: name,
    })
}

/// HTTP's header, so in any case: clients that copy it from an upgrade request write it small.
fn authorization(frame: &Frame) -> Option<String> {
    let is_it = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("authorization");
    frame
        .headers
        .iter()
        .find(is_it)
        .map(|(_, value)| value.to_owned())
}

fn resume_from(frame: &Frame) -> Option<String> {
    let position = frame
        .headers
        .get("resume-from")
        .or_else(|| frame.headers.get("last-event-id"));
    position.map(str::to_owned)
}

/// What `heart-beat:<can>,<wants>` of a client asks of us: each direction is off if either side says 0, and else
/// the slower of the two.
fn heart_beat_every(header: Option<&str>) -> Result<Option<Duration>, ProtocolError> {
    let (can, wants) = header
        .unwrap_or("0,0")
        .split_once(',')
        .ok_or(ProtocolError::BadHeartBeat)?;
    let (_can, wants) = (milliseconds(can)?, milliseconds(wants)?);
    Ok((wants != 0).then(|| Duration::from_millis(wants.max(HEART_BEAT_MS))))
}

fn milliseconds(number: &str) -> Result<u64, ProtocolError> {
    let number = number.trim();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number
        .parse::<u32>()
        .ok()
        .filter(|_| digits)
        .map(u64::from)
        .ok_or(ProtocolError::BadHeartBeat)
}
