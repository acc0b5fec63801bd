//! The shell: tasks, timers and sockets that run the deciders.
//!
//! [`Broker`] is a whole node: it opens the data folder, runs the replica on threads of its own, and serves Kafka
//! clients and the operator on two listeners. No rules here: an `if` about epochs belongs in the rooms below.

mod admin;
mod answer;
mod config;
mod connection;
mod coordinator;
mod disk_room;
mod error_code;
mod followers;
mod frame_reader;
mod handlers;
mod housekeeping;
mod journal_group;
mod journal_thread;
mod listener;
mod metrics;
mod node;
pub mod peers;
mod quorum;
mod recorded_group;
mod registration;
mod replica;
mod replica_handle;
mod replica_thread;
mod request_memory;
mod retention;
mod service;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;
mod start_error;
mod voter_plan;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use self::config::{Advertised, Config};
pub use self::node::NodeError;
pub use self::quorum::{Quorum, QuorumMember};
pub use self::replica_handle::{
    AppliedOutcome, Cluster, Leadership, Outcome, Pending, ProposeError, ReplicaHandle,
};
pub use self::replica_thread::BrokerStopped;
pub use self::start_error::StartError;

use self::coordinator::Coordinator;
use self::listener::Listener;
use self::node::{Limits, Node, NodeConfig};
use self::peers::{Peers, SnapshotFetcher};
use self::replica_thread::Neighbours;
use self::service::Service;
use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, SystemDisk};

/// A running node. Dropped without [`Broker::shutdown`] it stops too, but nobody waits for it.
pub struct Broker {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    node: Node,
    /// Stops the doors: no new connections, long polls answer.
    doors: CancellationToken,
    /// Stops the node; cancelled by the node itself when it cannot go on.
    node_stop: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
    /// Cancels both when the broker is dropped.
    _on_drop: [DropGuard; 2],
}

impl Broker {
    /// Opens the data folder, recovers, and serves. Returns when clients are served.
    ///
    /// # Errors
    /// [`StartError`]; nothing is running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(StartError::Settings { mistakes });
        }
        let doors = Doors::open(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let node_stop = CancellationToken::new();
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let node = start_node(
            &config,
            Arc::clone(&disk),
            Arc::clone(&clock),
            node_stop.clone(),
        )
        .await?;
        let advertised = config.advertised_for(doors.address);
        make_known(&node.handle, &advertised, &node_stop).await?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (coordinator, groups) =
            Coordinator::new(node.handle.clone(), Arc::clone(&clock), config.group);
        tasks.spawn(coordinator.run(stop.clone()));
        let service = Service::new(
            config.clone(),
            advertised,
            node.handle.clone(),
            groups,
            Arc::clone(&clock),
            stop.clone(),
        );
        let service = Arc::new(service);
        housekeeping::spawn(&service, &tasks);
        tasks.spawn(disk_room::watch(
            node.handle.clone(),
            disk,
            config.data.clone(),
            clock,
            stop.clone(),
        ));
        let (address, admin_address) = (doors.address, doors.admin_address);
        doors.serve(service, &config, &tasks);
        tasks.spawn(close_doors_with_node(node_stop.clone(), stop.clone()));
        let grace = config.shutdown_grace;
        let on_drop = [stop.clone().drop_guard(), node_stop.clone().drop_guard()];
        Ok(Self {
            address,
            admin_address,
            node,
            doors: stop,
            node_stop,
            tasks,
            grace,
            _on_drop: on_drop,
        })
    }

    /// Where Kafka clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the operator looks, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Waits until the broker has stopped by itself: a disk that fails, an invariant that broke.
    pub async fn stopped(&self) {
        self.node_stop.cancelled().await;
    }

    /// Ends in order: no new connections or requests, answers to what is under way (within
    /// [`Config::shutdown_grace`]), the journal synced, the folder free.
    ///
    /// # Errors
    /// [`BrokerStopped`] when it had already stopped by itself; what was acknowledged is on disk all the same.
    pub async fn shutdown(self) -> Result<(), BrokerStopped> {
        self.doors.cancel();
        self.tasks.close();
        if timeout(self.grace, self.tasks.wait()).await.is_err() {
            warn!(
                connections = self.tasks.len(),
                "answers were still under way after the grace period"
            );
        }
        self.node_stop.cancel();
        let joined = tokio::task::spawn_blocking(move || self.node.join()).await;
        joined.expect("the node's threads are joined, not panicked through")
    }
}

/// The sockets, before anybody is served.
struct Doors {
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<TcpListener>,
    admin_address: Option<SocketAddr>,
}

impl Doors {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let address = config.listen;
        if !address.ip().is_loopback() {
            if !config.insecure_log {
                return Err(StartError::InsecureAddress { address });
            }
            warn!(%address, "INSECURE: whoever reaches this port reads and writes everything");
        }
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (admin, admin_address) = open_admin(config.admin).await?;
        Ok(Self {
            listener,
            address,
            admin,
            admin_address,
        })
    }

    fn serve(self, service: Arc<Service>, config: &Config, tasks: &TaskTracker) {
        if let Some(admin) = self.admin {
            let (replica, stop) = (service.replica().clone(), service.shutdown().clone());
            tasks.spawn(admin::serve(admin, replica, config.metrics.clone(), stop));
        }
        tasks.spawn(metrics::follow_applied(
            service.replica().applied(),
            service.shutdown().clone(),
        ));
        tasks.spawn(Listener::new(self.listener, service).run(tasks.clone()));
    }
}

async fn open_admin(
    address: Option<SocketAddr>,
) -> Result<(Option<TcpListener>, Option<SocketAddr>), StartError> {
    let Some(address) = address else {
        return Ok((None, None));
    };
    let failed = |source| StartError::AdminListen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((Some(listener), Some(bound)))
}

async fn start_node(
    config: &Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<Node, StartError> {
    let node = NodeConfig {
        data: config.data.clone(),
        node: config.node_id,
        storage: config.storage,
        limits: Limits {
            checkpoint_bytes: config.checkpoint_bytes,
            disk_reserve_bytes: config.disk_reserve_bytes,
        },
    };
    let (peers, incoming) = Peers::none();
    let neighbours = Neighbours {
        peers,
        incoming,
        fetcher: SnapshotFetcher::none(),
    };
    let started =
        tokio::task::spawn_blocking(move || Node::start(&node, &disk, clock, neighbours, stop));
    Ok(started.await.map_err(|_| StartError::Ended)??)
}

/// Waits until this node leads and the cluster knows where its clients find it.
async fn make_known(
    replica: &ReplicaHandle,
    advertised: &Advertised,
    stopped: &CancellationToken,
) -> Result<(), StartError> {
    tokio::select! {
        () = registration::register(replica, advertised) => Ok(()),
        () = stopped.cancelled() => Err(StartError::Ended),
    }
}

async fn close_doors_with_node(node_stop: CancellationToken, doors: CancellationToken) {
    tokio::select! {
        () = node_stop.cancelled() => doors.cancel(),
        () = doors.cancelled() => {}
    }
}
