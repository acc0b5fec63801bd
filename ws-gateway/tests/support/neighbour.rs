//! A client that came in by the front gateway, reads and writes bytes by hand, and checks all it hears.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use ws_gateway::stomp::{Command, Frame, Limits, Parser, Version};

use super::{
    PATIENCE,
    checker::Checker,
    websocket::{CLOSE, ServerFrame, TEXT, client_frame, take_server_frame},
};

pub(crate) struct Neighbour {
    pub(crate) socket: TcpStream,
    heard: Vec<u8>,
    checker: Checker,
    version: Version,
}

impl Neighbour {
    /// Upgraded, with these headers more: the socket, or the answer that was none.
    pub(crate) fn upgrade(
        address: SocketAddr,
        path: &str,
        more: &str,
    ) -> Result<(Self, String), (u16, String)> {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let (head, rest) = read_head(&mut socket);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 101 {
            let mut body = rest;
            drop(socket.shutdown(std::net::Shutdown::Write));
            drop(socket.read_to_end(&mut body));
            return Err((status, String::from_utf8_lossy(&body).into_owned()));
        }
        let neighbour = Self {
            socket,
            heard: rest,
            checker: Checker::new(),
            version: Version::V1_2,
        };
        Ok((neighbour, head.to_lowercase()))
    }

    pub(crate) fn connected(address: SocketAddr, version: &str, token: &str) -> Self {
        let (mut neighbour, _) = Self::upgrade(address, "/an-ws", "").unwrap();
        neighbour.connect(version, &format!("Authorization:Bearer {token}\n"));
        neighbour
    }

    pub(crate) fn connect(&mut self, version: &str, more: &str) {
        self.say(&format!(
            "CONNECT\naccept-version:{version}\nhost:h\n{more}\n\0"
        ));
        let connected = self.hear();
        assert_eq!(connected.command, Command::Connected, "{connected:?}");
        self.version = Version::negotiate(Some(version)).unwrap();
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// One frame as one message of text.
    pub(crate) fn say(&mut self, stomp: &str) {
        let mut parser = Parser::new(Limits::AFTER_CONNECT);
        parser.set_version(self.version, Limits::AFTER_CONNECT);
        if let Ok(Some(frame)) = parser.next(&mut stomp.as_bytes()) {
            self.checker.sent(&frame);
        }
        self.send(&client_frame(TEXT, stomp.as_bytes()));
    }

    /// Subscribes; what came before the RECEIPT and in answer to the subscription is the result.
    pub(crate) fn subscribe(&mut self, id: &str, destination: &str, more: &str) -> Vec<Frame> {
        self.say(&format!(
            "SUBSCRIBE\nid:{id}\ndestination:{destination}\n{more}\n\0"
        ));
        self.settle()
    }

    /// Waits until what was said is done: an empty transaction is answered after all before it.
    pub(crate) fn settle(&mut self) -> Vec<Frame> {
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
    pub(crate) fn websocket(&mut self) -> Option<ServerFrame> {
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

    /// The next frame of STOMP, checked.
    pub(crate) fn hear(&mut self) -> Frame {
        loop {
            let message = self.websocket().expect("the socket has ended");
            assert!(message.opcode < CLOSE, "{message:?}");
            let heard = self.checker.heard(&message.payload);
            let heard = heard.unwrap_or_else(|violation| panic!("{violation:?}: {message:?}"));
            if let Some(frame) = heard {
                return frame;
            }
        }
    }

    /// The next MESSAGE, its body read.
    pub(crate) fn message(&mut self) -> (Frame, Value) {
        let frame = self.hear();
        assert_eq!(frame.command, Command::Message, "{frame:?}");
        let body = serde_json::from_slice(&frame.body).unwrap();
        (frame, body)
    }

    /// An ERROR, then Close with a code, then the end: the ERROR's `code` and the code.
    pub(crate) fn refused(&mut self) -> (String, u16) {
        let error = self.hear();
        assert_eq!(error.command, Command::Error, "{error:?}");
        (error.headers.get("code").unwrap().to_owned(), self.closed())
    }

    /// Reads to Close, answers it, and sees the socket end.
    pub(crate) fn closed(&mut self) -> u16 {
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

fn read_head(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    let mut byte = [0; 1];
    while !read.ends_with(b"\r\n\r\n") {
        assert_eq!(
            socket.read(&mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
    (String::from_utf8(read).unwrap(), Vec::new())
}
