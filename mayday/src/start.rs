//! Starts all services in one process: api and gateway first, then the log; and ends them in order. Api and gateway outlive
//! the log: while it is down the api keeps calls in the outbox.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, anyhow};
use log_client::LogNodes;
use log_core::{Config as LogConfig, Readiness as LogReadiness, StartError};
use metrics_exporter_prometheus::PrometheusBuilder;
use producer_api::{Config as ApiConfig, Service as Api};
use resident_token::{KeySource, Policy, Verifier};
use service_kit::bounds::{Memory, Row, Shares};
use service_kit::stop_signals::StopSignals;
use service_kit::{Failure, admin, error_value};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use ws_gateway::{Config as GatewayConfig, Gateway};

use crate::addresses::Addresses;
use crate::advice::{AdminListen, with_advice};
use crate::cli::Start;
use crate::data_folder::DataFolder;
use crate::log_supervisor::{self, LogAddress, LogStage};
use crate::readiness::{Readiness, Report};
use crate::{cluster_args, disk_probe, welcome};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A start that is not ready after so long says what it waits for: a person who sees nothing thinks that it hangs.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// Between two looks whether everything is ready.
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long the end waits for the log. It is done well within it, unless its disk hangs.
const LOG_ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Runs everything until Ctrl-C, SIGTERM, or the end of a service.
pub(crate) async fn start(args: &Start, folder: &DataFolder) -> Result<(), Failure> {
    let mut signals = StopSignals::listen().context("signals cannot be heard")?;
    folder.create()?;
    let secret = folder.secret_or_new()?;
    let mut services = Services::open(args, folder, &secret).await?;
    if let Err(error) = services.addresses.keep(folder.path()) {
        warn!(
            error = error_value(&error),
            "the addresses cannot be kept in the data folder: commands need --api and --gateway to find this process"
        );
    }
    let text = welcome::text(&services.addresses, &services.bounds, folder, &secret)?;
    let ended = {
        let ended = services.running.wait(&mut signals);
        tokio::pin!(ended);
        tokio::select! {
            () = wait_until_ready(&services.readiness) => {
                println!("{text}");
                ended.await
            }
            ended = &mut ended => ended,
        }
    };
    let closed = services.close().await;
    Addresses::forget(folder.path());
    Ok(ended.and(closed)?)
}

/// Returns when a call would be stored and heard; says once what it waits for.
async fn wait_until_ready(readiness: &Readiness) {
    let told = sleep(TOLD_AFTER);
    tokio::pin!(told);
    let mut is_told = false;
    while let Some(reason) = readiness.report().reason() {
        tokio::select! {
            () = sleep(READY_LOOK_INTERVAL) => {}
            () = &mut told, if !is_told => {
                is_told = true;
                warn!(reason, "calls are taken, and not everything is ready yet: they are kept in the outbox");
            }
        }
    }
}

/// All services of this process.
struct Services {
    addresses: Addresses,
    bounds: Shares,
    readiness: Arc<Readiness>,
    running: RunningServices,
    _log_address: LogAddress,
}

/// What runs, in the order in which it ends: each may still need the next.
struct RunningServices {
    api: RunningService,
    gateway: RunningService,
    log: RunningService,
    disk: RunningService,
    admin: RunningService,
}

/// A service that runs, and the way to close it.
struct RunningService {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Services {
    /// Opens api and gateway, and begins to start the log.
    async fn open(
        args: &Start,
        folder: &DataFolder,
        secret: &resident_token::Secret,
    ) -> Result<Self, Failure> {
        let metrics = PrometheusBuilder::new()
            .install_recorder()
            .context("the metrics are already installed")?;
        let verifier = Verifier::open(vec![KeySource::Secret(secret.clone())], Policy::default());
        let verifier = Arc::new(verifier.context("the secret that signs tokens is no good")?);
        let bounds = Shares::of_process(&Row::ALL.map(|row| (row, None)))
            .context("too few files may be open")?;
        let mut log_config = log_config(args, folder)?;
        log_config.take_connections(bounds.of(Row::LogConnections));
        log_config.storage.open_partition_files_max = bounds.of(Row::PartitionFiles);
        log_config.take_memory(Memory::read());
        let log_address = LogAddress::choose(log_config.listen)
            .map_err(|error| with_advice(error, "the log", "--log-port"))?;
        log_config.listen = log_address.address;
        let addresses = ListenAddresses::choose(args)?;
        let operator = SocketAddr::new(LOOPBACK, args.admin_port);
        let (operator, operator_address) = listen(operator)
            .await
            .map_err(|error| with_advice(error, "the operator's listener", "--admin-port"))?;

        let servers = log_address.address.to_string();
        let log_nodes = if args.cluster.peers.is_empty() {
            LogNodes::One
        } else {
            LogNodes::Several
        };
        let instance = args.cluster.node.to_string();
        let gateway = GatewayConfig {
            log_nodes,
            ..gateway_config(
                &addresses,
                &servers,
                instance,
                Arc::clone(&verifier),
                &bounds,
            )
        };
        let gateway = Gateway::bind(gateway)
            .await
            .map_err(|error| with_advice(error, "the gateway", "--gateway-port"))?;
        let api = ApiConfig {
            log_nodes,
            ..api_config(&addresses, folder, &servers, verifier, &bounds)
        };
        let api = Api::bind(api)
            .await
            .map_err(|error| with_advice(error, "the api", "--api-port"))?;

        let addresses = Addresses {
            api: format!("http://{}", reachable(api.address())),
            gateway: format!("ws://{}/an-ws", reachable(gateway.address())),
            page: format!("http://{}", reachable(gateway.address())),
            log: servers,
            admin: format!("http://{operator_address}"),
        };
        let (stage, log_stage) = watch::channel(LogStage::Running(LogReadiness::default()));
        let (problem, disk_problem) = watch::channel(None);
        let readiness = Arc::new(Readiness {
            log: log_stage,
            disk: disk_problem,
            api: Box::new(api.readiness()),
            gateway: Box::new(gateway.readiness()),
        });
        let tasks = TaskTracker::new();
        let running = RunningServices {
            api: RunningService::spawn("the api", &tasks, |stop| async move {
                Ok(api.run(stop).await?)
            }),
            gateway: RunningService::spawn("the gateway", &tasks, |stop| async move {
                Ok(gateway.run(stop).await?)
            }),
            disk: RunningService::spawn("the probe of the disk", &tasks, |stop| {
                let path = folder.path().to_owned();
                async move {
                    disk_probe::run(path, problem, stop).await;
                    Ok(())
                }
            }),
            log: RunningService::spawn("the log", &tasks, |stop| {
                log_supervisor::run(log_config, stage, stop)
            }),
            admin: RunningService::spawn("the operator's listener", &tasks, |stop| {
                let asked = Arc::clone(&readiness);
                async move {
                    let readyz = move || answer(&asked);
                    admin::serve(operator, Some(metrics), readyz, TaskTracker::new(), stop).await;
                    Ok(())
                }
            }),
        };
        Ok(Self {
            addresses,
            bounds,
            readiness,
            running,
            _log_address: log_address,
        })
    }

    /// No new calls, then no more pushes, then the log; the operator may look until the end.
    async fn close(self) -> Result<(), Error> {
        let RunningServices {
            api,
            gateway,
            log,
            disk,
            admin,
        } = self.running;
        let api = api.close().await;
        let gateway = gateway.close().await;
        let log = timeout(LOG_ENDS_WITHIN, log.close()).await;
        let log = log.unwrap_or_else(|_| {
            Err(anyhow!(
                "the log does not end: its disk hangs. What was acknowledged is safe"
            ))
        });
        let disk = disk.close().await;
        let admin = admin.close().await;
        api.and(gateway).and(log).and(disk).and(admin)
    }
}

impl RunningServices {
    /// Until the operator asks for the end, or a service ends by itself. The log does so only where its first start failed
    /// for good.
    async fn wait(&mut self, signals: &mut StopSignals) -> Result<(), Error> {
        tokio::select! {
            () = signals.received() => Ok(()),
            ended = &mut self.log.task => Err(self.log.ended_early(ended)),
            ended = &mut self.api.task => Err(self.api.ended_early(ended)),
            ended = &mut self.gateway.task => Err(self.gateway.ended_early(ended)),
            ended = &mut self.disk.task => Err(self.disk.ended_early(ended)),
            ended = &mut self.admin.task => Err(self.admin.ended_early(ended)),
        }
    }
}

impl RunningService {
    fn spawn<Run>(
        name: &'static str,
        tasks: &TaskTracker,
        run: impl FnOnce(CancellationToken) -> Run,
    ) -> Self
    where
        Run: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tasks.spawn(run(stop.clone()));
        Self { name, stop, task }
    }

    fn ended_early(&self, ended: Result<Result<(), Error>, JoinError>) -> Error {
        match ended {
            Ok(Ok(())) => anyhow!("{} ended by itself", self.name),
            Ok(Err(error)) => error,
            Err(panic) => Error::new(panic).context(self.name),
        }
    }

    async fn close(self) -> Result<(), Error> {
        self.stop.cancel();
        if self.task.is_finished() {
            return Ok(());
        }
        self.task.await.context(self.name)?.context(self.name)
    }
}

/// Takes the operator's address.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AdminListen> {
    let failed = |source| AdminListen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What `/readyz` says.
fn answer(readiness: &Readiness) -> admin::Readiness<Report> {
    let body = readiness.report();
    let is_ready = body.is_ready();
    admin::Readiness { is_ready, body }
}

/// The log's settings, checked before anything is opened.
fn log_config(args: &Start, folder: &DataFolder) -> Result<LogConfig, Failure> {
    let mut config = LogConfig {
        listen: SocketAddr::new(LOOPBACK, args.log_port),
        ..LogConfig::on(folder.log())
    };
    if let Some(bytes) = args.journal_segment_bytes {
        // A record must fit into a file with room to spare; the largest batch is 1 MiB.
        let journal = &mut config.storage.journal;
        journal.segment_bytes = bytes;
        journal.record_bytes_max = journal.record_bytes_max.min(bytes / 4 * 3);
    }
    let config = cluster_args::with_peers(config, &args.cluster, folder.given_secret())?;
    let address = config.listen;
    let mistakes = config.mistakes();
    let refused = if !mistakes.is_empty() {
        StartError::Settings { mistakes }
    } else if !address.ip().is_loopback() && !config.insecure_log {
        StartError::InsecureAddress { address }
    } else {
        return Ok(config);
    };
    Err(with_advice(refused, "the log", "--log-port").into())
}

/// The addresses of api and gateway. Each must be known before the other is opened: the page names the api, the api lets the
/// page in. So a port that the system is to choose is asked for first.
struct ListenAddresses {
    api: SocketAddr,
    gateway: SocketAddr,
}

impl ListenAddresses {
    fn choose(args: &Start) -> Result<Self, Error> {
        Ok(Self {
            api: SocketAddr::new(args.host, chosen(args.host, args.api_port)?),
            gateway: SocketAddr::new(args.host, chosen(args.host, args.gateway_port)?),
        })
    }

    /// Whose pages may call the api. Who listens on every address is reached under names that only the caller knows.
    fn origins(&self) -> Vec<String> {
        if self.gateway.ip().is_unspecified() {
            return vec!["*".to_owned()];
        }
        let mut origins = vec![format!("http://{}", self.gateway)];
        if self.gateway.ip().is_loopback() {
            origins.push(format!("http://localhost:{}", self.gateway.port()));
        }
        origins
    }
}

fn chosen(host: IpAddr, port: u16) -> Result<u16, Error> {
    if port != 0 {
        return Ok(port);
    }
    let probe = std::net::TcpListener::bind((host, 0))
        .with_context(|| format!("{host}: no port can be had"))?;
    Ok(probe
        .local_addr()
        .with_context(|| format!("{host}: no port can be had"))?
        .port())
}

fn gateway_config(
    addresses: &ListenAddresses,
    servers: &str,
    instance: String,
    verifier: Arc<Verifier>,
    bounds: &Shares,
) -> GatewayConfig {
    let api = (!addresses.api.ip().is_unspecified()).then(|| format!("http://{}", addresses.api));
    GatewayConfig {
        api,
        api_port: addresses.api.port(),
        instance,
        connections_max: bounds.of(Row::GatewayConnections),
        sockets_max: bounds.of(Row::Sockets),
        ..GatewayConfig::new(addresses.gateway, servers.to_owned(), verifier)
    }
}

fn api_config(
    addresses: &ListenAddresses,
    folder: &DataFolder,
    servers: &str,
    verifier: Arc<Verifier>,
    bounds: &Shares,
) -> ApiConfig {
    ApiConfig {
        allowed_origins: addresses.origins(),
        outbox: Some(folder.outbox()),
        admin: None,
        connections_max: bounds.of(Row::ApiConnections),
        ..ApiConfig::new(addresses.api, servers.to_owned(), verifier)
    }
}

/// An address that a person on this machine can type.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(LOOPBACK, address.port())
    } else {
        address
    }
}
