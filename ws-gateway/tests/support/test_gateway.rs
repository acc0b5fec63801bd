//! A log, its topics, gateways in front of it, and events that go into it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use event_model::{
    AlertAccepted, AlertRaised, EncodedRecord, Event, EventId, EventTime, House as Household, Line,
    RecordPosition, SpringTypes, Status, Text, expected_topics,
};
use jiff::Timestamp;
use log_core::{Broker, Config as LogConfig};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord, Producer},
    util::Timeout,
};
use resident_token::{
    Policy, Verifier,
    testing::{claims_of, sign_with_secret, trusted_keys, with},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use ws_gateway::{Config, Gateway};

use super::{PATIENCE, neighbour::Neighbour};

/// The time, for tokens and stamps.
#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Asks until it is so.
#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A log on a folder of its own.
pub(crate) struct Log {
    pub(crate) runtime: Arc<Runtime>,
    broker: Option<Broker>,
    folder: TempDir,
    address: SocketAddr,
    ids: AtomicU32,
}

impl Log {
    /// With both topics.
    pub(crate) fn start() -> Self {
        let log = Self::without_topics();
        log.create_topics();
        log
    }

    pub(crate) fn without_topics() -> Self {
        let runtime = Arc::new(Runtime::new().unwrap());
        let folder = TempDir::new().unwrap();
        let broker = runtime
            .block_on(Broker::start(on_a_free_port(&folder)))
            .unwrap();
        let address = broker.address();
        Self {
            runtime,
            broker: Some(broker),
            folder,
            address,
            ids: AtomicU32::new(0),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The log goes away.
    pub(crate) fn stop(&mut self) {
        let broker = self.broker.take().unwrap();
        self.runtime.block_on(broker.shutdown()).unwrap();
    }

    /// It comes back, on the same folder and address.
    pub(crate) fn start_again(&mut self) {
        let config = LogConfig {
            listen: self.address,
            ..LogConfig::on(self.folder.path())
        };
        self.broker = Some(self.runtime.block_on(Broker::start(config)).unwrap());
    }

    pub(crate) fn create_topics(&self) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let expected = expected_topics(1, event_model::RETENTION_DEFAULT);
        let topics: Vec<NewTopic<'_>> = expected
            .iter()
            .map(|topic| {
                let partitions = i32::try_from(topic.partitions.get()).unwrap();
                NewTopic::new(topic.name, partitions, TopicReplication::Fixed(1))
            })
            .collect();
        let created = admin.create_topics(
            &topics,
            &AdminOptions::new().operation_timeout(Some(PATIENCE)),
        );
        for outcome in self.runtime.block_on(created).unwrap() {
            outcome.unwrap();
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.address());
        client
    }

    pub(crate) fn writer(&self) -> FutureProducer {
        self.client()
            .set("linger.ms", "0")
            .set("enable.idempotence", "true")
            .create()
            .unwrap()
    }

    /// A writer of another program's, with a transaction open.
    pub(crate) fn writer_in_a_transaction(&self) -> FutureProducer {
        let mut client = self.client();
        client
            .set("linger.ms", "0")
            .set("transactional.id", "another");
        let writer: FutureProducer = client.create().unwrap();
        writer.init_transactions(PATIENCE).unwrap();
        writer.begin_transaction().unwrap();
        writer
    }

    /// Writes an event where it belongs; returns when the log has it.
    pub(crate) fn happens(&self, event: &Event) -> RecordPosition {
        let record = event_model::encode(event, SpringTypes::Written, None);
        self.write(&self.writer(), &record)
    }

    pub(crate) fn write(&self, writer: &FutureProducer, record: &EncodedRecord) -> RecordPosition {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let sent = FutureRecord::to(record.topic.name())
            .key(&record.key)
            .payload(&record.value)
            .headers(headers)
            .timestamp(record.timestamp.as_millis());
        let delivery = self
            .runtime
            .block_on(writer.send(sent, Timeout::After(PATIENCE)))
            .unwrap();
        let (partition, offset) = (delivery.partition, delivery.offset);
        RecordPosition {
            topic: record.topic,
            partition: u32::try_from(partition).unwrap(),
            offset: u64::try_from(offset).unwrap(),
        }
    }

    /// Writes bytes, without key or headers.
    pub(crate) fn write_bytes(&self, topic: &str, partition: i32, value: &[u8]) {
        let sent = FutureRecord::<(), _>::to(topic)
            .partition(partition)
            .payload(value);
        self.runtime
            .block_on(self.writer().send(sent, Timeout::After(PATIENCE)))
            .unwrap();
    }

    /// The first record of a partition, waited for.
    pub(crate) fn first_record(&self, topic: &str, partition: i32) -> OwnedMessage {
        let consumer: BaseConsumer = self.client().set("group.id", "tests").create().unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
        consumer.assign(&assignment).unwrap();
        let message = consumer
            .poll(PATIENCE)
            .unwrap_or_else(|| panic!("{topic}-{partition} is empty"));
        message.unwrap().detach()
    }

    /// What a group has committed for a record's partition.
    pub(crate) fn committed(&self, group: &str, place: RecordPosition) -> Option<i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(place.topic.name(), i32::try_from(place.partition).unwrap());
        let committed = consumer.committed_offsets(asked, PATIENCE).ok()?;
        match committed.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    fn event_id(&self) -> EventId {
        let mut random = [0; 10];
        random[..4].copy_from_slice(&self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        EventId::new(event_now(), random)
    }

    pub(crate) fn alert(&self, line: &str, house: &str, text: &str) -> Event {
        self.alert_at(line, house, text, event_now())
    }

    pub(crate) fn alert_at(&self, line: &str, house: &str, text: &str, at: EventTime) -> Event {
        Event::Raised(AlertRaised {
            id: self.event_id(),
            line: Line::new(line).unwrap(),
            house: Household::new(house).unwrap(),
            text: Text::new(text).0,
            position: None,
            at,
            status: Status::Actual,
            warnings: vec![],
        })
    }

    pub(crate) fn accept(&self, line: &str, responder: &str, target: &str) -> Event {
        Event::Accepted(AlertAccepted {
            seen: None,
            id: self.event_id(),
            line: Line::new(line).unwrap(),
            responder: Household::new(responder).unwrap(),
            target: Household::new(target).unwrap(),
            alert_id: None,
            at: event_now(),
            status: Status::Actual,
            warnings: vec![],
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            let stopped = self.runtime.block_on(broker.shutdown());
            assert!(
                stopped.is_ok() || std::thread::panicking(),
                "the log stopped by itself"
            );
        }
    }
}

fn on_a_free_port(folder: &TempDir) -> LogConfig {
    LogConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..LogConfig::on(folder.path())
    }
}

pub(crate) fn event_now() -> EventTime {
    EventTime::from_millis(now().as_millisecond())
}

/// A gateway's settings on free ports.
pub(crate) fn config(log: &str) -> Config {
    let verifier = Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap());
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), log, verifier);
    config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config
}

/// A good token.
pub(crate) fn token(line: &str, house: &str) -> String {
    sign_with_secret(&claims_of(line, house, now()))
}

/// A good token of an operator.
pub(crate) fn operators_token() -> String {
    sign_with_secret(&with(
        &claims_of("0", "0", now()),
        "roles",
        json!(["operator"]),
    ))
}

/// A running gateway.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    runtime: Arc<Runtime>,
    shutdown: CancellationToken,
    running: Option<JoinHandle<Result<(), ws_gateway::Error>>>,
}

impl TestGateway {
    /// Waits until it has read the log.
    pub(crate) fn open(log: &Log) -> Self {
        Self::with_config(log, config(&log.address()))
    }

    pub(crate) fn with_config(log: &Log, config: Config) -> Self {
        let gateway = Self::start(&log.runtime, config);
        wait_until("the gateway is ready", || {
            gateway.get_admin("/readyz").0 == 200
        });
        gateway
    }

    /// Does not wait.
    pub(crate) fn start(runtime: &Arc<Runtime>, config: Config) -> Self {
        let gateway = runtime.block_on(Gateway::bind(config)).unwrap();
        let (address, admin) = (gateway.address(), gateway.admin_address().unwrap());
        let shutdown = CancellationToken::new();
        let running = runtime.spawn(gateway.run(shutdown.clone()));
        Self {
            address,
            admin,
            runtime: Arc::clone(runtime),
            shutdown,
            running: Some(running),
        }
    }

    /// Ends it, and says how it ended.
    pub(crate) fn stop(&mut self) -> Result<(), ws_gateway::Error> {
        self.shutdown.cancel();
        let running = self.running.take().unwrap();
        let ended = async { tokio::time::timeout(PATIENCE, running).await };
        self.runtime.block_on(ended).unwrap().unwrap()
    }

    /// Asked to stop; does not wait.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/an-ws", self.address)
    }

    /// A resident of a line, subscribed to it as `sub-0`, all earlier frames heard.
    pub(crate) fn neighbour(&self, line: &str, house: &str) -> Neighbour {
        let mut neighbour = Neighbour::connected(self.address, "1.2", &token(line, house));
        neighbour.subscribe("sub-0", &format!("/sub/line/{line}"), "");
        neighbour
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String, String) {
        http(
            self.address,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.address
            ),
        )
    }

    pub(crate) fn get_admin(&self, path: &str) -> (u16, String, String) {
        http(
            self.admin,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.admin
            ),
        )
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            drop(
                self.runtime
                    .block_on(async { tokio::time::timeout(PATIENCE, running).await }),
            );
        }
    }
}

/// One request, answered: status, head and body.
pub(crate) fn http(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{read:?}: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}
