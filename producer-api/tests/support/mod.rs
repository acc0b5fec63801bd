//! The small language of these tests: a log, a service in front of it, and a client that speaks HTTP by hand.

#![allow(dead_code, reason = "each test file uses its part of the language")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use event_model::{Decoded, Event, PARTITIONS, RecordPosition, RecordView, Topic, decode};
use jiff::Timestamp;
use log_core::Broker;
use producer_api::{Config, Service};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    mocking::MockCluster,
    producer::DefaultProducerContext,
};
use resident_token::{
    Policy, Verifier,
    testing::{claims_of, sign_with_secret, trusted_keys, with},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The log as it is shipped: one node in this process, on a folder and threads of its own. Tests read it with
/// calls that block.
pub(crate) struct TestLog {
    folder: Arc<TempDir>,
    address: SocketAddr,
    broker: Option<Broker>,
    threads: Option<Runtime>,
}

impl TestLog {
    pub(crate) async fn start() -> Self {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = threads
            .spawn(start_broker(Arc::clone(&folder), listen))
            .await
            .unwrap();
        Self {
            folder,
            address: broker.address(),
            broker: Some(broker),
            threads: Some(threads),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn stop(&mut self) {
        let broker = self.broker.take().unwrap();
        self.threads()
            .spawn(broker.shutdown())
            .await
            .unwrap()
            .unwrap();
    }

    /// Starts again on the same folder and the same port.
    pub(crate) async fn start_again(&mut self) {
        let broker = self
            .threads()
            .spawn(start_broker(Arc::clone(&self.folder), self.address));
        self.broker = Some(broker.await.unwrap());
    }

    fn threads(&self) -> &Runtime {
        self.threads.as_ref().unwrap()
    }
}

impl Drop for TestLog {
    fn drop(&mut self) {
        // A runtime may not be waited for inside another one.
        self.threads.take().unwrap().shutdown_background();
    }
}

async fn start_broker(folder: Arc<TempDir>, listen: SocketAddr) -> Broker {
    let mut config = log_core::Config::on(folder.path().join("log"));
    config.listen = listen;
    config.storage.journal.segment_bytes = 1 << 20;
    config.storage.journal.record_bytes_max = 1 << 19;
    Broker::start(config).await.unwrap()
}

/// librdkafka's own small log, for faults on demand: no disk, and slow or silent when told.
pub(crate) struct MockLog(pub(crate) MockCluster<'static, DefaultProducerContext>);

impl MockLog {
    pub(crate) fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in ["an-alert", "an-accept", "an-alert.DLT", "an-accept.DLT"] {
            cluster.create_topic(topic, 2, 1).unwrap();
        }
        Self(cluster)
    }

    pub(crate) fn address(&self) -> String {
        self.0.bootstrap_servers()
    }
}

/// The keys of the tests, as the service trusts them.
pub(crate) fn verifier() -> Arc<Verifier> {
    Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap())
}

/// A service's settings on free ports, its limits out of the way.
pub(crate) fn config(log: &str) -> Config {
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), log, verifier());
    config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.house_limit.burst = NonZeroU32::new(1_000_000).unwrap();
    config
}

/// A running api.
pub(crate) struct TestApi {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl TestApi {
    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn open(config: Config) -> Self {
        let api = Self::start(config).await;
        api.wait_until_ready().await;
        api
    }

    pub(crate) async fn start(config: Config) -> Self {
        let service = Service::bind(config).await.unwrap();
        let (address, admin) = (service.address(), service.admin_address().unwrap());
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is the parent: it waits for the task in `close`"
        )]
        let running = tokio::spawn(async move { service.run(stop).await.unwrap() });
        Self {
            address,
            admin,
            shutdown,
            running,
        }
    }

    /// Waits until the next call would go straight to the log.
    pub(crate) async fn wait_until_ready(&self) {
        let started = now();
        loop {
            let readiness = get(self.admin, "/readyz").await.json();
            if readiness["ready"] == true && readiness.get("reason").is_none() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the service does not get ready: {readiness}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn wait_for_readiness(&self, status: u16) {
        let started = now();
        while get(self.admin, "/readyz").await.status != status {
            assert!(
                started.elapsed() < PATIENCE,
                "the service does not say {status} at /readyz"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the service knows that the log is there, or gone.
    pub(crate) async fn wait_until_log_is(&self, there: bool) {
        let started = now();
        while get(self.admin, "/readyz").await.json()["log"] != there {
            assert!(
                started.elapsed() < PATIENCE,
                "the service does not notice the log"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the log's tail has been read.
    pub(crate) async fn wait_until_keys_are_known(&self) {
        let started = now();
        while get(self.admin, "/readyz").await.json()["keys"] != true {
            assert!(started.elapsed() < PATIENCE, "the log's tail is not read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn close(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }

    pub(crate) async fn alert(&self, token: &str, body: impl AsRef<[u8]>) -> HttpResponse {
        self.post("/alert", token, body).await
    }

    pub(crate) async fn accept(&self, token: &str, body: impl AsRef<[u8]>) -> HttpResponse {
        self.post("/accept", token, body).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        token: &str,
        body: impl AsRef<[u8]>,
    ) -> HttpResponse {
        self.post_with(path, token, &[], body).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> HttpResponse {
        let authorization = format!("Bearer {token}");
        let mut all = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        for header in headers {
            all.retain(|(name, _)| *name != header.0);
            all.push(*header);
        }
        request(self.address, "POST", path, &all, body.as_ref()).await
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's patience is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokens are checked against real time"
)]
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}

/// A good token for a house.
pub(crate) fn token(line: &str, house: &str) -> String {
    sign_with_secret(&claims_of(line, house, wall()))
}

pub(crate) fn token_with(line: &str, house: &str, claim: &str, value: Value) -> String {
    sign_with_secret(&with(&claims_of(line, house, wall()), claim, value))
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let body = self.json();
        let warnings = body["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| warning["code"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Where the call is, by its own word.
    pub(crate) fn place(&self) -> RecordPosition {
        assert_eq!(self.status, 201, "{}", String::from_utf8_lossy(&self.body));
        let body = self.json();
        RecordPosition {
            topic: Topic::from_name(body["topic"].as_str().unwrap()).unwrap(),
            partition: u32::try_from(body["partition"].as_u64().unwrap()).unwrap(),
            offset: body["offset"].as_u64().unwrap(),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> HttpResponse {
    request(address, "GET", path, &[], b"").await
}

pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> HttpResponse {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    send(address, &[head.as_bytes(), b"\r\n", body].concat()).await
}

/// Sends bytes as they are and reads what comes back.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> HttpResponse {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may answer and close before it has read everything: a broken pipe is no failure.
    let _broken_pipe = stream.write_all(bytes).await;
    read_answer(stream).await
}

pub(crate) async fn read_answer(mut stream: TcpStream) -> HttpResponse {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut chunk))
            .await
            .expect("no answer in time");
        match read {
            Ok(0) | Err(_) => break,
            Ok(bytes) => answer.extend_from_slice(&chunk[..bytes]),
        }
        if is_complete(&answer) {
            break;
        }
    }
    parse(&answer)
}

fn is_complete(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let length = parse(answer)
        .headers
        .get("content-length")
        .and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| head + 4 + length <= answer.len())
}

fn parse(answer: &[u8]) -> HttpResponse {
    let head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an answer has a head");
    let text = String::from_utf8(answer[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    HttpResponse {
        status,
        headers: headers.collect(),
        body: answer[head + 4..].to_vec(),
    }
}

/// Asks what became of a call until the service knows it.
pub(crate) async fn wait_until_known(api: SocketAddr, authorization: (&str, &str), id: &str) {
    let started = now();
    let path = format!("/calls/{id}");
    while request(api, "GET", &path, &[authorization], b"")
        .await
        .status
        != 200
    {
        assert!(
            started.elapsed() < PATIENCE,
            "the service does not hear of {id}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks what became of a queued call until it is stored, and returns where.
pub(crate) async fn wait_until_stored(
    api: SocketAddr,
    authorization: (&str, &str),
    id: &str,
) -> RecordPosition {
    let started = now();
    loop {
        let answer = request(api, "GET", &format!("/calls/{id}"), &[authorization], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        if told["status"] == "stored" {
            let topic = told["topic"].as_str().unwrap();
            return format!("{topic}-{}-{}", told["partition"], told["offset"])
                .parse()
                .unwrap();
        }
        if PATIENCE < started.elapsed() {
            let readiness = get(api, "/readyz").await.json();
            panic!("the call does not leave the outbox: {told}, {readiness}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The event at a place of the log, by a consumer that is not ours.
pub(crate) fn read(log: &str, place: RecordPosition) -> Event {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .set("group.id", "test")
        .create()
        .unwrap();
    let mut places = TopicPartitionList::new();
    let partition = i32::try_from(place.partition).unwrap();
    let offset = Offset::Offset(i64::try_from(place.offset).unwrap());
    places
        .add_partition_offset(place.topic.name(), partition, offset)
        .unwrap();
    consumer.assign(&places).unwrap();
    let started = now();
    loop {
        assert!(started.elapsed() < PATIENCE, "nothing to read at {place}");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        assert_eq!(u64::try_from(message.offset()).unwrap(), place.offset);
        let headers = message.headers().unwrap();
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect();
        let time = event_model::EventTime::from_millis(message.timestamp().to_millis().unwrap());
        let view = RecordView {
            place,
            time,
            headers: &headers,
            value: message.payload(),
        };
        let Decoded::Event(recorded) = decode(&view).unwrap() else {
            panic!("not an event")
        };
        assert_eq!(
            message.key().unwrap(),
            recorded.event.line().as_str().as_bytes()
        );
        return recorded.event;
    }
}

/// How many records the log has, of both topics.
pub(crate) fn records(log: &str) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .create()
        .unwrap();
    let partitions = i32::try_from(PARTITIONS.get()).unwrap();
    Topic::ALL
        .iter()
        .flat_map(|topic| (0..partitions).map(move |partition| (topic.name(), partition)))
        .map(|(topic, partition)| {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition, PATIENCE)
                .unwrap();
            high - low
        })
        .sum()
}

pub(crate) fn alert_body(line: &str, house: &str) -> String {
    json!({"line": line, "house": house, "text": "fire in the kitchen", "lat": "37.5665", "lng": "126.978"}).to_string()
}

pub(crate) fn accept_body(line: &str, accept: &str, target: &str) -> String {
    json!({"line": line, "acceptHouse": accept, "targetHouse": target}).to_string()
}
