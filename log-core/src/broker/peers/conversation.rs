//! A connection between two nodes that have made sure of each other, and how it comes about.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Frame, FrameError, FrameKind, HANDSHAKE_BYTES_MAX, body_len,
    put_frame, read_frame,
};
use super::handshake::{
    Greeting, Hello, Name, Nonce, Proof, Purpose, Refusal, Said, Wanted, judge_answerer,
    judge_caller,
};
use super::secret::End;
use super::us::Us;

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
pub(super) enum TalkError {
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
    Refused(Refusal),
    /// This end refuses.
    #[error("refused: {0}")]
    Refusing(Refusal),
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

impl TalkError {
    /// Whether the other end said what no node says, rather than nothing.
    pub(super) fn is_nonsense(&self) -> bool {
        matches!(
            self,
            Self::Frame(_) | Self::Unexpected(_) | Self::Unreadable
        )
    }
}

/// A connection on which both ends know who the other is.
pub(super) struct Conversation {
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
/// [`TalkError`]: there is no connection.
pub(super) async fn call(
    us: &Us,
    address: &str,
    wanted: Wanted,
    purpose: Purpose,
) -> Result<Conversation, TalkError> {
    let stream = connect(address).await?;
    prepare(&stream).map_err(TalkError::Socket)?;
    let mut line = Line::new(stream);
    let shaken = timeout(HANDSHAKE_WITHIN, line.introduce(us, wanted, purpose));
    let judged = shaken.await.map_err(|_| TalkError::Silent)?;
    line.conclude(judged).await
}

/// Answers a caller. One that has proved itself must still be `welcome`.
///
/// # Errors
/// [`TalkError`]: there is no connection.
pub(super) async fn answer(
    us: &Us,
    stream: TcpStream,
    welcome: impl Fn(&Hello) -> Result<(), Refusal>,
) -> Result<Conversation, TalkError> {
    prepare(&stream).map_err(TalkError::Socket)?;
    let mut line = Line::new(stream);
    let shaken = timeout(HANDSHAKE_WITHIN, line.greet(us, welcome));
    let judged = shaken.await.map_err(|_| TalkError::Silent)?;
    line.conclude(judged).await
}

/// Connects to one of the addresses that a name has, another one first each time: one that swallows everything must not
/// use up the time of the others for ever.
async fn connect(address: &str) -> Result<TcpStream, TalkError> {
    let found = timeout(RESOLVE_WITHIN, tokio::net::lookup_host(address)).await;
    let found = found.map_err(|_| TalkError::NoName)?;
    let mut found: Vec<_> = found.map_err(TalkError::Resolve)?.collect();
    if found.is_empty() {
        return Err(TalkError::NoName);
    }
    let first = rand::random_range(0..found.len());
    found.rotate_left(first);
    let connecting = timeout(CONNECT_WITHIN, TcpStream::connect(&found[..])).await;
    let connected = connecting.map_err(|_| TalkError::NoAnswer)?;
    connected.map_err(TalkError::Connect)
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

/// A connection on which nobody knows yet who the other is.
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
        us: &Us,
        wanted: Wanted,
        purpose: Purpose,
    ) -> Result<Agreed, TalkError> {
        let name = us.name();
        let hello = Hello {
            purpose,
            from: name.clone(),
            to: wanted,
            process: us.process,
            nonce: nonce(),
        };
        let hello = hello.encode();
        self.say(FrameKind::Hello, &hello).await?;
        let (greeting, proof) = self.hear_greeting().await?;
        let (version, answerer) = Greeting::decode(&greeting).map_err(TalkError::Refusing)?;
        judge_answerer(&name, wanted, &answerer).map_err(TalkError::Refusing)?;
        let said = Said::new(&hello, &greeting);
        proof
            .check(us.secret.as_ref(), End::Answerer, &said)
            .map_err(TalkError::Refusing)?;
        let ours = Proof::of(us.secret.as_ref(), End::Caller, &said);
        self.say(FrameKind::Proof, &ours.encode()).await?;
        self.hear(FrameKind::Welcome).await?;
        Ok(Agreed {
            peer: answerer.from,
            purpose,
            process: us.process,
            version,
        })
    }

    async fn hear_greeting(&mut self) -> Result<(Bytes, Proof), TalkError> {
        let greeting = self.hear(FrameKind::Greeting).await?;
        let proof = self.hear(FrameKind::Proof).await?;
        let proof = Proof::decode(&proof).map_err(TalkError::Refusing)?;
        Ok((greeting, proof))
    }

    /// The answerer's side.
    async fn greet(
        &mut self,
        us: &Us,
        welcome: impl Fn(&Hello) -> Result<(), Refusal>,
    ) -> Result<Agreed, TalkError> {
        let name = us.name();
        let hello = self.hear(FrameKind::Hello).await?;
        let (version, caller) = Hello::decode(&hello).map_err(TalkError::Refusing)?;
        judge_caller(&name, us.process, &caller).map_err(TalkError::Refusing)?;
        let greeting = Greeting {
            from: name,
            nonce: nonce(),
        };
        let greeting = greeting.encode();
        let said = Said::new(&hello, &greeting);
        let ours = Proof::of(us.secret.as_ref(), End::Answerer, &said);
        self.say(FrameKind::Greeting, &greeting).await?;
        self.say(FrameKind::Proof, &ours.encode()).await?;
        let proof = self.hear(FrameKind::Proof).await?;
        Proof::decode(&proof)
            .and_then(|proof| proof.check(us.secret.as_ref(), End::Caller, &said))
            .and_then(|()| welcome(&caller))
            .map_err(TalkError::Refusing)?;
        self.say(FrameKind::Welcome, &[]).await?;
        Ok(Agreed {
            peer: caller.from,
            purpose: caller.purpose,
            process: caller.process,
            version,
        })
    }

    /// Turns the line into a conversation, or tells the other end why not.
    async fn conclude(
        mut self,
        judged: Result<Agreed, TalkError>,
    ) -> Result<Conversation, TalkError> {
        let error = match judged {
            Ok(Agreed {
                peer,
                purpose,
                process,
                version,
            }) => {
                return Ok(Conversation {
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
            TalkError::Refusing(refusal) => refusal.clone(),
            nonsense if nonsense.is_nonsense() => Refusal::Nonsense,
            _ => return Err(error),
        };
        // Whether it still listens is its affair.
        let farewell = timeout(FAREWELL_WITHIN, self.refuse(&reason)).await;
        drop(farewell);
        Err(error)
    }

    /// Says why, and waits until the other end has read it: a connection closed with bytes unread takes it along.
    async fn refuse(&mut self, reason: &Refusal) -> Result<(), TalkError> {
        self.say(FrameKind::Refusal, &reason.encode()).await?;
        self.stream.shutdown().await.map_err(TalkError::Socket)?;
        let mut rest = [0; 512];
        while self
            .stream
            .read(&mut rest)
            .await
            .map_err(TalkError::Socket)?
            != 0
        {}
        Ok(())
    }

    async fn say(&mut self, kind: FrameKind, body: &[u8]) -> Result<(), TalkError> {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, kind, |to| to.put_slice(body));
        self.stream
            .write_all(&bytes)
            .await
            .map_err(TalkError::Socket)
    }

    /// Waits as long as the whole handshake may take, which is the caller's to watch.
    async fn hear(&mut self, expected: FrameKind) -> Result<Bytes, TalkError> {
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
                Err(TalkError::Refused(Refusal::decode(&frame.body)))
            }
            Some(frame) => Err(TalkError::Unexpected(frame.kind)),
            None => Err(TalkError::Closed),
        }
    }
}

impl Conversation {
    /// The next frame; `None` when the other end is done.
    ///
    /// # Errors
    /// [`TalkError`], also after `silence_max` without a byte: the connection is over.
    ///
    /// # Cancel safety
    /// What has arrived is kept.
    pub(super) async fn next(&mut self, silence_max: Duration) -> Result<Option<Frame>, TalkError> {
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
    /// [`TalkError`], also when the other end takes nothing for a second: the connection is over.
    pub(super) async fn send(&mut self, mut frames: &[u8]) -> Result<(), TalkError> {
        while !frames.is_empty() {
            let written = timeout(DEAD_AFTER, self.stream.write(frames)).await;
            let written = written.map_err(|_| TalkError::Stalled(DEAD_AFTER))?;
            match written.map_err(TalkError::Socket)? {
                0 => return Err(TalkError::Closed),
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
) -> Result<Option<Frame>, TalkError> {
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
        let read = read.map_err(|_| TalkError::Stalled(silence_max))?;
        match read.map_err(TalkError::Socket)? {
            0 if incoming.is_empty() => return Ok(None),
            0 => return Err(TalkError::Closed),
            _ => {}
        }
    }
}

fn nonce() -> Nonce {
    rand::random()
}

#[cfg(test)]
mod tests;
