//! One client's connection: requests in, answers out in the same order.
//!
//! A request is handled when those before it are answered, as Kafka does. Only produces are begun as they arrive, so
//! that a pipelining producer does not wait a sync for each; their answers keep their places. What is under way is
//! bounded in number ([`REQUESTS_MAX`]) and in bytes (`request_memory`); at the bound the socket is not read.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use service_kit::bounds::Place;
use service_kit::clock;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::answer;
use super::answer_memory::AnswerBytes;
use super::frame_reader::{FrameReader, ReadError};
use super::metrics;
use super::request_memory::{ConnectionMemory, Held};
use super::request_outcome::RequestOutcome;
use super::service::{Client, Service};
use crate::node::Leadership;
use crate::wire::{self, DecodeError, EncodeError, Incoming, Reply, encode_response};

/// Requests under way on one connection. librdkafka keeps up to a million, Java five; more than this gain nothing,
/// since all that wait are synced together.
const REQUESTS_MAX: usize = 256;
/// How long the client may take no byte of an answer before it counts as gone.
const WRITE_STALLED_AFTER: Duration = Duration::from_secs(30);
/// An answer that its client has not taken after so long no longer keeps the connection's place: it may have to make room.
const WRITE_WORKS_FOR: Duration = Duration::from_secs(1);
/// How long a client may go on asking a node that knows no leader. Shorter closes connections in an election, which
/// takes about half of it; longer keeps a client from the other nodes, when it is this one that is cut off: librdkafka
/// asks whom it is connected to for as long as it is answered.
const LEADERLESS_MAX: Duration = Duration::from_secs(1);

/// Why a connection was closed by us.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("a produce with acks=0 was refused")]
    UnansweredProduceRefused,
    #[error(
        "the client asked for {LEADERLESS_MAX:?} and no leader is known: another node may know one"
    )]
    Leaderless,
    #[error("an answer was not taken for {WRITE_STALLED_AFTER:?}")]
    WriteStalled,
    #[error("an answer was taken slowly, and others needed the memory it held")]
    SlowReader,
    #[error("write an answer")]
    Write(#[source] io::Error),
}

/// A request's place in the line of answers.
struct Queued {
    correlation_id: i32,
    version: i16,
    answer: BoxFuture<'static, RequestOutcome>,
    _memory: Held,
    _under_way: Arc<UnderWay>,
}

/// Held by each request until its answer is written. While there is one, the connection works and makes room for no other.
struct UnderWay(Arc<Place>);

impl UnderWay {
    /// Another request beside those that are under way. None: the connection was told to make room.
    fn join(others: &mut Weak<Self>, place: &Arc<Place>) -> Option<Arc<Self>> {
        if let Some(others) = others.upgrade() {
            return Some(others);
        }
        let first = place.work().then(|| Arc::new(Self(Arc::clone(place))))?;
        *others = Arc::downgrade(&first);
        Some(first)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.wait(clock::steady());
    }
}

/// Serves one connection until either side is done.
///
/// # Errors
/// [`ConnectionError`] when it was closed by us; the peer going away is none.
pub(super) async fn serve(
    service: Arc<Service>,
    stream: TcpStream,
    peer: SocketAddr,
    memory: ConnectionMemory,
    place: Arc<Place>,
) -> Result<(), ConnectionError> {
    let (read_half, write_half) = stream.into_split();
    let config = service.config();
    let reader = FrameReader::new(
        read_half,
        memory,
        config.socket_request_max_bytes,
        config.connections_max_idle,
    );
    let (in_line, line) = mpsc::channel(REQUESTS_MAX);
    let client = Client {
        address: peer,
        id: String::new(),
    };
    let answering = answer_in_order(&service, line, write_half, &place);
    tokio::pin!(answering);
    tokio::select! {
        read = read_requests(&service, &client, reader, in_line, &place) => match read? {
            // What was asked before a shutdown is still answered; the broker bounds how long.
            Ended::Shutdown => answering.await,
            Ended::ByPeer => Ok(()),
        },
        written = &mut answering => written,
    }
}

enum Ended {
    ByPeer,
    Shutdown,
}

async fn read_requests<R: tokio::io::AsyncRead + Unpin>(
    service: &Arc<Service>,
    client: &Client,
    mut reader: FrameReader<R>,
    in_line: mpsc::Sender<Queued>,
    place: &Arc<Place>,
) -> Result<Ended, ConnectionError> {
    let mut under_way = Weak::new();
    let mut leaderless = Leaderless::default();
    loop {
        let frame = tokio::select! {
            frame = reader.next() => frame,
            () = service.shutdown().cancelled() => return Ok(Ended::Shutdown),
        };
        let frame = match frame {
            Err(ReadError::Idle(_)) if 0 < Weak::strong_count(&under_way) => continue,
            frame => frame?,
        };
        let Some((frame, memory)) = frame else {
            return Ok(Ended::ByPeer);
        };
        metrics::received(frame.len());
        let Some(joined) = UnderWay::join(&mut under_way, place) else {
            return Ok(Ended::ByPeer);
        };
        leaderless.asked(service.replica().leadership(), service.clock().elapsed())?;
        let incoming = wire::decode_request(frame);
        if let Err(error) = &incoming {
            tell_of_unserved(service, client, error);
        }
        let (correlation_id, version, answer) = begin(service, client, incoming?).await;
        let queued = Queued {
            correlation_id,
            version,
            answer,
            _memory: memory,
            _under_way: joined,
        };
        if in_line.send(queued).await.is_err() {
            return Ok(Ended::ByPeer);
        }
    }
}

/// The client sees its connection closed, and no reason: only here can an operator find out that it asks for what is not
/// served.
fn tell_of_unserved(service: &Service, client: &Client, error: &DecodeError) {
    let DecodeError::Unserved {
        key,
        version,
        client_id,
    } = error
    else {
        return;
    };
    if service.note_unserved(*key, *version) {
        warn!(key, version, client_id, peer = %client.address, "closed: api or version not served");
    }
}

/// Since when the requests of a connection have found no leader.
#[derive(Default)]
struct Leaderless {
    since: Option<Duration>,
}

impl Leaderless {
    /// Notes a request. One alone is always answered: an operator may want to know what a node that is cut off says.
    fn asked(&mut self, found: Leadership, now: Duration) -> Result<(), ConnectionError> {
        if !matches!(found, Leadership::Follower { leader: None }) {
            self.since = None;
            return Ok(());
        }
        let since = *self.since.get_or_insert(now);
        if now - since < LEADERLESS_MAX {
            return Ok(());
        }
        Err(ConnectionError::Leaderless)
    }
}

async fn begin(
    service: &Arc<Service>,
    client: &Client,
    incoming: Incoming,
) -> (i32, i16, BoxFuture<'static, RequestOutcome>) {
    match incoming {
        Incoming::Request(request) => {
            let (correlation_id, version) = (request.correlation_id, request.version);
            (
                correlation_id,
                version,
                answer::begin(service, client, *request).await,
            )
        }
        Incoming::UnknownApiVersions { correlation_id } => (
            correlation_id,
            0,
            Box::pin(async { answer::unknown_api_versions() }),
        ),
    }
}

async fn answer_in_order<W: AsyncWrite + Unpin>(
    service: &Service,
    mut line: mpsc::Receiver<Queued>,
    mut socket: W,
    place: &Place,
) -> Result<(), ConnectionError> {
    while let Some(Queued {
        correlation_id,
        version,
        answer,
        _memory,
        _under_way,
    }) = line.recv().await
    {
        match answer.await {
            RequestOutcome::Body(body) => {
                let reply = encode_response(correlation_id, version, &body)?;
                let memory = service.answers().none();
                write_or_wait(service, &mut socket, reply, memory, place).await?;
            }
            RequestOutcome::Records(body, memory) => {
                let reply = encode_response(correlation_id, version, &body)?;
                drop(body);
                write_or_wait(service, &mut socket, reply, memory, place).await?;
            }
            RequestOutcome::Nothing => {}
            RequestOutcome::Close => return Err(ConnectionError::UnansweredProduceRefused),
        }
    }
    Ok(())
}

/// A client that is slow to take its answer is waited for, as one that asks for nothing is.
async fn write_or_wait<W: AsyncWrite + Unpin>(
    service: &Service,
    socket: &mut W,
    reply: Reply,
    memory: AnswerBytes,
    place: &Place,
) -> Result<(), ConnectionError> {
    let writing = write(service, socket, reply, memory);
    tokio::pin!(writing);
    if let Ok(written) = timeout(WRITE_WORKS_FOR, writing.as_mut()).await {
        return written;
    }
    place.wait(clock::steady());
    let written = writing.await;
    place.work();
    written
}

async fn write<W: AsyncWrite + Unpin>(
    service: &Service,
    socket: &mut W,
    reply: Reply,
    memory: AnswerBytes,
) -> Result<(), ConnectionError> {
    metrics::sent(reply.len());
    let write = memory.write(reply.len(), service.clock().elapsed());
    let mut bytes = reply.into_buf();
    while bytes::Buf::has_remaining(&bytes) {
        let written = tokio::select! {
            written = timeout(WRITE_STALLED_AFTER, socket.write_buf(&mut bytes)) => written,
            () = write.closed() => return Err(ConnectionError::SlowReader),
        };
        let written = written.map_err(|_| ConnectionError::WriteStalled)?;
        let written = written.map_err(ConnectionError::Write)?;
        if written == 0 {
            return Err(ConnectionError::Write(io::ErrorKind::WriteZero.into()));
        }
        write.note_written(written);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_asking_a_node_without_a_leader_is_sent_to_another() {
        let nobody = Leadership::Follower { leader: None };
        let mut leaderless = Leaderless::default();

        assert!(leaderless.asked(nobody, Duration::from_secs(5)).is_ok());
        assert!(
            leaderless
                .asked(nobody, Duration::from_millis(5_900))
                .is_ok()
        );
        assert!(
            leaderless
                .asked(Leadership::Starting, Duration::from_secs(6))
                .is_ok()
        );
        assert!(leaderless.asked(nobody, Duration::from_secs(7)).is_ok());

        let sent_away = leaderless.asked(nobody, Duration::from_secs(8));
        assert!(matches!(sent_away, Err(ConnectionError::Leaderless)));
    }
}
