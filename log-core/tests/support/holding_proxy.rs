//! Stands between clients and a broker, and holds their requests for committed offsets until it is told to let them go.

use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::lossy_proxy::frame;

/// What several proxies wait for.
pub struct Gate {
    came: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub fn closed() -> Arc<Self> {
        Arc::new(Self {
            came: Semaphore::new(0),
            open: Semaphore::new(0),
        })
    }

    /// Until a request is held.
    pub async fn holds_one(&self) {
        drop(self.came.acquire().await);
    }

    /// Lets go what is held, and what comes later.
    pub fn open(&self) {
        self.open.close();
    }

    async fn wait(&self) {
        self.came.add_permits(1);
        drop(self.open.acquire().await);
    }
}

/// Has an address before its broker, which advertises it.
pub struct HoldingProxy {
    listener: TcpListener,
    gate: Arc<Gate>,
}

impl HoldingProxy {
    pub async fn bind(gate: &Arc<Gate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self {
            listener,
            gate: Arc::clone(gate),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// Runs until it is dropped.
    pub async fn pass_to(self, broker: SocketAddr) {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = self.listener.accept().await {
            // Where the broker does not listen, nor does its proxy.
            if let Ok(broker) = TcpStream::connect(broker).await {
                connections.spawn(pass(client, broker, Arc::clone(&self.gate)));
            }
        }
    }
}

/// Whichever side ends first ends both.
async fn pass(client: TcpStream, broker: TcpStream, gate: Arc<Gate>) {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_broker, to_broker) = broker.into_split();
    tokio::select! {
        () = pass_requests(from_client, to_broker, &gate) => {}
        _ = copy(&mut from_broker, &mut to_client) => {}
    }
}

async fn pass_requests(
    mut client: tcp::OwnedReadHalf,
    mut broker: tcp::OwnedWriteHalf,
    gate: &Gate,
) {
    while let Some(frame) = frame(&mut client).await {
        if frame[4..6] == (ApiKey::OffsetFetch as i16).to_be_bytes() {
            gate.wait().await;
        }
        if broker.write_all(&frame).await.is_err() {
            return;
        }
    }
}
