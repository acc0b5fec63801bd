//! A client on a real socket, which reads and writes bytes by hand.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use service_kit::bounds::Place;

use crate::{
    shard::UpgradedSocket,
    stomp::{Command, Frame, Limits, Parser, Version},
    websocket::testing::{CLOSE, ServerFrame, TEXT, client_frame, take_server_frame},
};

/// Long enough for a busy machine, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Neighbour {
    pub(super) socket: TcpStream,
    heard: Vec<u8>,
    version: Version,
}

impl Neighbour {
    /// A client, and the other end of its socket.
    pub(super) fn pair(place: Place) -> (Self, UpgradedSocket) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs.set_nodelay(true).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let upgraded = UpgradedSocket {
            socket: theirs,
            first_bytes: Bytes::new(),
            resident: None,
            place,
        };
        (
            Self {
                socket: ours,
                heard: Vec::new(),
                version: Version::V1_2,
            },
            upgraded,
        )
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// One message of text.
    pub(super) fn say(&mut self, stomp: &str) {
        self.send(&client_frame(TEXT, stomp.as_bytes()));
    }

    pub(super) fn connect(&mut self, version: &str, token: &str) {
        self.say(&format!(
            "CONNECT\naccept-version:{version}\nhost:h\nAuthorization:Bearer {token}\n\n\0"
        ));
        let connected = self.hear();
        assert_eq!(connected.command, Command::Connected, "{connected:?}");
        self.version = Version::negotiate(Some(version)).unwrap();
    }

    pub(super) fn subscribe(&mut self, id: &str, destination: &str, more: &str) {
        self.say(&format!(
            "SUBSCRIBE\nid:{id}\ndestination:{destination}\nreceipt:r-{id}\n{more}\n\0"
        ));
    }

    /// Waits until what was said is done: an empty transaction is answered after all before it.
    pub(super) fn settle(&mut self) -> Vec<Frame> {
        self.say("BEGIN\ntransaction:settle\n\n\0");
        self.say("ABORT\ntransaction:settle\nreceipt:settled\n\n\0");
        let mut heard = Vec::new();
        loop {
            let frame = self.hear();
            if frame.headers.get("receipt-id") == Some("settled") {
                return heard;
            }
            heard.push(frame);
        }
    }

    /// The next frame of WebSocket. `None`: the socket has ended.
    pub(super) fn websocket(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = take_server_frame(&mut self.heard) {
                return Some(frame);
            }
            let mut buffer = [0; 16 * 1024];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.heard.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing was said in time: {error}"),
            }
        }
    }

    /// The next frame of STOMP: exactly one in a message, its NUL the last byte of it.
    pub(super) fn hear(&mut self) -> Frame {
        let message = self.websocket().expect("the socket has ended");
        assert!(message.opcode < CLOSE, "{message:?}");
        self.stomp(&message)
    }

    pub(super) fn stomp(&self, message: &ServerFrame) -> Frame {
        assert_eq!(message.payload.last(), Some(&0), "{message:?}");
        let mut parser = Parser::default();
        parser.set_version(self.version, Limits::AFTER_CONNECT);
        let mut rest = &message.payload[..];
        let frame = parser.next(&mut rest).unwrap().expect("a whole frame");
        assert!(rest.is_empty(), "two frames in a message");
        frame
    }

    /// The next MESSAGE, its body read.
    pub(super) fn message(&mut self) -> (Frame, Value) {
        let frame = self.hear();
        assert_eq!(frame.command, Command::Message, "{frame:?}");
        let body = serde_json::from_slice(&frame.body).unwrap();
        (frame, body)
    }

    /// The texts of the messages up to now.
    pub(super) fn texts(&mut self) -> Vec<String> {
        let frames = self
            .settle()
            .into_iter()
            .filter(|frame| frame.command == Command::Message);
        let bodies = frames.map(|frame| serde_json::from_slice::<Value>(&frame.body).unwrap());
        bodies
            .map(|body| body["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// An ERROR, then Close with a code, then the end: the ERROR's `code` and the code.
    pub(super) fn refused(&mut self) -> (String, u16) {
        let error = self.hear();
        assert_eq!(error.command, Command::Error, "{error:?}");
        (error.headers.get("code").unwrap().to_owned(), self.closed())
    }

    /// Reads to Close, answers it, and sees the socket end.
    pub(super) fn closed(&mut self) -> u16 {
        loop {
            let frame = self.websocket().expect("Close comes before the end");
            if frame.opcode == CLOSE {
                self.send(&client_frame(CLOSE, &frame.payload[..2]));
                assert_eq!(self.websocket(), None);
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    }
}
