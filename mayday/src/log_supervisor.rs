//! Keeps the log running: it may stop, api and gateway stay. What ends it (a full disk, a sync that failed, an invariant) is
//! told, and it is started again on the same port after 1, 2, 4 .. 30 s, so that their clients find it again.
//!
//! Only the first start may end the program, and only for what no waiting mends: a taken port, a damaged folder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use log_core::{Broker, Config, Readiness, StartError};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::advice;

/// Before the first try to start the log again: a disk that was full for a moment has room again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Between two tries at most: how late the log is back once there is room. A log that ran for longer than this has
/// recovered, and its next stop begins at [`PAUSE_MIN`] again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How the log is, for the operator's listener and for the start that waits for it.
#[derive(Clone, Debug)]
pub(crate) enum LogStage {
    /// It starts or runs; it says itself how far it is.
    Running(Readiness),
    /// It stopped, or did not start, for this reason.
    Stopped(Arc<str>),
}

impl LogStage {
    /// `leader` or `follower`, or why this node's log serves no clients.
    pub(crate) fn get(&self) -> Result<&'static str, String> {
        match self {
            Self::Running(readiness) => readiness.get(),
            Self::Stopped(reason) => Err(reason.to_string()),
        }
    }
}

/// Runs the log until `stop`, starting it again whenever it stopped by itself. Tells `stage` how it is.
///
/// # Errors
/// The first start failed in a way that no waiting mends; or the log did not end in order at the end.
pub(crate) async fn run(
    config: Config,
    stage: watch::Sender<LogStage>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    let mut ran_once = false;
    loop {
        let config = Config {
            readiness: Readiness::default(),
            ..config.clone()
        };
        stage.send_replace(LogStage::Running(config.readiness.clone()));
        let started = stop.run_until_cancelled(Broker::start(config)).await;
        let reason = match started {
            None => return Ok(()),
            Some(Err(error)) if !ran_once && !advice::may_pass(&error) => {
                let flag = port_flag(&error);
                return Err(advice::with_advice(error, "the log", flag));
            }
            Some(Err(error)) => {
                let flag = port_flag(&error);
                format!("{:#}", advice::with_advice(error, "the log", flag))
            }
            Some(Ok(broker)) => {
                if ran_once {
                    info!("the log is started again");
                }
                ran_once = true;
                metrics::gauge!("mayday_log_running").set(1.0);
                let ended = run_until_stopped(broker, &stage, &stop, &mut backoff).await;
                metrics::gauge!("mayday_log_running").set(0.0);
                match ended {
                    Ended::OnRequest(outcome) => return outcome,
                    Ended::ByItself(reason) => reason,
                }
            }
        };
        let pause = backoff.next();
        warn!(
            reason,
            again_in_s = pause.as_secs(),
            "the log does not run: calls are kept in the outbox, and it is started again"
        );
        stage.send_replace(LogStage::Stopped(reason.into()));
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return Ok(());
        }
    }
}

enum Ended {
    OnRequest(Result<(), Error>),
    ByItself(String),
}

async fn run_until_stopped(
    broker: Broker,
    stage: &watch::Sender<LogStage>,
    stop: &CancellationToken,
    backoff: &mut Backoff,
) -> Ended {
    let recovered = async {
        sleep(PAUSE_MAX).await;
        backoff.reset();
        std::future::pending::<()>().await;
    };
    let stopped = tokio::select! {
        () = stop.cancelled() => {
            return Ended::OnRequest(broker.shutdown().await.map_err(|error| Error::new(error).context("the log")));
        }
        stopped = broker.stopped() => stopped,
        () = recovered => unreachable!("it waits for ever"),
    };
    let reason = format!("{:#}", Error::new(stopped));
    error!(reason, "the log stopped by itself");
    stage.send_replace(LogStage::Stopped(reason.clone().into()));
    // Its threads may hang on the disk that stopped it: the folder is free only once they have ended. It says the same
    // reason again.
    broker.shutdown().await.ok();
    Ended::ByItself(reason)
}

fn port_flag(error: &StartError) -> &'static str {
    match error {
        StartError::PeerListen { .. } => "--peers",
        StartError::AdminListen { .. } => "--admin-port",
        StartError::Listen { .. }
        | StartError::Settings { .. }
        | StartError::InsecureAddress { .. }
        | StartError::NoPeers { .. }
        | StartError::NotListening { .. }
        | StartError::Node(_)
        | StartError::Stopped(_)
        | StartError::Ended => "--log-port",
    }
}

/// How long to wait before each try: each twice the last.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        pause
    }

    fn reset(&mut self) {
        self.0 = PAUSE_MIN;
    }
}

/// The log's address, known before the log runs and kept while it does not: api and gateway are told it once.
#[derive(Debug)]
pub(crate) struct LogAddress {
    pub(crate) address: SocketAddr,
    /// Holds a port of the system's choice, refusing connections, so that no other process is given it while the log is
    /// down. A port that the operator chose needs no holding: the system gives it to no other process.
    _held: Option<TcpSocket>,
}

impl LogAddress {
    /// Chooses a port where none was named.
    ///
    /// # Errors
    /// No port can be had at that address.
    pub(crate) fn choose(listen: SocketAddr) -> std::io::Result<Self> {
        if listen.port() != 0 {
            return Ok(Self {
                address: listen,
                _held: None,
            });
        }
        let socket = match listen {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(listen)?;
        let address = socket.local_addr()?;
        // Set only now: with it the system could have chosen a port that is in use. From now on the log may bind the same
        // port beside this socket, which never listens. Other systems than Linux would refuse that.
        socket.set_reuseaddr(true)?;
        Ok(Self {
            address,
            _held: cfg!(target_os = "linux").then_some(socket),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_half_a_minute_and_begin_anew_after_a_recovery() {
        let mut backoff = Backoff::default();
        let first: Vec<_> = (0..7).map(|_| backoff.next().as_secs()).collect();
        backoff.reset();

        assert_eq!(first, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.next().as_secs(), 1);
    }

    #[tokio::test]
    async fn a_held_port_is_given_to_the_log_again_and_again_and_to_no_other_process() {
        let chosen = LogAddress::choose("127.0.0.1:0".parse().unwrap()).unwrap();
        for _ in 0..3 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(chosen.address).unwrap();
            let listener = socket.listen(8).unwrap();
            assert_eq!(listener.local_addr().unwrap(), chosen.address);
        }
        if cfg!(target_os = "linux") {
            let other = TcpSocket::new_v4().unwrap();
            assert!(other.bind(chosen.address).is_err());
        }
    }
}
