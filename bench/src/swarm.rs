//! Many sockets in one thread: each connects, subscribes and counts what it hears. Speaks just enough WebSocket and
//! STOMP, by hand, that the machine's time goes to the gateway and not to its audience.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::tokens;

/// Sockets that are on their way in at once: more would only wait in the gateway's backlog.
const CONNECTING_MAX: usize = 64;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const CHUNK_BYTES: usize = 64 * 1_024;
/// What Linux answers when a connection that is not waited for has begun.
const EINPROGRESS: i32 = 115;

/// Who the sockets are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    /// Where they connect to.
    pub(crate) target: SocketAddr,
    /// Where they connect from: loopback has 28,232 ports per address.
    pub(crate) source: Ipv4Addr,
    /// The number of the first.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
    pub(crate) audience: Audience,
}

/// What the sockets say to be heard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Audience {
    /// STOMP over WebSocket; the sockets take the lines in turn.
    Stomp { lines: usize, ids: SubscriptionIds },
    /// Nothing; each run of so many bytes is a message.
    Raw { message_bytes: usize },
}

/// How the sockets name their subscriptions: a gateway that keeps prepared heads per name is fast with few names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubscriptionIds {
    /// All `sub-0`, as `stomp.js` does with one subscription.
    Equal,
    /// `sub-0` to `sub-9`.
    Ten,
    /// A UUID each.
    Unique,
}

impl SubscriptionIds {
    fn id(self, socket: usize) -> String {
        match self {
            Self::Equal => "sub-0".to_owned(),
            Self::Ten => format!("sub-{}", socket % 10),
            Self::Unique => {
                let mixed = (socket as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                format!(
                    "{:08x}-{:04x}-4{:03x}-8{:03x}-{socket:012x}",
                    mixed >> 32,
                    (mixed >> 16) & 0xffff,
                    (mixed >> 4) & 0xfff,
                    mixed & 0xfff
                )
            }
        }
    }
}

/// Hears what happens to the sockets. `socket` counts from the first of the swarm.
pub(crate) trait Observer {
    /// All are subscribed.
    fn ready(&mut self);
    /// A message came: its payload, and its bytes on the wire.
    fn message(&mut self, socket: usize, payload: &[u8], wire_bytes: usize);
    /// A heart-beat came.
    fn beat(&mut self, socket: usize);
}

/// Connects the sockets and listens until told to stop. A socket that is refused or closed ends the run.
pub(crate) fn run(
    options: &Options,
    stop: &AtomicBool,
    observer: &mut impl Observer,
) -> Result<()> {
    let mut swarm = Swarm::new(options)?;
    let mut events = Events::with_capacity(1_024);
    let mut told = false;
    while !stop.load(Ordering::Relaxed) {
        swarm.connect_more()?;
        swarm.poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            let Token(number) = event.token();
            swarm
                .serve(number, observer)
                .with_context(|| format!("socket {}", options.first + number))?;
        }
        if !told && swarm.listening == options.count {
            told = true;
            observer.ready();
        }
    }
    Ok(())
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// TCP's handshake; then it asks for the upgrade.
    Connecting,
    /// Waits for 101; then it says CONNECT.
    Upgrading,
    /// Waits for CONNECTED; then it says SUBSCRIBE.
    Greeting,
    /// Waits for the RECEIPT.
    Subscribing,
    /// Hears messages.
    Listening,
}

struct Member {
    stream: TcpStream,
    stage: Stage,
    received: Vec<u8>,
}

struct Swarm<'a> {
    options: &'a Options,
    poll: Poll,
    members: Vec<Member>,
    lines: usize,
    chunk: Vec<u8>,
    listening: usize,
}

impl<'a> Swarm<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let lines = match options.audience {
            Audience::Stomp { lines, .. } => lines,
            Audience::Raw { .. } => 0,
        };
        let members = Vec::with_capacity(options.count);
        Ok(Self {
            options,
            poll: Poll::new()?,
            members,
            lines,
            chunk: vec![0; CHUNK_BYTES],
            listening: 0,
        })
    }

    fn connect_more(&mut self) -> Result<()> {
        while self.members.len() < self.options.count
            && self.members.len() < self.listening + CONNECTING_MAX
        {
            let number = self.members.len();
            let mut stream = connect(self.options.source, self.options.target)?;
            self.poll.registry().register(
                &mut stream,
                Token(number),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.members.push(Member {
                stream,
                stage: Stage::Connecting,
                received: Vec::new(),
            });
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, observer: &mut impl Observer) -> Result<()> {
        if self.members[number].stage == Stage::Connecting {
            return self.connected(number);
        }
        loop {
            let member = &mut self.members[number];
            match member.stream.read(&mut self.chunk) {
                Ok(0) => bail!("the other side closed"),
                Ok(count) => member.received.extend_from_slice(&self.chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            self.hear(number, observer)?;
        }
    }

    /// The first event says that TCP is through, or why not.
    fn connected(&mut self, number: usize) -> Result<()> {
        let member = &mut self.members[number];
        if let Some(error) = member.stream.take_error()? {
            return Err(error.into());
        }
        if member.stream.peer_addr().is_err() {
            return Ok(());
        }
        member.stream.set_nodelay(true)?;
        match self.options.audience {
            Audience::Raw { .. } => self.listens(number),
            Audience::Stomp { .. } => {
                member.stage = Stage::Upgrading;
                member.send(upgrade(self.options.target).as_bytes())?;
            }
        }
        Ok(())
    }

    fn listens(&mut self, number: usize) {
        self.members[number].stage = Stage::Listening;
        self.listening += 1;
    }

    fn hear(&mut self, number: usize, observer: &mut impl Observer) -> Result<()> {
        let received = std::mem::take(&mut self.members[number].received);
        let taken = match self.options.audience {
            Audience::Raw { message_bytes } => hear_raw(&received, number, message_bytes, observer),
            Audience::Stomp { .. } => self.hear_stomp(&received, number, observer)?,
        };
        let rest = &mut self.members[number].received;
        *rest = received;
        rest.drain(..taken);
        Ok(())
    }

    fn hear_stomp(
        &mut self,
        received: &[u8],
        number: usize,
        observer: &mut impl Observer,
    ) -> Result<usize> {
        let mut taken = 0;
        if self.members[number].stage == Stage::Upgrading {
            let Some(length) = head_length(received) else {
                return Ok(0);
            };
            ensure!(
                received.starts_with(b"HTTP/1.1 101"),
                "no upgrade: {}",
                shown(received)
            );
            taken = length;
            self.members[number].stage = Stage::Greeting;
            let frame = self.connect_frame(number)?;
            self.members[number].send(&masked(1, frame.as_bytes()))?;
        }
        while let Some(frame) = Frame::read(&received[taken..]) {
            self.hear_frame(&frame, number, observer)?;
            taken += frame.wire_bytes;
        }
        Ok(taken)
    }

    fn hear_frame(
        &mut self,
        frame: &Frame<'_>,
        number: usize,
        observer: &mut impl Observer,
    ) -> Result<()> {
        match (frame.opcode, frame.payload) {
            (1 | 2, b"\n" | b"\r\n") => observer.beat(number),
            (1 | 2, payload) if payload.starts_with(b"MESSAGE\n") => {
                observer.message(number, payload, frame.wire_bytes)
            }
            (1 | 2, payload) if payload.starts_with(b"CONNECTED\n") => {
                self.members[number].stage = Stage::Subscribing;
                let frame = self.subscribe_frame(number);
                self.members[number].send(&masked(1, frame.as_bytes()))?;
            }
            (1 | 2, payload) if payload.starts_with(b"RECEIPT\n") => self.listens(number),
            (9, payload) => self.members[number].send(&masked(10, payload))?,
            (_, payload) => bail!("unexpected frame {}: {}", frame.opcode, shown(payload)),
        }
        Ok(())
    }

    fn line(&self, number: usize) -> usize {
        (self.options.first + number) % self.lines
    }

    /// Each socket is a house of its own: one person, and one house, may have only so many.
    fn connect_frame(&self, number: usize) -> Result<String> {
        let line = tokens::line(self.line(number))?;
        let token = tokens::token(&line, &(self.options.first + number).to_string())?;
        Ok(format!(
            "CONNECT\naccept-version:1.2\nhost:bench\nheart-beat:0,25000\nAuthorization:Bearer {token}\n\n\0"
        ))
    }

    fn subscribe_frame(&self, number: usize) -> String {
        let Audience::Stomp { ids, .. } = self.options.audience else {
            return String::new();
        };
        let id = ids.id(self.options.first + number);
        let line = self.line(number);
        format!(
            "SUBSCRIBE\nid:{id}\ndestination:/sub/line/bench-{line}\nsnapshot:false\nreceipt:r\n\n\0"
        )
    }
}

impl Member {
    /// Small, and into an empty buffer: it fits.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let count = self.stream.write(bytes)?;
        ensure!(
            count == bytes.len(),
            "only {count} of {} bytes went out",
            bytes.len()
        );
        Ok(())
    }
}

fn connect(source: Ipv4Addr, target: SocketAddr) -> Result<TcpStream> {
    let socket =
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).context("open a socket")?;
    socket.set_nonblocking(true)?;
    socket
        .bind(&SocketAddr::from((source, 0)).into())
        .with_context(|| format!("bind to {source}"))?;
    match socket.connect(&target.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error).with_context(|| format!("connect to {target}")),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn upgrade(target: SocketAddr) -> String {
    format!(
        "GET /an-ws HTTP/1.1\r\nHost: {target}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n"
    )
}

fn hear_raw(
    received: &[u8],
    number: usize,
    message_bytes: usize,
    observer: &mut impl Observer,
) -> usize {
    let messages = received.chunks_exact(message_bytes);
    let taken = messages.len() * message_bytes;
    messages.for_each(|message| observer.message(number, message, message_bytes));
    taken
}

fn head_length(received: &[u8]) -> Option<usize> {
    received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// A whole WebSocket frame from a server: not masked, not fragmented.
struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
    wire_bytes: usize,
}

impl<'a> Frame<'a> {
    /// None until it has arrived whole.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [first, second, ..] = *bytes else {
            return None;
        };
        let (head, length) = match second & 0x7f {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)),
            ),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(*bytes[2..].first_chunk()?)).ok()?,
            ),
            length => (2, usize::from(length)),
        };
        let wire_bytes = head + length;
        let payload = bytes.get(head..wire_bytes)?;
        Some(Self {
            opcode: first & 0x0f,
            payload,
            wire_bytes,
        })
    }
}

/// A whole frame from a client. The mask is zeros, so the payload stays as it is: this hides nothing from proxies, and
/// there are none on loopback.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            let length = u16::try_from(payload.len()).expect("what a client says here is small");
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_frame_is_read_once_it_is_whole_whatever_its_length() {
        for length in [0, 1, 125, 126, 300, 70_000] {
            let payload = vec![b'x'; length];
            let mut bytes = match length {
                0..126 => vec![0x81, u8::try_from(length).expect("small")],
                126..65_536 => [
                    vec![0x81, 126],
                    u16::try_from(length).expect("small").to_be_bytes().to_vec(),
                ]
                .concat(),
                _ => [vec![0x81, 127], (length as u64).to_be_bytes().to_vec()].concat(),
            };
            bytes.extend_from_slice(&payload);
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                assert!(
                    Frame::read(&bytes[..cut]).is_none(),
                    "{length} cut at {cut}"
                );
            }
            bytes.extend_from_slice(b"more");
            let frame = Frame::read(&bytes).expect("whole");
            assert_eq!(
                (frame.opcode, frame.payload.len(), frame.wire_bytes),
                (1, length, bytes.len() - 4)
            );
        }
    }

    #[test]
    fn what_a_client_says_is_masked_and_readable() {
        for length in [0, 125, 126, 1_000] {
            let frame = masked(1, &vec![b'y'; length]);
            assert_eq!((frame[0], frame[1] & 0x80), (0x81, 0x80));
            assert_eq!(frame.len(), length + if length < 126 { 6 } else { 8 });
        }
    }

    #[test]
    fn subscription_ids_are_as_different_as_they_claim() {
        let different = |ids: SubscriptionIds| {
            (0..1_000)
                .map(|socket| ids.id(socket))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(different(SubscriptionIds::Equal).len(), 1);
        assert_eq!(different(SubscriptionIds::Ten).len(), 10);
        let unique = different(SubscriptionIds::Unique);
        assert_eq!(unique.len(), 1_000);
        assert!(unique.iter().all(|id| id.len() == 36));
    }

    struct Count(Vec<usize>);

    impl Observer for Count {
        fn ready(&mut self) {}
        fn message(&mut self, socket: usize, _payload: &[u8], _wire_bytes: usize) {
            self.0[socket] += 1;
        }
        fn beat(&mut self, _socket: usize) {}
    }

    #[test]
    fn raw_bytes_are_messages_by_their_length_alone() {
        let mut count = Count(vec![0; 2]);
        assert_eq!(hear_raw(&[0; 25], 1, 10, &mut count), 20);
        assert_eq!(count.0, [0, 2]);
    }
}
