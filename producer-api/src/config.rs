//! Everything that can be set, as plain values.

use std::{
    collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::FromStr,
    sync::Arc, time::Duration,
};

use event_model::{RETENTION_DEFAULT, SpringTypes};
use log_client::LogNodes;
use metrics_exporter_prometheus::PrometheusHandle;
use resident_token::Verifier;

use crate::allowed_origins::origins;

/// How this service is run: made by [`Config::new`], changed field by field.
#[derive(Clone)]
pub struct Config {
    /// Where residents' calls come in. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where an operator looks: `/metrics`, `/healthz`, `/readyz`. Default `127.0.0.1:9082`. It has no login:
    /// keep it on loopback or behind one. None: no such listener.
    pub admin: Option<SocketAddr>,
    /// What `/metrics` shows. None: `/metrics` answers 404.
    pub metrics: Option<PrometheusHandle>,
    /// The log: Kafka's `bootstrap.servers`, `host:port` pairs joined by commas.
    pub log: String,
    /// Default `Several`. `One` where this process starts a log without peers: an idle one then costs less. With `One` and
    /// several nodes, calls and alerts would wait for minutes after the leader changed.
    pub log_nodes: LogNodes,
    /// Further librdkafka settings by their own names, for a log that asks for a login or TLS. They come last and win.
    pub log_properties: BTreeMap<String, String>,
    /// What tokens are checked with.
    pub verifier: Arc<Verifier>,
    /// How often key files are read again. Default 10 s. Too high keeps a withdrawn key in use; too low reads files for nothing.
    pub keys_reload_interval: Duration,
    /// What a lost answer of the log may cost. Default exactly once.
    pub delivery: Delivery,
    /// Origins whose pages may call, as browsers write them: `https://calls.example`. Default none; `*` for all.
    pub allowed_origins: Vec<String>,
    /// How long a call may take to reach the log before its client is told that it did not. Default 2 s. Too low
    /// gives up during an election of the log; too high leaves a person looking at a spinner.
    pub deadline: Duration,
    /// How much of a body is read, in bytes. Default 16 KiB: text, position and names need 3. Of a longer call for help, up
    /// to 64 KiB, the beginning is read; a longer accept is refused.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive. Default 5 s. Too low refuses phones in a lift; too high lets idle bodies pile up.
    pub body_timeout: Duration,
    /// How long a connection may take to send its next request's head. Default 20 s. Too low breaks keep-alive; too
    /// high lets silent connections use up `connections_max`.
    pub head_timeout: Duration,
    /// Connections at once. A quarter of them may be of one address without having brought a good token; beyond that,
    /// and when all are taken, the connection that waited longest makes room. [`Config::new`] has the share of a process
    /// with 20,000 files; a program takes its own from [`service_kit::bounds`]. Too low closes idle connections early;
    /// too high takes files from the outbox.
    pub connections_max: usize,
    /// What one house may call.
    pub house_limit: HouseLimit,
    /// Requests without a good token that one address may send, at once and again per minute. Default 5,000: a whole
    /// complex may sit behind one address. Verified calls are never counted. `None`: no limit.
    pub address_unverified_max: Option<NonZeroU32>,
    /// Alerts on their way to the log at once; more wait until their deadline. Default 4,096. Too low delays alerts
    /// when everybody calls; too high only fills memory, at about 4 KiB each.
    pub alerts_in_flight_max: usize,
    /// The same for accepts, which have a way of their own. Default 1,024.
    pub accepts_in_flight_max: usize,
    /// How many of the last calls are remembered, by id and Idempotency-Key, for 25 hours. Default 65,536, some 20 MB. Older ones
    /// are forgotten: a retry after that is stored again under its first id, and readers drop it.
    pub replays_max: usize,
    /// The folder of the outbox: calls that the log does not take in time wait there, synced, and are answered `202`.
    /// One process at a time. None: such calls are refused with `503`.
    pub outbox: Option<PathBuf>,
    /// The most bytes of calls that wait there. Default 64 MiB, some 50,000 calls. Too low refuses calls in a long
    /// outage of the log; too high fills the disk, and memory with it.
    pub outbox_bytes_max: usize,
    /// What the outbox holds of the disk from the start, so that calls can wait there when something else has filled it.
    /// Default 64 MiB, in files of 4 MiB. Too low refuses calls on a full disk; too high takes room from the log.
    pub outbox_reserve_bytes: u64,
    /// How long new topics keep calls. Default 400 days. Retention is the means of erasure. Existing topics are not changed.
    pub retention: Duration,
    /// Whether records carry the type headers that the original system's consumers need. Default written.
    pub spring_types: SpringTypes,
    /// How long calls under way may take to end when the service stops. Default 5 s. Must cover `deadline`.
    pub shutdown_grace: Duration,
}

/// How often a call may be in the log whose first answer from there was lost. Always `acks=all`: a `201` is on the disks
/// of a majority, whichever is chosen. The names are Kafka's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Never twice, perhaps not at all: nothing is sent again. `enable.idempotence=false`, `retries=0`. Any hiccup of
    /// the log costs the calls on their way, which are answered `503`. Not with an outbox, which is there to send again.
    AtMostOnce,
    /// Perhaps twice: sent again without the log knowing that it is a repetition. `enable.idempotence=false`, one request
    /// under way, so that order holds. For a log that gives no producer ids. Readers drop the second by its id.
    AtLeastOnce,
    /// Once: the log recognises what was sent again (`enable.idempotence=true`). Only a call whose outcome stayed
    /// unknown for 30 s, or over an end of this process, may be there twice, under one id.
    #[default]
    ExactlyOnce,
}

/// The text names none of [`Delivery`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of at-most-once, at-least-once and exactly-once")]
pub struct UnknownDelivery(String);

impl FromStr for Delivery {
    type Err = UnknownDelivery;

    fn from_str(words: &str) -> Result<Self, UnknownDelivery> {
        match words {
            "at-most-once" => Ok(Self::AtMostOnce),
            "at-least-once" => Ok(Self::AtLeastOnce),
            "exactly-once" => Ok(Self::ExactlyOnce),
            _ => Err(UnknownDelivery(words.to_owned())),
        }
    }
}

/// What one house may call: so many at once, then one per interval. The sixth press in a row is refused with
/// 429, because the house has been heard five times; no other limit refuses a verified call for its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HouseLimit {
    /// Calls at once. Default 5.
    pub burst: NonZeroU32,
    /// One more after each of these. Default 20 s.
    pub interval: Duration,
}

impl Default for HouseLimit {
    fn default() -> Self {
        Self {
            burst: NonZeroU32::new(5).expect("5 is not 0"),
            interval: Duration::from_secs(20),
        }
    }
}

impl Config {
    /// The defaults, for a service at `listen` in front of the log at `log`.
    pub fn new(listen: SocketAddr, log: impl Into<String>, verifier: Arc<Verifier>) -> Self {
        Self {
            listen,
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 9082))),
            metrics: None,
            log: log.into(),
            log_nodes: LogNodes::default(),
            log_properties: BTreeMap::new(),
            verifier,
            keys_reload_interval: Duration::from_secs(10),
            delivery: Delivery::default(),
            allowed_origins: Vec::new(),
            deadline: Duration::from_secs(2),
            body_bytes_max: 16 * 1024,
            body_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(20),
            connections_max: 1974,
            house_limit: HouseLimit::default(),
            address_unverified_max: NonZeroU32::new(5000),
            alerts_in_flight_max: 4096,
            accepts_in_flight_max: 1024,
            replays_max: 65_536,
            outbox: None,
            outbox_bytes_max: 64 << 20,
            outbox_reserve_bytes: 64 << 20,
            retention: RETENTION_DEFAULT,
            spring_types: SpringTypes::default(),
            shutdown_grace: Duration::from_secs(5),
        }
    }

    /// Every relation between settings that does not hold, one sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut require = |holds: bool, mistake: &str| {
            if !holds {
                mistakes.push(mistake.to_owned());
            }
        };
        require(
            !self.log.trim().is_empty(),
            "log is empty: it needs host:port of the log",
        );
        require(
            DEADLINE_MIN <= self.deadline,
            "deadline is below 500 ms: no election of the log ends so soon",
        );
        require(
            self.deadline <= self.shutdown_grace,
            "shutdown_grace is below deadline: a stop would cut calls off",
        );
        require(
            1024 <= self.body_bytes_max,
            "body_bytes_max is below 1024: calls of ordinary length would be refused",
        );
        require(0 < self.connections_max, "connections_max is 0");
        require(0 < self.alerts_in_flight_max, "alerts_in_flight_max is 0");
        require(0 < self.accepts_in_flight_max, "accepts_in_flight_max is 0");
        require(
            !self.keys_reload_interval.is_zero(),
            "keys_reload_interval is 0",
        );
        mistakes.extend(origins(&self.allowed_origins).err());
        mistakes
    }
}

const DEADLINE_MIN: Duration = Duration::from_millis(500);
