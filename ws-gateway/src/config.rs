//! What an operator sets.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use log_client::LogNodes;
use metrics_exporter_prometheus::PrometheusHandle;
use resident_token::Verifier;
use service_kit::bounds::Memory;

/// Everything the gateway is told at its start. Read once, handed down by value.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where residents connect. Default `0.0.0.0:8083`; port 0 takes any.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are. Default `127.0.0.1:9083`; `None`: nowhere. An address that
    /// others reach tells them how many sockets there are.
    pub admin: Option<SocketAddr>,
    /// What `/metrics` shows. `None`: nothing was installed to collect them.
    pub metrics: Option<PrometheusHandle>,
    /// The log: Kafka's `bootstrap.servers`.
    pub log: String,
    /// Default `Several`. `One` where this process starts a log without peers: an idle one then costs less. With `One` and
    /// several nodes, calls and alerts would wait for minutes after the leader changed.
    pub log_nodes: LogNodes,
    /// A name for this gateway that stays the same over restarts and is no other's: its lag is committed under the
    /// group `ws-gateway.<instance>`. Default `1`. Two gateways with one name take turns in showing their lag.
    pub instance: String,
    /// Who may connect.
    pub verifier: Arc<Verifier>,
    /// The api's origin, for the residents' page, as `http://host:8082`. `None`: the host that the page was asked
    /// from, with `api_port`.
    pub api: Option<String>,
    /// The api's port on the host that the page was asked from, where `api` is `None`. Default 8082. Another one than the
    /// api's own sends every call from the page nowhere.
    pub api_port: u16,
    /// Origins of pages that may open a socket, as `https://host`. Default `None`: any, since it is the token that
    /// counts and there are no cookies.
    pub origins: Option<Vec<String>>,
    /// Threads that own sockets. Default one per core. More than cores only adds switches; fewer leaves cores idle
    /// when an alert goes out.
    pub shards: NonZeroUsize,
    /// Connections that speak HTTP still, at once: upgrades on their way, and the page. A quarter of them may be of one
    /// address; beyond that, and when all are taken, the one that waited longest makes room. [`Config::new`] has the
    /// share of a process with 20,000 files; a program takes its own from [`service_kit::bounds`]. Too low closes the
    /// page's connections early, too high takes files from the sockets.
    pub connections_max: usize,
    /// Sockets at most. Half of them, at most 256, may be of one address and without CONNECT; beyond that, and when all
    /// are taken, the one that waited longest for its CONNECT makes room. [`Config::new`] has the share of a process with
    /// 20,000 files; a program takes its own from [`service_kit::bounds`]. Too low turns residents away, too high
    /// leaves no file for anything else.
    pub sockets_max: usize,
    /// Bytes of frames that are kept for residents who were away, per shard's ring. Default a sixteenth of the memory, 8 to
    /// 64 MiB; the frames are shared by the shards. Too low makes reconnecting residents start from the live alerts; more costs memory.
    pub recent_bytes_max: usize,
    /// Bytes that wait for all sockets together, about: beyond it the longest queue's reader counts as too slow. Default a
    /// sixteenth of the memory, 8 to 64 MiB. Too low cuts off phones whenever many are slow, too high takes the memory.
    pub queues_bytes_max: usize,
    /// Bytes of all that sockets have begun to send and not ended, about: beyond it the oldest goes first. Default a 64th of
    /// the memory, 4 to 32 MiB. Too low cuts off phones on a bad network, too high gives strangers the memory.
    pub partial_bytes_max: usize,
    /// From how far before its newest records the log is read before the gateway is ready. Default 24 h: an alert lives
    /// that long. Less
    /// loses ranks and bindings of older alerts' accepts.
    pub read_back: Duration,
    /// How long at most a drain spreads the closes over. Default 30 s; the few sockets of a small complex are closed
    /// at once. Too short brings all residents back in one moment, too long holds the stop up.
    pub drain_window: Duration,
    /// Time and room for one socket.
    pub limits: SocketLimits,
}

/// What one socket is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// From the upgrade to CONNECT. Default 10 s. Too short loses phones on a bad network, too long keeps strangers.
    pub connect_within: Duration,
    /// From the beginning of a message, or of a STOMP frame in several, to its end. Default 10 s. Too short cuts off phones
    /// on a bad network, too long keeps the memory of who ends nothing.
    pub message_within: Duration,
    /// How long a socket may be silent before it is pinged. Default 25 s, within the 30 s after which many proxies drop
    /// an idle connection.
    pub ping_every: Duration,
    /// How long a socket may be silent before it is given up. Default 70 s, room for two lost answers. Must be longer
    /// than `ping_every`.
    pub silence_max: Duration,
    /// How long a SUBSCRIBE from a position that this gateway has not read yet waits for it. Default 10 s. Too short and a
    /// resident who changes to a gateway a little behind is told that it is; too long and nothing is told meanwhile.
    pub wait_for_log_max: Duration,
    /// Bytes that wait for one socket before its reader counts as too slow. Default 1 MiB, which holds a whole resume.
    /// Too low cuts off phones in a lift, too high lets many slow readers take the memory.
    pub outbox_bytes_max: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            message_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            silence_max: Duration::from_secs(70),
            wait_for_log_max: Duration::from_secs(10),
            outbox_bytes_max: 1024 * 1024,
        }
    }
}

impl Config {
    /// The defaults, with what has none.
    pub fn new(listen: SocketAddr, log: impl Into<String>, verifier: Arc<Verifier>) -> Self {
        let memory = Memory::read();
        Self {
            listen,
            admin: None,
            metrics: None,
            log: log.into(),
            log_nodes: LogNodes::default(),
            instance: "1".to_owned(),
            verifier,
            api: None,
            api_port: 8082,
            origins: None,
            shards: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            connections_max: 1_480,
            sockets_max: 12_836,
            recent_bytes_max: memory.recent_frames(),
            queues_bytes_max: memory.slow_queues(),
            partial_bytes_max: memory.partial_messages(),
            read_back: Duration::from_secs(24 * 60 * 60),
            drain_window: Duration::from_secs(30),
            limits: SocketLimits::default(),
        }
    }

    /// Every setting that contradicts another one, as sentences.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.limits.silence_max <= self.limits.ping_every {
            mistakes.push(format!(
                "silence_max ({:?}) must be longer than ping_every ({:?}), or every idle socket is given up",
                self.limits.silence_max, self.limits.ping_every
            ));
        }
        if self.log.trim().is_empty() {
            mistakes.push("log names no address".to_owned());
        }
        if self.connections_max == 0 {
            mistakes.push("connections_max is 0: nobody could connect".to_owned());
        }
        if self.sockets_max == 0 {
            mistakes.push("sockets_max is 0: nobody could connect".to_owned());
        }
        mistakes
    }
}
