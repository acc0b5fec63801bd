//! A connection between two nodes that have made sure of each other, and how it comes about.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameError, FrameKind, HANDSHAKE_BYTES_MAX, PeerFrame,
    body_len, put_frame, read_frame,
};
use super::handshake::{
    ExpectedPeer, Greeting, HandshakeError, Hello, Name, Nonce, Proof, Purpose, Transcript,
    judge_answerer, judge_caller,
};
use super::local_node::LocalNode;
use super::secret::End;

/// How long its name may take to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_millis(500);
/// How long a connection may take to come about. Shorter than TCP's own second before it tries again, so that a link
/// that heals is used within this and the wait between two calls.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// How long the other end may take for a whole handshake: a few round trips, also across a continent.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(1);
/// A connection whose other end takes nothing for so long is dead. Too low cuts off a peer with a busy disk or a lossy
/// link; too high keeps a healed link waiting for TCP's retransmission, which doubles its pause each time.
const DEAD_AFTER: Duration = Duration::from_secs(1);
/// How long the other end may take to read why it is refused.
const FAREWELL_WITHIN: Duration = Duration::from_millis(200);
/// How much is asked of the socket at once: memory is taken for what has arrived, not for what is announced.
const READ_BYTES: usize = 64 << 10;

/// Why a connection did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("where it is is not known: it has registered no address, and has not been heard of")]
    NoAddress,
    #[error("its name cannot be resolved: no answer within {RESOLVE_WITHIN:?}")]
    NoName,
    #[error("its name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    #[error("not reachable: {0}")]
    Connect(#[source] io::Error),
    #[error("not reachable: no answer within {CONNECT_WITHIN:?}")]
    NoAnswer,
    #[error(
        "it takes connections and says nothing: it is paused, overloaded, or not a node of this log"
    )]
    Silent,
    /// The other end refuses.
    #[error("it refuses: {0}")]
    Refused(HandshakeError),
    /// This end refuses.
    #[error("refused: {0}")]
    Refusing(HandshakeError),
    #[error("it is no member any more, and nothing is said to it")]
    NoMember,
    #[error("it closed the connection")]
    Closed,
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a {0:?} frame, where none may come")]
    Unexpected(FrameKind),
    #[error("what it says cannot be read")]
    Unreadable,
    #[error("connection lost: {0}")]
    Socket(#[source] io::Error),
}

impl PeerError {
    /// Whether the other end said what no node says, rather than nothing.
    pub(super) fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::Frame(_) | Self::Unexpected(_) | Self::Unreadable
        )
    }
}

/// A connection on which both ends know who the other is.
pub(super) struct PeerConnection {
    stream: TcpStream,
    incoming: BytesMut,
    /// Who is at the other end.
    pub(super) peer: Name,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// The caller's process.
    pub(super) process: u64,
    /// What both ends speak.
    pub(super) version: u16,
}

/// Calls a node.
///
/// # Errors
/// [`PeerError`]: there is no connection.
pub(super) async fn call(
    local: &LocalNode,
    address: &str,
    wanted: ExpectedPeer,
    purpose: Purpose,
) -> Result<PeerConnection, PeerError> {
    let stream = connect(address).await?;
    prepare(&stream).map_err(PeerError::Socket)?;
    let mut line = Line::new(stream);
    let shaken = timeout(HANDSHAKE_WITHIN, line.introduce(local, wanted, purpose));
    let judged = shaken.await.map_err(|_| PeerError::Silent)?;
    line.conclude(judged).await
}

/// Answers a caller. One that has proved itself must still be `welcome`.
///
/// # Errors
/// [`PeerError`]: there is no connection.
pub(super) async fn answer(
    local: &LocalNode,
    stream: TcpStream,
    welcome: impl Fn(&Hello) -> Result<(), HandshakeError>,
) -> Result<PeerConnection, PeerError> {
    prepare(&stream).map_err(PeerError::Socket)?;
    let mut line = Line::new(stream);
    let shaken = timeout(HANDSHAKE_WITHIN, line.greet(local, welcome));
    let judged = shaken.await.map_err(|_| PeerError::Silent)?;
    line.conclude(judged).await
}

/// Connects to one of the addresses that a name has, another one first each time: one that swallows everything must not
/// use up the time of the others for ever.
async fn connect(address: &str) -> Result<TcpStream, PeerError> {
    let found = timeout(RESOLVE_WITHIN, tokio::net::lookup_host(address)).await;
    let found = found.map_err(|_| PeerError::NoName)?;
    let mut found: Vec<_> = found.map_err(PeerError::Resolve)?.collect();
    if found.is_empty() {
        return Err(PeerError::NoName);
    }
    let first = rand::random_range(0..found.len());
    found.rotate_left(first);
    let connecting = timeout(CONNECT_WITHIN, TcpStream::connect(&found[..])).await;
    let connected = connecting.map_err(|_| PeerError::NoAnswer)?;
    connected.map_err(PeerError::Connect)
}

/// Small messages are awaited and never held back; a dead peer is noticed by the kernel, both when something waits to be
/// acknowledged (user time-out) and when nothing does (keep-alive).
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    let probes = TcpKeepalive::new()
        .with_time(DEAD_AFTER)
        .with_interval(DEAD_AFTER)
        .with_retries(2);
    socket.set_tcp_keepalive(&probes)
}

/// What a handshake has found out.
struct Agreed {
    peer: Name,
    purpose: Purpose,
    process: u64,
    version: u16,
}

/// A connection on which neither end knows yet who the other is.
struct Line {
    stream: TcpStream,
    incoming: BytesMut,
}

impl Line {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            incoming: BytesMut::new(),
        }
    }

    /// The caller's side.
    async fn introduce(
        &mut self,
        local: &LocalNode,
        wanted: ExpectedPeer,
        purpose: Purpose,
    ) -> Result<Agreed, PeerError> {
        let name = local.name();
        let hello = Hello {
            purpose,
            from: name.clone(),
            to: wanted,
            process: local.process,
            nonce: nonce(),
        };
        let hello = hello.encode();
        self.say(FrameKind::Hello, &hello).await?;
        let (greeting, proof) = self.hear_greeting().await?;
        let (version, answerer) = Greeting::decode(&greeting).map_err(PeerError::Refusing)?;
        judge_answerer(&name, wanted, &answerer).map_err(PeerError::Refusing)?;
        let said = Transcript::new(&hello, &greeting);
        proof
            .check(local.secret.as_ref(), End::Answerer, &said)
            .map_err(PeerError::Refusing)?;
        let ours = Proof::of(local.secret.as_ref(), End::Caller, &said);
        self.say(FrameKind::Proof, &ours.encode()).await?;
        self.hear(FrameKind::Welcome).await?;
        Ok(Agreed {
            peer: answerer.from,
            purpose,
            process: local.process,
            version,
        })
    }

    async fn hear_greeting(&mut self) -> Result<(Bytes, Proof), PeerError> {
        let greeting = self.hear(FrameKind::Greeting).await?;
        let proof = self.hear(FrameKind::Proof).await?;
        let proof = Proof::decode(&proof).map_err(PeerError::Refusing)?;
        Ok((greeting, proof))
    }

    /// The answerer's side.
    async fn greet(
        &mut self,
        local: &LocalNode,
        welcome: impl Fn(&Hello) -> Result<(), HandshakeError>,
    ) -> Result<Agreed, PeerError> {
        let name = local.name();
        let hello = self.hear(FrameKind::Hello).await?;
        let (version, caller) = Hello::decode(&hello).map_err(PeerError::Refusing)?;
        judge_caller(&name, local.process, &caller).map_err(PeerError::Refusing)?;
        let greeting = Greeting {
            from: name,
            nonce: nonce(),
        };
        let greeting = greeting.encode();
        let said = Transcript::new(&hello, &greeting);
        let ours = Proof::of(local.secret.as_ref(), End::Answerer, &said);
        self.say(FrameKind::Greeting, &greeting).await?;
        self.say(FrameKind::Proof, &ours.encode()).await?;
        let proof = self.hear(FrameKind::Proof).await?;
        Proof::decode(&proof)
            .and_then(|proof| proof.check(local.secret.as_ref(), End::Caller, &said))
            .and_then(|()| welcome(&caller))
            .map_err(PeerError::Refusing)?;
        self.say(FrameKind::Welcome, &[]).await?;
        Ok(Agreed {
            peer: caller.from,
            purpose: caller.purpose,
            process: caller.process,
            version,
        })
    }

    /// Turns the line into a connection, or tells the other end why not.
    async fn conclude(
        mut self,
        judged: Result<Agreed, PeerError>,
    ) -> Result<PeerConnection, PeerError> {
        let error = match judged {
            Ok(Agreed {
                peer,
                purpose,
                process,
                version,
            }) => {
                return Ok(PeerConnection {
                    stream: self.stream,
                    incoming: self.incoming,
                    peer,
                    purpose,
                    process,
                    version,
                });
            }
            Err(error) => error,
        };
        let reason = match &error {
            PeerError::Refusing(refusal) => refusal.clone(),
            nonsense if nonsense.is_malformed() => HandshakeError::Malformed,
            _ => return Err(error),
        };
        // Whether it still listens is its affair.
        let farewell = timeout(FAREWELL_WITHIN, self.refuse(&reason)).await;
        drop(farewell);
        Err(error)
    }

    /// Says why, and waits until the other end has read it: a connection closed with bytes unread takes it along.
    async fn refuse(&mut self, reason: &HandshakeError) -> Result<(), PeerError> {
        self.say(FrameKind::Refusal, &reason.encode()).await?;
        self.stream.shutdown().await.map_err(PeerError::Socket)?;
        let mut rest = [0; 512];
        while self
            .stream
            .read(&mut rest)
            .await
            .map_err(PeerError::Socket)?
            != 0
        {}
        Ok(())
    }

    async fn say(&mut self, kind: FrameKind, body: &[u8]) -> Result<(), PeerError> {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, kind, |to| to.put_slice(body));
        self.stream
            .write_all(&bytes)
            .await
            .map_err(PeerError::Socket)
    }

    /// Waits as long as the whole handshake may take, which is the caller's to watch.
    async fn hear(&mut self, expected: FrameKind) -> Result<Bytes, PeerError> {
        let frame = next_frame(
            &mut self.stream,
            &mut self.incoming,
            HANDSHAKE_BYTES_MAX,
            Duration::MAX,
        )
        .await?;
        match frame {
            Some(frame) if frame.kind == expected => Ok(frame.body),
            Some(frame) if frame.kind == FrameKind::Refusal => {
                Err(PeerError::Refused(HandshakeError::decode(&frame.body)))
            }
            Some(frame) => Err(PeerError::Unexpected(frame.kind)),
            None => Err(PeerError::Closed),
        }
    }
}

impl PeerConnection {
    /// The next frame; `None` when the other end is done.
    ///
    /// # Errors
    /// [`PeerError`], also after `silence_max` without a byte: the connection is over.
    ///
    /// # Cancel safety
    /// What has arrived is kept.
    pub(super) async fn next(
        &mut self,
        silence_max: Duration,
    ) -> Result<Option<PeerFrame>, PeerError> {
        next_frame(
            &mut self.stream,
            &mut self.incoming,
            FRAME_BYTES_MAX,
            silence_max,
        )
        .await
    }

    /// Sends frames that were put together, all of them.
    ///
    /// # Errors
    /// [`PeerError`], also when the other end takes nothing for a second: the connection is over.
    pub(super) async fn send(&mut self, mut frames: &[u8]) -> Result<(), PeerError> {
        while !frames.is_empty() {
            let written = timeout(DEAD_AFTER, self.stream.write(frames)).await;
            let written = written.map_err(|_| PeerError::Stalled(DEAD_AFTER))?;
            match written.map_err(PeerError::Socket)? {
                0 => return Err(PeerError::Closed),
                written => frames = &frames[written..],
            }
        }
        Ok(())
    }
}

async fn next_frame(
    stream: &mut TcpStream,
    incoming: &mut BytesMut,
    bytes_max: usize,
    silence_max: Duration,
) -> Result<Option<PeerFrame>, PeerError> {
    loop {
        let wanted = match incoming.first_chunk::<FRAME_HEAD_BYTES>() {
            Some(head) => FRAME_HEAD_BYTES + body_len(*head, bytes_max)?,
            None => FRAME_HEAD_BYTES,
        };
        if FRAME_HEAD_BYTES < wanted && wanted <= incoming.len() {
            let mut bytes = incoming.split_to(wanted).freeze();
            let head = *bytes
                .split_to(FRAME_HEAD_BYTES)
                .first_chunk()
                .expect("split off as many");
            return Ok(Some(read_frame(head, bytes)?));
        }
        incoming.reserve((wanted - incoming.len()).min(READ_BYTES));
        let read = timeout(silence_max, stream.read_buf(incoming)).await;
        let read = read.map_err(|_| PeerError::Stalled(silence_max))?;
        match read.map_err(PeerError::Socket)? {
            0 if incoming.is_empty() => return Ok(None),
            0 => return Err(PeerError::Closed),
            _ => {}
        }
    }
}

fn nonce() -> Nonce {
    rand::random()
}

#[cfg(test)]
mod tests;
