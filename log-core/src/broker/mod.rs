//! The shell: tasks, timers and sockets that run the deciders.
//!
//! [`Broker`] is a whole node: it opens the data folder, runs the replica on threads of its own, and serves Kafka
//! clients and the operator on two listeners. No rules here: an `if` about epochs belongs in the rooms below.

mod answer;
mod answer_memory;
mod broker_stopped;
mod config;
mod connection;
mod disk_watch;
mod ending;
mod error_code;
mod frame_reader;
mod handlers;
mod journal_thread;
mod listener;
mod metrics;
mod node;
mod node_handle;
mod node_thread;
mod node_view;
pub mod peers;
mod readiness;
mod registration;
mod request_memory;
mod request_outcome;
pub mod restore;
mod service;
mod start_error;
mod unserved_requests;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use journal::disk::{Disk, SystemDisk};
use service_kit::admin;
use service_kit::clock::Clock;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use self::broker_stopped::BrokerStopped;
pub use self::config::{Advertised, Config};
pub use self::node_handle::NodeHandle;
pub use self::readiness::Readiness;
pub use self::start_error::StartError;

use self::ending::Ending;
use self::listener::Listener;
use self::node::{Bootstrap, DataFolder, Node, NodeConfig};
use self::node_thread::ClusterLinks;
use self::peers::{PeerSettings, Peers};
use self::registration::Addresses;
use self::service::Service;
use crate::consensus::Message;
use crate::node::due::Remembered;
use crate::node::{HousekeepingConfig, Limits};
pub use crate::node::{Leadership, NodeError};
use crate::storage::Identity;

/// A running node. Dropped without [`Broker::shutdown`] it stops too, but nothing waits for it.
pub struct Broker {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    node: Node,
    peers: Peers,
    tokens: ShutdownTokens,
    grace: Duration,
}

impl Broker {
    /// Opens the data folder, recovers, and serves. Returns when clients are served: a node with peers first becomes part
    /// of a cluster with them, which takes until all of them are there.
    ///
    /// # Errors
    /// [`StartError`]; nothing is running then.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, all that it began ends.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(StartError::Settings { mistakes });
        }
        let listeners = Listeners::open(&config).await?;
        let (address, admin_address) = (listeners.address, listeners.admin_address);
        let addresses = Addresses {
            clients: config.advertised_for(address),
            peers: listeners.peers.as_ref().map(|(_, told)| told.clone()),
        };
        let tokens = ShutdownTokens::begin();
        let readiness = config.readiness.clone();
        readiness.wait_for("starting");
        if let Some(listener) = listeners.admin {
            let (readiness, metrics) = (readiness.clone(), config.metrics.clone());
            let (tasks, stop) = (tokens.tasks.clone(), tokens.listeners.clone());
            let readyz = move || readiness.report();
            let serving = admin::serve(listener, metrics, readyz, tasks, stop);
            tokens.tasks.spawn(serving);
        }
        let world = World {
            clock: Clock::start(),
            disk: Arc::new(SystemDisk),
        };
        let (node, peers) = start_node(&config, &world, listeners.peers, &tokens).await?;
        let service = serve_clients(&config, &world, &node, &peers, &addresses, &tokens);
        if config.peer_listen.is_some() {
            let staying =
                registration::stay_registered(node.handle.clone(), peers.clone(), addresses);
            let stop = tokens.listeners.clone();
            tokens.tasks.spawn(async move {
                stop.run_until_cancelled(staying).await;
            });
            let all_known = until(&node.handle, is_all_known);
            drop(timeout(SERVED_ANYHOW_AFTER, all_known).await);
        } else {
            let known = make_known(&config, &node.handle, &peers, &addresses, &tokens.ending).await;
            if let Err(error) = known {
                // The same folder may be opened again at once.
                tokens.node.cancel();
                drop(spawn_blocking(move || node.join()).await);
                return Err(error);
            }
        }
        let listener = listeners
            .clients
            .listen(BACKLOG)
            .map_err(|source| StartError::Listen { address, source })?;
        tokens
            .tasks
            .spawn(Listener::new(listener, service).run(tokens.tasks.clone()));
        // A balancer that sends clients here by it finds the port open.
        readiness.run(node.handle.clone());
        Ok(Self {
            address,
            admin_address,
            node,
            peers,
            tokens,
            grace: config.shutdown_grace,
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

    /// Waits until the broker has stopped by itself, and says why: a disk that is full, fails or hangs, an invariant that
    /// broke. Clients are no longer served then. Call [`Broker::shutdown`] to have the folder free for the next start; where
    /// the disk hangs, that takes until it answers.
    ///
    /// # Cancel safety
    /// May be asked again: the reason stays.
    pub async fn stopped(&self) -> Arc<BrokerStopped> {
        self.tokens.ending.told().await
    }

    /// Ends in order: no new connections or requests, answers to what is under way (within
    /// [`Config::shutdown_grace`]), the journal synced. When it returns no thread is left, and the folder is free: it may be
    /// opened again at once. On a disk that hangs it waits until the disk answers.
    ///
    /// # Errors
    /// [`BrokerStopped`] when it had already stopped by itself, or could not end in order; what was acknowledged is on disk
    /// all the same.
    pub async fn shutdown(self) -> Result<(), Arc<BrokerStopped>> {
        let ShutdownTokens {
            listeners,
            node,
            peers,
            tasks,
            ending,
            ..
        } = &self.tokens;
        listeners.cancel();
        tasks.close();
        if timeout(self.grace, tasks.wait()).await.is_err() {
            warn!(
                connections = tasks.len(),
                "answers were still under way after the grace period"
            );
        }
        node.cancel();
        let running = self.node;
        let joined = spawn_blocking(move || running.join()).await;
        // Until here a leader has had a follower to hand over to.
        peers.cancel();
        self.peers.gone().await;
        joined.expect("the node's threads are joined, not panicked through");
        ending.reason().map_or(Ok(()), Err)
    }
}

/// How long clients wait for voters that have never said where they are found: those that are there can serve without.
const SERVED_ANYHOW_AFTER: Duration = Duration::from_secs(3);
/// Connections that wait to be taken, as tokio's own listener has it.
const BACKLOG: u32 = 1024;

/// What ends, and in which order: first the doors, then the node, then the way to the others. Dropped, all at once.
struct ShutdownTokens {
    /// Stops the doors: no new connections, long polls answer.
    listeners: CancellationToken,
    /// Stops the node; cancelled by the node itself when it cannot go on.
    node: CancellationToken,
    /// Stops what is said to and heard from the other nodes.
    peers: CancellationToken,
    tasks: TaskTracker,
    /// Why the node ended by itself.
    ending: Arc<Ending>,
    _on_drop: [DropGuard; 3],
}

impl ShutdownTokens {
    fn begin() -> Self {
        let (listeners, node, peers) = Default::default();
        let tokens: [&CancellationToken; 3] = [&listeners, &node, &peers];
        let guards = tokens.map(|token| token.clone().drop_guard());
        let tasks = TaskTracker::new();
        tasks.spawn(close_doors_with_node(node.clone(), listeners.clone()));
        Self {
            ending: Ending::new(node.clone()),
            listeners,
            node,
            peers,
            tasks,
            _on_drop: guards,
        }
    }
}

/// The world that a node lives in.
struct World {
    clock: Clock,
    disk: Arc<dyn Disk>,
}

/// The sockets, before anybody is served.
struct Listeners {
    /// Bound, and refusing connections until clients can be served: they then try the next node.
    clients: TcpSocket,
    address: SocketAddr,
    admin: Option<TcpListener>,
    admin_address: Option<SocketAddr>,
    /// With the address that the other nodes are told.
    peers: Option<(TcpListener, Advertised)>,
}

impl Listeners {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let address = config.listen;
        if !address.ip().is_loopback() {
            if !config.insecure_log {
                return Err(StartError::InsecureAddress { address });
            }
            warn!(%address, "INSECURE: whoever reaches this port reads and writes everything");
        }
        let (clients, address) =
            bind_for_clients(address).map_err(|source| StartError::Listen { address, source })?;
        let (admin, admin_address) = open_admin(config.admin).await?;
        let peers = open_for_peers(config).await?;
        Ok(Self {
            clients,
            address,
            admin,
            admin_address,
            peers,
        })
    }
}

fn bind_for_clients(address: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the ends of the last connections, which takes both listeners' word: the one that had
    // them, and the next. Only while the system chooses a port it would give one that another process has just bound.
    socket.set_reuseaddr(address.port() != 0)?;
    socket.bind(address)?;
    socket.set_reuseaddr(true)?;
    let bound = socket.local_addr()?;
    Ok((socket, bound))
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

async fn open_for_peers(config: &Config) -> Result<Option<(TcpListener, Advertised)>, StartError> {
    let Some(address) = config.peer_listen else {
        return Ok(None);
    };
    let failed = |source| StartError::PeerListen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, config.peer_advertised_for(bound))))
}

/// Takes the data folder, becomes part of a cluster if it is part of none, and runs the replica.
async fn start_node(
    config: &Config,
    world: &World,
    for_peers: Option<(TcpListener, Advertised)>,
    tokens: &ShutdownTokens,
) -> Result<(Node, Peers), StartError> {
    let mut data = take_data_folder(config, world).await?;
    let (peers, incoming) = meet_peers(config, world, &data.identity, for_peers, tokens)?;
    if data.identity.formed.is_none() {
        let say = |reason| config.readiness.wait_for(reason);
        let unformed = data.identity.clone();
        data.identity = peers::form(&peers, &world.disk, &config.data, unformed, say)
            .await
            .map_err(NodeError::Identity)?;
    }
    let node = NodeConfig {
        storage: config.storage,
        limits: Limits {
            checkpoint_bytes: config.checkpoint_bytes,
            disk_reserve_bytes: config.disk_reserve_bytes,
            partition_files_max: config.storage.open_partition_files_max,
            groups: config.group,
            housekeeping: housekeeping(config),
        },
    };
    let links = ClusterLinks {
        peers: peers.clone(),
        incoming,
        fetcher: peers.fetcher(Arc::clone(&world.disk), config.data.clone()),
    };
    let (disk, clock) = (Arc::clone(&world.disk), world.clock);
    let ending = Arc::clone(&tokens.ending);
    let started =
        spawn_blocking(move || Node::start(data, node, &disk, clock, links, ending)).await;
    let node = started.map_err(|_| StartError::Ended)??;
    tokens.tasks.spawn(ending::watch_over(
        Arc::clone(&tokens.ending),
        tokens.listeners.clone(),
    ));
    peers.attach(node.handle.clone());
    let reason = "waiting for somebody to lead, and for the nodes to say where clients find them";
    config.readiness.wait_for(reason);
    Ok((node, peers))
}

fn housekeeping(config: &Config) -> HousekeepingConfig {
    HousekeepingConfig {
        retention_every: config.log_retention_check_interval,
        remembered: Remembered {
            producers: config.producer_id_expiration,
            offsets: config.offsets_retention,
            transactional_ids: config.transactional_id_expiration,
        },
        ..HousekeepingConfig::default()
    }
}

async fn take_data_folder(config: &Config, world: &World) -> Result<DataFolder, StartError> {
    let beginning = if config.peers.is_empty() {
        Bootstrap::Alone
    } else {
        Bootstrap::WithOthers
    };
    let (disk, path, node) = (Arc::clone(&world.disk), config.data.clone(), config.node_id);
    let taken = spawn_blocking(move || DataFolder::take(&*disk, &path, node, beginning)).await;
    Ok(taken.map_err(|_| StartError::Ended)??)
}

fn meet_peers(
    config: &Config,
    world: &World,
    identity: &Identity,
    for_peers: Option<(TcpListener, Advertised)>,
    tokens: &ShutdownTokens,
) -> Result<(Peers, mpsc::Receiver<Message>), StartError> {
    let folder = || config.data.clone();
    let founders = identity.formed.as_ref().map(|formed| formed.founders.len());
    let Some((listener, told)) = for_peers else {
        return match founders {
            Some(1) => Ok(Peers::none()),
            Some(nodes) => Err(StartError::NotListening {
                folder: folder(),
                nodes,
            }),
            None => Err(StartError::NoPeers { folder: folder() }),
        };
    };
    if founders.is_none() && config.peers.is_empty() {
        return Err(StartError::NoPeers { folder: folder() });
    }
    let settings = PeerSettings {
        address: peers::join(&told.host, told.port),
        listed: config.peers.clone(),
        secret: config.peer_secret.clone(),
        handshakes_max: config.peer_handshakes_max,
    };
    let stop = tokens.peers.clone();
    Ok(Peers::meet(identity, settings, listener, world.clock, stop))
}

/// Everything that clients are served with, but the door itself.
fn serve_clients(
    config: &Config,
    world: &World,
    node: &Node,
    peers: &Peers,
    addresses: &Addresses,
    tokens: &ShutdownTokens,
) -> Arc<Service> {
    let (stop, tasks) = (&tokens.listeners, &tokens.tasks);
    let replica = &node.handle;
    let service = Arc::new(Service::new(
        config.clone(),
        addresses.clients.clone(),
        replica.clone(),
        peers.clone(),
        world.clock,
        stop.clone(),
    ));
    tasks.spawn(disk_watch::watch(
        replica.clone(),
        Arc::clone(&world.disk),
        config.data.clone(),
        stop.clone(),
    ));
    tasks.spawn(metrics::follow_applied(replica.applied(), stop.clone()));
    tasks.spawn(metrics::follow_quorum(replica.clone(), stop.clone()));
    service
}

/// Waits until this node leads, alone, and the cluster knows where its clients find it.
async fn make_known(
    config: &Config,
    replica: &NodeHandle,
    peers: &Peers,
    addresses: &Addresses,
    ending: &Ending,
) -> Result<(), StartError> {
    let mut members = replica.membership_changes();
    let known_and_led = async {
        registration::register(replica, peers, addresses).await;
        until(replica, is_led).await;
    };
    tokio::select! {
        () = known_and_led => Ok(()),
        Ok(members) = members.wait_for(|members| 1 < members.voters.len()) => {
            Err(StartError::NotListening {
                folder: config.data.clone(),
                nodes: members.voters.len(),
            })
        }
        reason = ending.told() => Err(StartError::Stopped(reason)),
    }
}

/// Looks after every run of applied entries, and whenever who leads has changed.
async fn until(replica: &NodeHandle, is: impl Fn(&NodeHandle) -> bool) {
    let mut applied = replica.applied();
    let mut leadership = replica.leadership_changes();
    while !is(replica) {
        let changed = tokio::select! {
            changed = applied.changed() => changed,
            changed = leadership.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// A restarted node knows everybody from its checkpoint, and for a moment nobody who leads.
fn is_led(replica: &NodeHandle) -> bool {
    match replica.leadership() {
        Leadership::Leader { .. } => true,
        Leadership::Starting => false,
        Leadership::Follower { leader } => leader.is_some(),
    }
}

/// Whether clients can be told of every voter: one that asks earlier would take the cluster for a smaller one.
fn is_all_known(replica: &NodeHandle) -> bool {
    let membership = replica.membership();
    let state = replica.state();
    let known: BTreeSet<_> = state
        .nodes()
        .filter(|(_, node)| registration::address(node).is_some())
        .map(|(_, node)| node.replica)
        .collect();
    is_led(replica) && membership.voters.iter().all(|voter| known.contains(voter))
}

async fn close_doors_with_node(node: CancellationToken, listeners: CancellationToken) {
    tokio::select! {
        () = node.cancelled() => listeners.cancel(),
        () = listeners.cancelled() => {}
    }
}
