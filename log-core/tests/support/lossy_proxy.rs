//! Stands between a client and its broker, and breaks the connection instead of passing on the first answer to Produce.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::task::JoinSet;

/// Passes nothing on before it is told where to: the broker must know the proxy's address to advertise it.
pub struct LossyProxy {
    listener: TcpListener,
}

/// Runs until it is dropped.
pub struct RunningProxy {
    has_lost: Arc<AtomicBool>,
    _connections: JoinSet<()>,
}

impl LossyProxy {
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    pub fn pass_to(self, broker: String) -> RunningProxy {
        let has_lost = Arc::new(AtomicBool::new(false));
        let mut connections = JoinSet::new();
        connections.spawn(accept(self.listener, broker, Arc::clone(&has_lost)));
        RunningProxy {
            has_lost,
            _connections: connections,
        }
    }
}

impl RunningProxy {
    pub fn has_lost_an_answer(&self) -> bool {
        self.has_lost.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, broker: String, has_lost: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let broker = TcpStream::connect(&broker).await.expect("connects");
        connections.spawn(pass(client, broker, Arc::clone(&has_lost)));
    }
}

/// Whichever side ends first ends both.
async fn pass(client: TcpStream, broker: TcpStream, has_lost: Arc<AtomicBool>) {
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let produces = Mutex::new(BTreeSet::new());
    tokio::select! {
        () = pass_requests(from_client, to_broker, &produces) => {}
        () = pass_answers(from_broker, to_client, &produces, &has_lost) => {}
    }
}

async fn pass_requests(
    mut client: tcp::OwnedReadHalf,
    mut broker: tcp::OwnedWriteHalf,
    produces: &Mutex<BTreeSet<[u8; 4]>>,
) {
    while let Some(frame) = frame(&mut client).await {
        // Behind the length: the API's key, its version, the correlation id.
        if frame[4..6] == (ApiKey::Produce as i16).to_be_bytes() {
            let correlation_id = frame[8..12].try_into().expect("four bytes");
            produces.lock().expect("no panic").insert(correlation_id);
        }
        if broker.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(
    mut broker: tcp::OwnedReadHalf,
    mut client: tcp::OwnedWriteHalf,
    produces: &Mutex<BTreeSet<[u8; 4]>>,
    has_lost: &AtomicBool,
) {
    while let Some(frame) = frame(&mut broker).await {
        let answers_produce = produces.lock().expect("no panic").remove(&frame[4..8]);
        if answers_produce && !has_lost.swap(true, Ordering::SeqCst) {
            return;
        }
        if client.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// The next frame with its length in front; `None` when the sender has closed.
pub async fn frame(sender: &mut tcp::OwnedReadHalf) -> Option<Vec<u8>> {
    let length = sender.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    sender.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}
