//! Watches what a server says on one socket, and names each point of the specifications that it breaks.
//!
//! Every neighbour of the tests has one, so that every test is a conformance test; and it is itself tested with
//! servers that are wrong on purpose, since a checker that never fired is only a hope.

use std::collections::{BTreeMap, BTreeSet};

use ws_gateway::stomp::{Command, Frame, Limits, Parser, Version};

/// A point of the conformance list, broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A message is not one whole frame, or a heart-beat.
    Point4NotOneFrame,
    /// The frame's bytes are none: no NUL, a wrong content-length, an escape that the version does not have.
    Points6To18NotAFrame,
    /// Something came before CONNECTED, CONNECTED came twice, or without its version.
    Point22Connected,
    /// A MESSAGE without destination, message-id or subscription; of nothing that is subscribed; with another
    /// destination than was asked for; or with an id that was there before.
    Point33Message,
    /// An `ack` where none is expected, or none where one is.
    Point34Ack,
    /// A value that clients which trim and unescape badly would misread.
    Point36UnsafeValue,
    /// A RECEIPT that the client did not ask for, or that was given before.
    Point37Receipt,
    /// An ERROR without `message`, or something after an ERROR.
    Point42Error,
    /// A client's command.
    ClientCommand,
}

#[derive(Debug, Clone)]
struct Subscription {
    destination: String,
    acknowledges: bool,
    message_ids: BTreeSet<String>,
}

/// What is known of one session.
#[derive(Debug)]
pub(crate) struct Checker {
    version: Option<Version>,
    subscriptions: BTreeMap<String, Subscription>,
    receipts: BTreeSet<String>,
    failed: bool,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            version: None,
            subscriptions: BTreeMap::new(),
            receipts: BTreeSet::new(),
            failed: false,
        }
    }

    /// The client says this.
    pub(crate) fn sent(&mut self, frame: &Frame) {
        let header = |name| frame.headers.get(name).map(str::to_owned);
        self.receipts.extend(header("receipt"));
        if frame.command == Command::Subscribe {
            let subscription = Subscription {
                destination: header("destination").unwrap_or_default(),
                acknowledges: header("ack").is_some_and(|ack| ack != "auto"),
                message_ids: BTreeSet::new(),
            };
            self.subscriptions
                .insert(header("id").unwrap_or_default(), subscription);
        }
    }

    /// The server says this, as one WebSocket message.
    pub(crate) fn heard(&mut self, message: &[u8]) -> Result<Option<Frame>, Violation> {
        if message.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
            return Ok(None);
        }
        let frame = self.parse(message)?;
        if self.failed {
            return Err(Violation::Point42Error);
        }
        match frame.command {
            Command::Connected => self.connected(&frame)?,
            Command::Message => self.message(&frame)?,
            Command::Receipt => self.receipt(&frame)?,
            Command::Error => self.error(&frame)?,
            _ => return Err(Violation::ClientCommand),
        }
        Ok(Some(frame))
    }

    fn parse(&self, message: &[u8]) -> Result<Frame, Violation> {
        let version = self.version.unwrap_or(Version::V1_2);
        let mut parser = Parser::default();
        parser.set_version(
            version,
            Limits {
                body_bytes_max: 1 << 20,
                ..Limits::AFTER_CONNECT
            },
        );
        let mut rest = message;
        let frame = parser
            .next(&mut rest)
            .map_err(|_| Violation::Points6To18NotAFrame)?;
        let frame = frame.ok_or(Violation::Points6To18NotAFrame)?;
        if !rest.is_empty() {
            return Err(Violation::Point4NotOneFrame);
        }
        Ok(frame)
    }

    fn connected(&mut self, frame: &Frame) -> Result<(), Violation> {
        let said = frame
            .headers
            .get("version")
            .ok_or(Violation::Point22Connected)?;
        let version = Version::ALL
            .into_iter()
            .find(|version| version.as_str() == said);
        if self.version.is_some() || version.is_none() {
            return Err(Violation::Point22Connected);
        }
        self.version = version;
        safe(frame, &["version", "server", "session", "heart-beat"])
    }

    fn message(&mut self, frame: &Frame) -> Result<(), Violation> {
        let version = self.version.ok_or(Violation::Point22Connected)?;
        let header = |name| frame.headers.get(name).ok_or(Violation::Point33Message);
        let (destination, message_id) = (header("destination")?, header("message-id")?);
        let id = match version {
            Version::V1_0 => frame.headers.get("subscription").unwrap_or_default(),
            Version::V1_1 | Version::V1_2 => header("subscription")?,
        };
        let subscription = self
            .subscriptions
            .get_mut(id)
            .ok_or(Violation::Point33Message)?;
        if subscription.destination != destination
            || !subscription.message_ids.insert(message_id.to_owned())
        {
            return Err(Violation::Point33Message);
        }
        let has_ack = frame.headers.get("ack").is_some();
        if has_ack != (subscription.acknowledges && version == Version::V1_2) {
            return Err(Violation::Point34Ack);
        }
        safe(
            frame,
            &[
                "message-id",
                "type",
                "content-type",
                "content-length",
                "position",
                "ack",
            ],
        )
    }

    fn receipt(&mut self, frame: &Frame) -> Result<(), Violation> {
        self.version.ok_or(Violation::Point22Connected)?;
        let id = frame
            .headers
            .get("receipt-id")
            .ok_or(Violation::Point37Receipt)?;
        if self.receipts.remove(id) {
            Ok(())
        } else {
            Err(Violation::Point37Receipt)
        }
    }

    fn error(&mut self, frame: &Frame) -> Result<(), Violation> {
        self.failed = true;
        frame
            .headers
            .get("message")
            .ok_or(Violation::Point42Error)?;
        safe(frame, &["message", "code", "retry", "content-type"])
    }
}

fn safe(frame: &Frame, names: &[&str]) -> Result<(), Violation> {
    for value in names.iter().filter_map(|name| frame.headers.get(name)) {
        if value.trim() != value || value.contains(['\\', ':', '\r', '\n']) {
            return Err(Violation::Point36UnsafeValue);
        }
    }
    Ok(())
}
