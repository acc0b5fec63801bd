//! Starts the whole house in one process: the log, then the doors; and ends it in the opposite order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Error, anyhow};
use log_core::broker::{Broker, Config as LogConfig, StartError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use producer_api::{Config as ApiConfig, Service as Api};
use resident_token::{KeySource, Policy, Verifier};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ws_gateway::{Config as GatewayConfig, Gateway};

use crate::addresses::Addresses;
use crate::cli::Start;
use crate::home::Home;
use crate::outcome::Failure;
use crate::{together, welcome};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs everything until Ctrl-C, SIGTERM, or the end of a part.
pub(crate) async fn start(args: &Start, home: &Home) -> Result<(), Failure> {
    home.create()?;
    let secret = home.secret_or_new()?;
    let mut house = House::build(args, home, &secret).await?;
    house
        .addresses
        .keep(home.path())
        .context("the addresses cannot be kept in the data folder")?;
    println!("{}", welcome::text(&house.addresses, home, &secret)?);
    let ended = house.wait().await;
    let closed = house.close().await;
    Addresses::forget(home.path());
    Ok(ended.and(closed)?)
}

/// Everything that runs.
struct House {
    addresses: Addresses,
    log: Broker,
    api: Part,
    gateway: Part,
}

/// A door and the way to close it.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl House {
    async fn build(
        args: &Start,
        home: &Home,
        secret: &resident_token::Secret,
    ) -> Result<Self, Failure> {
        let metrics = PrometheusBuilder::new()
            .install_recorder()
            .context("the metrics are already installed")?;
        let verifier = Verifier::open(vec![KeySource::Secret(secret.clone())], Policy::default());
        let verifier = Arc::new(verifier.context("the secret that signs tokens is no good")?);
        let log = tokio::select! {
            log = start_log(args, home, metrics) => log?,
            ended = asked_to_end() => {
                ended?;
                return Err(anyhow!("ended before the log could serve").into());
            }
        };
        let doors = Doors::choose(args)?;

        let servers = log.address().to_string();
        let instance = args.together.node.to_string();
        let gateway = gateway_config(&doors, &servers, instance, Arc::clone(&verifier));
        let gateway = Gateway::bind(gateway);
        let gateway = gateway
            .await
            .context("the gateway does not start (--gateway-port chooses another port)")?;
        let api = Api::bind(api_config(&doors, home, &servers, verifier)).await;
        let api = api.context("the api does not start (--api-port chooses another port)")?;

        let addresses = Addresses {
            api: format!("http://{}", reachable(api.address())),
            gateway: format!("ws://{}/an-ws", reachable(gateway.address())),
            page: format!("http://{}", reachable(gateway.address())),
            log: servers,
            admin: log
                .admin_address()
                .map_or_else(String::new, |admin| format!("http://{admin}")),
        };
        let tasks = TaskTracker::new();
        let api_ready = api.ready();
        let api = Part::spawn(
            "the api",
            &tasks,
            |stop| async move { Ok(api.run(stop).await?) },
        );
        let gateway_ready = gateway.ready();
        let gateway = Part::spawn("the gateway", &tasks, |stop| async move {
            Ok(gateway.run(stop).await?)
        });
        let mut house = Self {
            addresses,
            log,
            api,
            gateway,
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(api_ready, gateway_ready) } => Ok(house),
            ended = house.wait() => {
                let closed = house.close().await;
                Err(ended.and(closed).err().unwrap_or_else(|| anyhow!("ended before it was ready")).into())
            }
        }
    }

    /// Until somebody asks for the end, or a part ends by itself.
    async fn wait(&mut self) -> Result<(), Error> {
        tokio::select! {
            asked = asked_to_end() => asked,
            () = self.log.stopped() => Err(anyhow!("the log stopped by itself")),
            ended = &mut self.api.task => Err(self.api.ended_early(ended)),
            ended = &mut self.gateway.task => Err(self.gateway.ended_early(ended)),
        }
    }

    /// No new calls, then no more pushes, then the log: each may still need the next.
    async fn close(self) -> Result<(), Error> {
        let api = self.api.close().await;
        let gateway = self.gateway.close().await;
        let log = self.log.shutdown().await.context("the log");
        api.and(gateway).and(log)
    }
}

impl Part {
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

    fn ended_early(&self, ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Error {
        match ended {
            Ok(Ok(())) => anyhow!("{} ended by itself", self.name),
            Ok(Err(error)) => error.context(self.name),
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

/// Until Ctrl-C or SIGTERM.
async fn asked_to_end() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("Ctrl-C cannot be heard"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Starts the log. With peers it waits for them, for as long as it takes.
async fn start_log(
    args: &Start,
    home: &Home,
    metrics: PrometheusHandle,
) -> Result<Broker, Failure> {
    let config = LogConfig {
        listen: SocketAddr::new(LOOPBACK, args.log_port),
        admin: Some(SocketAddr::new(LOOPBACK, args.admin_port)),
        metrics: Some(metrics),
        ..LogConfig::on(home.log())
    };
    let config = together::join(config, &args.together, home.given_secret())
        .map_err(|error| Failure::Here(error.into()))?;
    let advice = |error: &StartError| match error {
        StartError::Listen { .. } => "the log does not start (--log-port chooses another port)",
        StartError::AdminListen { .. } => {
            "the log does not start (--admin-port chooses another port)"
        }
        StartError::Node(_) => "the log does not start (--data chooses another folder)",
        StartError::PeerListen { .. } => "the log does not start (--peers says where)",
        StartError::NoPeers { .. }
        | StartError::NotListening { .. }
        | StartError::Settings { .. }
        | StartError::InsecureAddress { .. }
        | StartError::Ended => "the log does not start",
    };
    Broker::start(config).await.map_err(|error| {
        let advice = advice(&error);
        Failure::Here(Error::new(error).context(advice))
    })
}

/// The two doors' addresses. Each must be known before the other is opened: the page names the api, the api lets the
/// page in. So a port that the system is to choose is asked for first.
struct Doors {
    api: SocketAddr,
    gateway: SocketAddr,
}

impl Doors {
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
    let probe =
        TcpListener::bind((host, 0)).with_context(|| format!("{host}: no port can be had"))?;
    Ok(probe
        .local_addr()
        .with_context(|| format!("{host}: no port can be had"))?
        .port())
}

fn gateway_config(
    doors: &Doors,
    servers: &str,
    instance: String,
    verifier: Arc<Verifier>,
) -> GatewayConfig {
    let api = (!doors.api.ip().is_unspecified()).then(|| format!("http://{}", doors.api));
    GatewayConfig {
        api,
        instance,
        ..GatewayConfig::new(doors.gateway, servers.to_owned(), verifier)
    }
}

fn api_config(doors: &Doors, home: &Home, servers: &str, verifier: Arc<Verifier>) -> ApiConfig {
    ApiConfig {
        allowed_origins: doors.origins(),
        outbox: Some(home.outbox()),
        admin: None,
        ..ApiConfig::new(doors.api, servers.to_owned(), verifier)
    }
}

/// An address that somebody on this machine can type.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(LOOPBACK, address.port())
    } else {
        address
    }
}
