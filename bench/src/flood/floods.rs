//! Floods from one address of loopback: connections within what any client may do, in numbers that no resident needs.
//! Each is bounded in number, rate and time, and ends by itself.
//!
//! Used by `bench flood` and, by its path, by a test of the whole system.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Where every flood comes from. The residents of a run come from another address.
pub(crate) const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// How often the flood looks at its connections.
const TURN: Duration = Duration::from_millis(10);
/// Connections that are looked at in one turn: have they been closed, do they say more?
const SERVED_PER_TURN: usize = 400;
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// What is done to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// The first half of a head at the gateway, renewed whenever it is closed.
    HalfHeads,
    /// Connections to the api that have asked once and rest.
    KeepAlives,
    /// WebSockets that never say CONNECT.
    Upgrades,
    /// Calls without a token, as fast as they are refused.
    TokenlessPosts,
    /// Connections to the log that ask for nothing.
    IdleLog,
    /// Connections to the operator's listener that ask for nothing.
    IdleAdmin,
    /// Large fetches whose answers are read a byte at a time.
    SlowFetches,
    /// Consumer groups with half a megabyte of metadata each.
    HeavyGroups,
    /// Sockets that subscribe, with a snapshot, and unsubscribe again and again.
    SnapshotStorm,
}

impl Flood {
    pub(crate) const ALL: [Flood; 9] = [
        Flood::HalfHeads,
        Flood::KeepAlives,
        Flood::Upgrades,
        Flood::TokenlessPosts,
        Flood::IdleLog,
        Flood::IdleAdmin,
        Flood::SlowFetches,
        Flood::HeavyGroups,
        Flood::SnapshotStorm,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Flood::HalfHeads => "half heads",
            Flood::KeepAlives => "keep-alives",
            Flood::Upgrades => "upgrades without CONNECT",
            Flood::TokenlessPosts => "posts without a token",
            Flood::IdleLog => "idle at the log",
            Flood::IdleAdmin => "idle at the admin port",
            Flood::SlowFetches => "slow fetches",
            Flood::HeavyGroups => "heavy groups",
            Flood::SnapshotStorm => "snapshot storm",
        }
    }

    fn target(self, targets: &Targets) -> SocketAddr {
        match self {
            Flood::HalfHeads | Flood::Upgrades | Flood::SnapshotStorm => targets.gateway,
            Flood::KeepAlives | Flood::TokenlessPosts => targets.api,
            Flood::IdleLog | Flood::SlowFetches | Flood::HeavyGroups => targets.log,
            Flood::IdleAdmin => targets.admin,
        }
    }

    /// What a new connection says.
    fn opening(self, targets: &Targets, number: usize) -> Vec<u8> {
        match self {
            Flood::HalfHeads => b"GET / HTTP/1.1\r\nHost: fl".to_vec(),
            Flood::KeepAlives => b"GET /healthz HTTP/1.1\r\nHost: flood\r\n\r\n".to_vec(),
            Flood::TokenlessPosts => post_without_token(),
            Flood::IdleLog | Flood::IdleAdmin => Vec::new(),
            Flood::Upgrades => upgrade(),
            Flood::SnapshotStorm => {
                let mut opening = upgrade();
                opening.extend(message(&format!(
                    "CONNECT\naccept-version:1.2\nhost:flood\nAuthorization:Bearer {}\n\n\0",
                    targets.token
                )));
                opening.extend(subscribe(&targets.line));
                opening
            }
            Flood::SlowFetches => fetch(&targets.topic),
            Flood::HeavyGroups => join_group(&format!("flood-{number}")),
        }
    }

    /// What a connection says in each later turn.
    fn more(self, targets: &Targets) -> Vec<u8> {
        match self {
            Flood::TokenlessPosts => post_without_token(),
            Flood::SnapshotStorm => {
                let mut more = message("UNSUBSCRIBE\nid:flood\n\n\0");
                more.extend(subscribe(&targets.line));
                more
            }
            _ => Vec::new(),
        }
    }

    /// New connections in one turn.
    fn opens(self) -> usize {
        match self {
            // Each brings half a megabyte.
            Flood::HeavyGroups => 1,
            _ => 20,
        }
    }

    /// How much of what it is sent a connection reads in a turn.
    fn reads(self) -> usize {
        match self {
            Flood::SlowFetches | Flood::SnapshotStorm => 1,
            _ => 16 * 1_024,
        }
    }
}

/// Where the process is reached, and what a flood needs of it.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) api: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) log: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// A resident's, for the flood that needs one.
    pub(crate) token: String,
    /// The line of that token.
    pub(crate) line: String,
    /// A topic with much to fetch, in its partition 0.
    pub(crate) topic: String,
}

/// What a flood came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections that came about.
    pub(crate) opened: usize,
    /// Those that were closed by the other end.
    pub(crate) closed: usize,
    /// The most that it held at once.
    pub(crate) held_max: usize,
    /// Connections that did not come about.
    pub(crate) refused: usize,
}

/// Holds up to `connections` open, renewing those that are closed, until it is told to stop or `at_most` is over.
pub(crate) fn run(
    flood: Flood,
    targets: &Targets,
    connections: usize,
    stop: &AtomicBool,
    begun: Instant,
    at_most: Duration,
) -> Tally {
    let mut tally = Tally::default();
    let mut held: VecDeque<TcpStream> = VecDeque::new();
    let mut buffer = vec![0; flood.reads()];
    let more = flood.more(targets);
    while !stop.load(Ordering::Relaxed) && begun.elapsed() < at_most {
        for _ in 0..flood.opens().min(connections.saturating_sub(held.len())) {
            let opening = flood.opening(targets, tally.opened);
            match open(flood.target(targets), &opening) {
                Ok(stream) => {
                    tally.opened += 1;
                    held.push_back(stream);
                }
                Err(_) => tally.refused += 1,
            }
        }
        tally.held_max = tally.held_max.max(held.len());
        for _ in 0..SERVED_PER_TURN.min(held.len()) {
            let Some(mut stream) = held.pop_front() else {
                break;
            };
            if is_open(&mut stream, &more, &mut buffer) {
                held.push_back(stream);
            } else {
                tally.closed += 1;
            }
        }
        sleep(TURN);
    }
    tally
}

/// A connection from the flood's own address.
pub(crate) fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((SOURCE, 0)).into())?;
    // A flood that reads nothing must not be helped by a large buffer of its own.
    socket.set_recv_buffer_size(16 * 1_024)?;
    socket.connect_timeout(&target.into(), CONNECT_WITHIN)?;
    Ok(TcpStream::from(socket))
}

fn open(target: SocketAddr, opening: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = connect(target)?;
    stream.set_write_timeout(Some(CONNECT_WITHIN))?;
    stream.write_all(opening)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads a little and says more; whether the other end still takes part.
fn is_open(stream: &mut TcpStream, more: &[u8], buffer: &mut [u8]) -> bool {
    let goes_on = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
    let read = match stream.read(buffer) {
        Ok(read) => 0 < read,
        Err(error) => goes_on(&error),
    };
    let written = match stream.write(more) {
        Ok(_) => true,
        Err(error) => goes_on(&error),
    };
    read && written
}

fn post_without_token() -> Vec<u8> {
    b"POST /alert HTTP/1.1\r\nHost: flood\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".to_vec()
}

/// Asks the gateway for a WebSocket.
pub(crate) fn upgrade() -> Vec<u8> {
    b"GET /an-ws HTTP/1.1\r\nHost: flood\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec()
}

fn subscribe(line: &str) -> Vec<u8> {
    message(&format!(
        "SUBSCRIBE\nid:flood\ndestination:/sub/line/{line}\n\n\0"
    ))
}

/// A text message, masked with zeros.
pub(crate) fn message(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short frame");
    let mut frame = vec![0x81];
    if length < 126 {
        frame.push(0x80 | u8::try_from(length).expect("below 126"));
    } else {
        frame.push(0x80 | 126);
        frame.extend(length.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

// ---- Kafka, by hand: no client would do this ----

/// A request with length and header (version 1) before its body.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(1i32.to_be_bytes());
    bytes.extend(string("flood"));
    bytes.extend_from_slice(body);
    let mut frame = u32::try_from(bytes.len())
        .expect("short")
        .to_be_bytes()
        .to_vec();
    frame.extend(bytes);
    frame
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = i16::try_from(text.len())
        .expect("short")
        .to_be_bytes()
        .to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Fetch, version 4: partition 0 from its beginning, as much as is given.
fn fetch(topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend((-1i32).to_be_bytes());
    body.extend(100i32.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    body.extend((50i32 << 20).to_be_bytes());
    body.push(0);
    body.extend(1i32.to_be_bytes());
    body.extend(string(topic));
    body.extend(1i32.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(0i64.to_be_bytes());
    body.extend((50i32 << 20).to_be_bytes());
    request(1, 4, &body)
}

/// JoinGroup, version 2, as a new member with half a megabyte of metadata, which is gone 6 s after it joined.
fn join_group(group: &str) -> Vec<u8> {
    let metadata = vec![7; 512 << 10];
    let mut body = Vec::new();
    body.extend(string(group));
    body.extend(6_000i32.to_be_bytes());
    body.extend(6_000i32.to_be_bytes());
    body.extend(string(""));
    body.extend(string("consumer"));
    body.extend(1i32.to_be_bytes());
    body.extend(string("range"));
    body.extend(i32::try_from(metadata.len()).expect("short").to_be_bytes());
    body.extend(metadata);
    request(11, 2, &body)
}
