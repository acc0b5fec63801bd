//! The service: what it is made of, the order in which it starts and stops.

use std::{io, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::Router;
use resident_token::keep_reloading;
use service_kit::{
    admin,
    bounds::{Acceptor, AddressKey, HttpLimits, PlaceLimits, Places, WhenFull, serve_http},
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    allowed_origins::origins,
    config::{Config, HouseLimit},
    idempotency::InFlightCalls,
    intake::Intake,
    kafka::{LogProducer, LogSettings, TopicSettings, follow_tail, run_health_checks},
    limiter::Limiter,
    outbox::{Outbox, OutboxError, OutboxSizes},
    recent_calls::RecentCalls,
    routes::{readiness, routes},
    state::AppState,
};

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that do not fit together, one sentence each.
    #[error("the settings do not fit: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The address is taken, or not ours.
    #[error("listen on {address}")]
    Listen {
        /// The address from the settings.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is a folder for the outbox, and it cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// librdkafka refused the settings; the log itself need not be there.
    #[error("set up the client of the log")]
    LogProducer(#[source] rdkafka::error::KafkaError),
}

/// The service with its listeners bound, not yet serving.
pub struct Service {
    state: Arc<AppState>,
    router: Router,
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
    config: Config,
}

/// Addresses whose failures are remembered at once: 8 MB at most.
const ADDRESSES_MAX: usize = 100_000;
/// Houses that called lately: 20 MB at most.
const HOUSES_MAX: usize = 100_000;
/// How soon one address has its whole allowance back.
const ADDRESS_PERIOD: Duration = Duration::from_secs(60);
/// How often [`Service::ready`] looks.
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than an election or a restart of the log.
const MESSAGE_TIMEOUT_WITH_OUTBOX: Duration = Duration::from_secs(30);
/// The head of a request: a token of 8 KiB and what browsers add.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Binds and runs until `shutdown`.
///
/// # Errors
///
/// As [`Service::bind`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    Service::bind(config).await?.run(shutdown).await
}

impl Service {
    /// Checks the settings and binds the listeners. The log need not be there: it is looked for while serving.
    ///
    /// # Errors
    ///
    /// [`Error`] says which setting or address is wrong; nothing is left running.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let mistakes = config.mistakes();
        let allowed_origins = match origins(&config.allowed_origins) {
            Ok(allowed_origins) if mistakes.is_empty() => allowed_origins,
            _ => return Err(Error::Config(mistakes)),
        };
        let (listener, address) = listen(config.listen).await?;
        let admin = match config.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let state = Arc::new(state(&config).await?);
        let router = routes(Arc::clone(&state), allowed_origins);
        Ok(Self {
            state,
            router,
            listener,
            address,
            admin,
            config,
        })
    }

    /// Where residents' calls come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where an operator looks.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// Resolves once the next call would go straight through: the topics are there, the log answers, and the
    /// producers have their ids. Take it before [`run`](Self::run), which is what makes it come true.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let readiness = self.readiness();
        async move {
            while readiness().is_err() {
                sleep(READY_LOOK_INTERVAL).await;
            }
        }
    }

    /// Whether the next call would go straight through, and why not, for a program that embeds the service. Take it before
    /// [`run`](Self::run).
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let log = Arc::clone(&self.state.intake.log);
        move || log.readiness()
    }

    /// Serves until `shutdown`: then no more connections, the calls under way get their answers, and what librdkafka
    /// holds is sent, all within the grace period.
    ///
    /// # Errors
    ///
    /// None today: what goes wrong while serving is a matter of single calls.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            state,
            router,
            listener,
            address,
            admin,
            config,
        } = self;
        let intake = Arc::clone(&state.intake);
        let connections = TaskTracker::new();
        let background = TaskTracker::new();
        background.spawn(unless_cancelled(
            &shutdown,
            run_health_checks(Arc::clone(&intake.log), topic_settings(&config)),
        ));
        // A thread, so it needs a token that is cancelled when this future is dropped.
        let stop_tail = shutdown.child_token();
        let _stop_tail = stop_tail.clone().drop_guard();
        let _stop_intake = intake.stop.clone().drop_guard();
        background.spawn_blocking({
            let (intake, stop) = (Arc::clone(&intake), stop_tail);
            let settings = log_settings(&config);
            move || follow_tail(&intake.log, &settings, &intake.recent, &stop)
        });
        if let Some(outbox) = &intake.outbox {
            outbox.resume();
        }
        background.spawn(unless_cancelled(
            &shutdown,
            keep_reloading(Arc::clone(&state.verifier), config.keys_reload_interval),
        ));
        if let Some((listener, address)) = admin {
            info!(%address, "serving the operator");
            background.spawn(admin::serve(
                listener,
                config.metrics,
                move || readiness(&state),
                connections.clone(),
                shutdown.clone(),
            ));
        }
        info!(%address, "serving residents");
        let places = Places::new(PlaceLimits::shared(config.connections_max));
        let acceptor = Acceptor::new(listener, places, WhenFull::ServiceUnavailable)
            .on_turned_away(turned_away);
        let limits = HttpLimits {
            head_timeout: config.head_timeout,
            head_bytes_max: HEAD_BYTES_MAX,
        };
        serve_http(acceptor, router, limits, connections.clone(), shutdown).await;
        stop(&intake, connections, background, config.shutdown_grace).await;
        Ok(())
    }
}

/// A connection found no place.
fn turned_away() {
    metrics::counter!("producer_api_connections_turned_away_total").increment(1);
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Reads files, so off the async threads.
async fn open_outbox(
    config: &Config,
    log: &Arc<LogProducer>,
    recent: &Arc<RecentCalls>,
) -> Result<Option<Arc<Outbox>>, Error> {
    let Some(folder) = config.outbox.clone() else {
        return Ok(None);
    };
    let sizes = OutboxSizes {
        bytes_max: config.outbox_bytes_max,
        reserve_bytes: config.outbox_reserve_bytes,
    };
    let (log, recent) = (Arc::clone(log), Arc::clone(recent));
    let opened = tokio::task::spawn_blocking(move || Outbox::open(&folder, sizes, log, recent));
    Ok(Some(Arc::new(
        opened.await.expect("opening the outbox does not panic")?,
    )))
}

async fn state(config: &Config) -> Result<AppState, Error> {
    Ok(AppState {
        verifier: Arc::clone(&config.verifier),
        failed_auth_by_address: config.address_unverified_max.map(failed_auth_limiter),
        body_bytes_max: config.body_bytes_max,
        body_timeout: config.body_timeout,
        intake: Arc::new(intake(config).await?),
    })
}

async fn intake(config: &Config) -> Result<Intake, Error> {
    let log = LogProducer::connect(&log_settings(config)).map_err(Error::LogProducer)?;
    let (log, recent) = (
        Arc::new(log),
        Arc::new(RecentCalls::new(config.replays_max)),
    );
    let HouseLimit { burst, interval } = config.house_limit;
    Ok(Intake {
        outbox: open_outbox(config, &log, &recent).await?,
        log,
        recent,
        in_flight: InFlightCalls::default(),
        calls_by_house: Limiter::new(burst, interval, HOUSES_MAX),
        appends: TaskTracker::new(),
        stop: CancellationToken::new(),
        deadline: config.deadline,
        spring_types: config.spring_types,
    })
}

fn failed_auth_limiter(max: NonZeroU32) -> Limiter<AddressKey> {
    Limiter::new(max, ADDRESS_PERIOD / max.get(), ADDRESSES_MAX)
}

fn log_settings(config: &Config) -> LogSettings {
    LogSettings {
        bootstrap_servers: config.log.clone(),
        nodes: config.log_nodes,
        properties: config.log_properties.clone(),
        delivery: config.delivery,
        message_timeout: message_timeout(config),
        alerts_in_flight_max: config.alerts_in_flight_max,
        accepts_in_flight_max: config.accepts_in_flight_max,
    }
}

/// With an outbox librdkafka may take its time: it knows what it sent before, so a retry of its own stores nothing
/// twice, and the outbox takes the report along. Without one, the answer has to say what the report says, so the report
/// must come before the deadline. (librdkafka looks at its clock for this once a second: the deadline is kept by us.)
fn message_timeout(config: &Config) -> Duration {
    match config.outbox {
        Some(_) => MESSAGE_TIMEOUT_WITH_OUTBOX.max(config.deadline),
        None => config.deadline.mul_f32(0.8),
    }
}

fn topic_settings(config: &Config) -> TopicSettings {
    TopicSettings {
        log: log_settings(config),
        retention: config.retention,
    }
}

/// The task, ended early by the shutdown: none of these holds anything that must be finished.
fn unless_cancelled<F: Future<Output = ()>>(
    shutdown: &CancellationToken,
    task: F,
) -> impl Future<Output = ()> + use<F> {
    let shutdown = shutdown.clone();
    async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = task => {}
        }
    }
}

async fn stop(intake: &Intake, connections: TaskTracker, background: TaskTracker, grace: Duration) {
    info!("stopping: finishing the calls under way");
    let finished = async {
        for tasks in [&connections, &intake.appends, &background] {
            tasks.close();
            tasks.wait().await;
        }
    };
    if tokio::time::timeout(grace, finished).await.is_err() {
        warn!(
            connections = connections.len(),
            calls = intake.appends.len(),
            "the grace period ended first"
        );
    }
    // While the outbox still gets the reports: a call that gets through now is not sent again by the next run.
    let log = Arc::clone(&intake.log);
    let flush = tokio::task::spawn_blocking(move || log.flush(Duration::from_secs(1)));
    if flush.await.is_err() {
        warn!("the client of the log did not stop in order");
    }
    if let Some(outbox) = &intake.outbox {
        outbox.stop().await;
    }
    intake.log.purge();
}
