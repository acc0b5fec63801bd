//! The service: its listeners, its shards, its feed, and the order in which they begin and end.

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use resident_token::keep_reloading;
use service_kit::{
    admin,
    bounds::{Acceptor, HttpLimits, PlaceLimits, Places, WhenFull, serve_http},
    clock::Clock,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    config::Config,
    event_clock::EventClock,
    feed::{Feed, FeedError},
    http::HttpServer,
    metrics,
    readiness::Readiness,
    shard::{self, ShardCommand, ShardHandle},
    socket_counts::SocketCounts,
};

/// An upgrade, or a piece of the page. The head holds a token of 8 KiB and what browsers add.
const HTTP_LIMITS: HttpLimits = HttpLimits {
    head_timeout: Duration::from_secs(10),
    head_bytes_max: 64 * 1024,
};
/// How often the key files are looked at: how long a new key is unknown.
const KEYS_RELOAD_EVERY: Duration = Duration::from_secs(10);
/// How long the end waits for the log to take the feed's last commit. Only the lag that tools show depends on it.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// Why the gateway did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings contradict each other; nothing was begun.
    #[error("the configuration has mistakes: {}", .0.join("; "))]
    Config(Vec<String>),
    /// An address cannot be listened on: it is taken, or not ours.
    #[error("listen on {address}")]
    Listen {
        /// As it is set.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("start the threads that own the sockets")]
    Threads(#[source] io::Error),
    /// The reader of the log ended.
    #[error("read the log")]
    Feed(#[from] FeedError),
    /// A thread ended that must not. The sockets it owned are closed.
    #[error("the thread `{0}` has ended")]
    ThreadEnded(&'static str),
}

/// A gateway that listens and does not answer yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<TcpListener>,
    admin_address: Option<SocketAddr>,
    clock: Clock,
    event_clock: Arc<EventClock>,
    readiness: Readiness,
}

impl Gateway {
    /// Takes the addresses, so that a taken one is known at once.
    ///
    /// # Errors
    ///
    /// The configuration contradicts itself, or an address cannot be listened on. Nothing is left behind.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(Error::Config(mistakes));
        }
        let (listener, address) = listen(config.listen).await?;
        let (admin, admin_address) = match config.admin {
            Some(address) => {
                let (listener, address) = listen(address).await?;
                (Some(listener), Some(address))
            }
            None => (None, None),
        };
        let clock = Clock::start();
        let event_clock = Arc::new(EventClock::new(clock));
        let readiness = Readiness::new(clock, Arc::clone(&event_clock));
        Ok(Self {
            config,
            listener,
            address,
            admin,
            admin_address,
            clock,
            event_clock,
            readiness,
        })
    }

    /// Where residents connect; the port is known even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators look.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Returns when the log was read and sockets are taken. Take it before [`run`](Self::run).
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let readiness = self.readiness.clone();
        async move { readiness.wait().await }
    }

    /// What it can do now, or why not, for a program that embeds the gateway: cheap to ask, also while it runs. Take it
    /// before [`run`](Self::run).
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let readiness = self.readiness.clone();
        move || {
            let report = readiness.report();
            if report.is_ready {
                Ok(())
            } else {
                Err(report.reasons.join(", "))
            }
        }
    }

    /// Serves until `shutdown`, then drains: no new sockets, a Close to every socket at a random moment within the
    /// window, the end.
    ///
    /// # Errors
    ///
    /// The log's settings are refused, or a thread has ended. Sockets are drained all the same.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            config,
            listener,
            admin,
            clock,
            event_clock,
            readiness,
            ..
        } = self;
        let stop = shutdown.child_token();
        let tasks = TaskTracker::new();
        let (shards, threads) = start_shards(&config, clock, &event_clock)?;
        let feed = Feed::new(
            &config,
            shards.clone(),
            clock,
            event_clock,
            readiness.clone(),
            stop.clone(),
        )?;
        info!(listen = %self.address, admin = ?self.admin_address, log = config.log, instance = config.instance, "serving");

        if let Some(admin) = admin {
            let (asked, stopped) = (readiness.clone(), stop.clone());
            tasks.spawn(admin::serve(
                admin,
                config.metrics.clone(),
                move || asked.answer(&stopped),
                tasks.clone(),
                stop.clone(),
            ));
        }
        let keys = keep_reloading(Arc::clone(&config.verifier), KEYS_RELOAD_EVERY);
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(keys).await });
        let server = HttpServer::new(
            &config,
            clock,
            shards.clone(),
            readiness,
            stop.clone(),
            tasks.clone(),
        );
        let places = Places::new(PlaceLimits::shared(config.connections_max));
        tasks.spawn(serve_http(
            Acceptor::new(listener, places, WhenFull::ServiceUnavailable)
                .on_turned_away(metrics::turned_away),
            Arc::new(server).router(),
            HTTP_LIMITS,
            tasks.clone(),
            stop.clone(),
        ));

        let FeedThread { ended, closed } = FeedThread::start(feed)?;
        let outcome = why_it_ended(ended.await, &shutdown);
        stop.cancel();
        let last_commit = timeout(LAST_COMMIT_WITHIN, closed);
        drain(&shards, config.drain_window).await;
        drop(shards);
        tasks.close();
        tasks.wait().await;
        join(threads).await?;
        if last_commit.await.is_err() {
            info!(
                "the log does not answer the last commit: the lag that is shown is a little too high"
            );
        }
        outcome
    }
}

/// Binds and runs.
///
/// # Errors
///
/// As [`Gateway::bind`] and [`Gateway::run`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    Gateway::bind(config).await?.run(shutdown).await
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn start_shards(
    config: &Config,
    clock: Clock,
    event_clock: &Arc<EventClock>,
) -> Result<(Vec<ShardHandle>, Vec<JoinHandle<()>>), Error> {
    let counts = SocketCounts::default();
    let shards = (0..config.shards.get()).map(|number| {
        shard::start(
            number,
            config,
            clock,
            Arc::clone(event_clock),
            counts.clone(),
        )
    });
    let started: Vec<_> = shards.collect::<io::Result<_>>().map_err(Error::Threads)?;
    Ok(started.into_iter().unzip())
}

/// The feed on a thread of its own: why it stopped reading, then the end of its client.
struct FeedThread {
    ended: oneshot::Receiver<Result<(), FeedError>>,
    closed: oneshot::Receiver<()>,
}

impl FeedThread {
    fn start(mut feed: Feed) -> Result<Self, Error> {
        let (tell_end, ended) = oneshot::channel();
        let (tell_closed, closed) = oneshot::channel();
        let thread = std::thread::Builder::new().name("feed".to_owned());
        let thread = thread.spawn(move || {
            // The receivers are gone if the gateway is.
            _ = tell_end.send(feed.run());
            drop(feed);
            _ = tell_closed.send(());
        });
        thread.map_err(Error::Threads)?;
        Ok(Self { ended, closed })
    }
}

/// A feed ends well only when it is told to.
fn why_it_ended(
    end: Result<Result<(), FeedError>, oneshot::error::RecvError>,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    match end {
        Ok(outcome) if shutdown.is_cancelled() => outcome.map_err(Error::Feed),
        Ok(Ok(())) | Err(_) => Err(Error::ThreadEnded("feed")),
        Ok(Err(error)) => Err(Error::Feed(error)),
    }
}

async fn drain(shards: &[ShardHandle], window: Duration) {
    for shard in shards {
        if shard.send(ShardCommand::Drain(window)).await.is_err() {
            warn!("a shard ended before it was drained");
        }
    }
}

/// A shard ends once its sockets are closed, or its time is up.
async fn join(threads: Vec<JoinHandle<()>>) -> Result<(), Error> {
    let joined =
        tokio::task::spawn_blocking(|| threads.into_iter().all(|thread| thread.join().is_ok()));
    match joined.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Error::ThreadEnded("shard")),
    }
}
