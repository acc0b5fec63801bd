//! Whether a node serves clients, and why not: told by the node as it starts and runs, asked by the operator's listener and
//! by the program that embeds the broker.

use serde::Serialize;
use service_kit::admin;
use tokio::sync::watch;

use super::node_handle::NodeHandle;
use crate::node::Leadership;
use crate::node::clocks::ClockReason;

/// How far a node has come. Cloned, it is the same; made by the program that embeds the broker, it can be asked while
/// [`super::Broker::start`] still waits for the other nodes. One broker at a time tells it.
#[derive(Clone)]
pub struct Readiness(watch::Sender<Stage>);

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct ReadinessReport {
    ready: bool,
    /// `leader`, `follower`, or why it is not ready.
    status: String,
    reasons: Vec<ReadinessReason>,
}

/// What an operator should look at, though the node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReason {
    /// A stable name.
    pub code: &'static str,
    /// A sentence for a person.
    pub detail: String,
}

#[derive(Clone)]
enum Stage {
    /// Its replica does not run yet, for this reason.
    Waiting(String),
    /// It takes part.
    Running(NodeHandle),
}

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Waiting("starting".to_owned())))
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Readiness").field(&self.get()).finish()
    }
}

impl Readiness {
    /// `leader` or `follower` where clients that ask this node are served or told which node serves them.
    ///
    /// # Errors
    /// Why they are not, in a few words.
    pub fn get(&self) -> Result<&'static str, String> {
        let replica = match &*self.0.borrow() {
            Stage::Waiting(reason) => return Err(reason.clone()),
            Stage::Running(replica) => replica.clone(),
        };
        match replica.leadership() {
            Leadership::Leader { .. } => Ok("leader"),
            Leadership::Follower { leader: Some(_) } => Ok("follower"),
            Leadership::Follower { leader: None } => Err("no leader".to_owned()),
            Leadership::Starting => Err("starting".to_owned()),
        }
    }

    /// What an operator should look at: `records_ahead`, `node_clocks_differ`, `retention_waits`.
    pub fn reasons(&self) -> Vec<ReadinessReason> {
        let Stage::Running(replica) = &*self.0.borrow() else {
            return Vec::new();
        };
        let reasons = replica.clocks().reasons(replica.now().elapsed);
        let told = |reason: ClockReason| ReadinessReason {
            code: reason.code(),
            detail: reason.to_string(),
        };
        reasons.into_iter().map(told).collect()
    }

    /// What `/readyz` answers.
    pub(super) fn report(&self) -> admin::Readiness<ReadinessReport> {
        let role = self.get();
        let is_ready = role.is_ok();
        let body = ReadinessReport {
            ready: is_ready,
            status: role.map_or_else(|reason| reason, str::to_owned),
            reasons: self.reasons(),
        };
        admin::Readiness { is_ready, body }
    }

    pub(super) fn wait_for(&self, reason: impl Into<String>) {
        self.0.send_replace(Stage::Waiting(reason.into()));
    }

    pub(super) fn run(&self, replica: NodeHandle) {
        self.0.send_replace(Stage::Running(replica));
    }
}
