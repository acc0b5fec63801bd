//! The batch against a real log: what is read, what is told about it, and what is said when there is none.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::error::Error as StdError;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use analytics_batch::{Config, Edition, WrittenReport, report, run};
use event_model::{
    AlertAccepted, AlertRaised, EncodedRecord, Event, EventId, EventTime, House, Line, PARTITIONS,
    RETENTION_DEFAULT, SpringTypes, Status, Text, Topic, encode, expected_topics, partition_for,
};
use log_core::Broker;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const RAISED: &str = "2026-11-20T06:00:00.000Z";
const AS_OF: &str = "2026-11-20T09:00:00.000Z";

struct House101 {
    broker: Broker,
    folder: TempDir,
    producer: FutureProducer,
}

impl House101 {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = log_core::Config::on(folder.path().join("log"));
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.storage.journal.segment_bytes = 1 << 20;
        config.storage.journal.record_bytes_max = 1 << 19;
        let broker = Broker::start(config).await.unwrap();
        let producer = client(&broker).set("linger.ms", "0").create().unwrap();
        Self {
            broker,
            folder,
            producer,
        }
    }

    async fn with_topics() -> Self {
        let house = Self::build().await;
        let admin: AdminClient<DefaultClientContext> = client(&house.broker).create().unwrap();
        let topics = expected_topics(1, RETENTION_DEFAULT);
        let new = topics.iter().map(|topic| {
            let partitions = i32::try_from(topic.partitions.get()).unwrap();
            NewTopic::new(topic.name, partitions, TopicReplication::Fixed(1))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        for created in admin
            .create_topics(&new, &AdminOptions::new())
            .await
            .unwrap()
        {
            created.unwrap();
        }
        house
    }

    async fn put(&self, record: &EncodedRecord, line: &Line) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let partition = partition_for(line, PARTITIONS).cast_signed();
        let record = FutureRecord::to(record.topic.name())
            .key(&record.key)
            .payload(&record.value)
            .partition(partition)
            .timestamp(record.timestamp.as_millis())
            .headers(headers);
        self.producer
            .send(record, Duration::from_secs(20))
            .await
            .unwrap();
    }

    /// A record that nobody can read.
    async fn put_noise(&self) {
        let record = FutureRecord::<[u8], _>::to(Topic::Alert.name())
            .payload("no alert")
            .partition(0);
        self.producer
            .send(record, Duration::from_secs(20))
            .await
            .unwrap();
    }

    fn config(&self) -> Config {
        let mut config = Config::new(
            self.broker.address().to_string(),
            self.folder.path().join("reports"),
        );
        config.as_of = Some(time(AS_OF));
        config.edition = Edition::Admin;
        config.log_deadline = Duration::from_secs(20);
        config
    }

    async fn report(&self) -> WrittenReport {
        report(&self.config(), CancellationToken::new())
            .await
            .unwrap()
    }
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address().to_string());
    config
}

fn time(text: &str) -> EventTime {
    text.parse().unwrap()
}

fn line() -> Line {
    Line::new("래미안 1단지").unwrap()
}

fn alert(number: u8) -> Event {
    let at = time(RAISED).plus(Duration::from_secs(u64::from(number)));
    Event::Raised(AlertRaised {
        id: EventId::new(at, [number; 10]),
        line: line(),
        house: House::new("101").unwrap(),
        text: Text::new("주방에 불이 났어요").0,
        position: None,
        at,
        status: Status::Actual,
        warnings: vec![],
    })
}

fn accept(of: &Event, after: Duration) -> Event {
    let at = of.at().plus(after);
    Event::Accepted(AlertAccepted {
        seen: None,
        id: EventId::new(at, [99; 10]),
        line: line(),
        responder: House::new("102").unwrap(),
        target: of.house().clone(),
        alert_id: Some(of.id()),
        at,
        status: Status::Actual,
        warnings: vec![],
    })
}

fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn figure(stats: &Value, table: &str, name: &str, column: &str) -> Value {
    let rows = stats["tables"][table].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row.as_object().unwrap().values().next().unwrap() == name);
    row.unwrap()[column].clone()
}

fn chain(error: &dyn StdError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}

#[tokio::test]
async fn what_was_posted_is_told() {
    let house = House101::with_topics().await;
    let (first, second) = (alert(1), alert(200));
    for event in [&first, &second, &accept(&first, Duration::from_secs(7))] {
        house
            .put(&encode(event, SpringTypes::Written, None), &line())
            .await;
    }
    house
        .put(&encode(&first, SpringTypes::Written, None), &line())
        .await;
    house.put_noise().await;

    let written = house.report().await;
    let stats = read(&written.folder.join("total"), "stats.json");
    assert_eq!((written.lines, written.records), (1, 5));
    assert_eq!(figure(&stats, "summary", "alerts", "value"), 2);
    assert_eq!(figure(&stats, "summary", "accepted", "value"), 1);
    assert_eq!(
        figure(&stats, "time_to_first_accept", "p50", "naive_s"),
        7.0
    );
    assert_eq!(figure(&stats, "categories", "fire", "alerts"), 2);
    assert_eq!(
        figure(&stats, "data_quality", "duplicate records", "count"),
        1
    );
    assert_eq!(figure(&stats, "intake", "unreadable records", "count"), 1);
    let rejects = fs::read_to_string(written.folder.join("total/rejects.csv")).unwrap();
    let offset = if partition_for(&line(), PARTITIONS) == 0 {
        3
    } else {
        0
    };
    assert!(
        rejects.contains(&format!("\r\nan-alert,0,{offset},no JSON\r\n")),
        "{rejects}"
    );

    let offsets = read(&written.folder.join("total"), "manifest.json")["offsets"].clone();
    let ends: u64 = offsets
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["end"].as_u64().unwrap())
        .sum();
    assert_eq!((offsets.as_array().unwrap().len(), ends), (4, 5));
    assert!(
        fs::read_to_string(&written.report)
            .unwrap()
            .starts_with("<!doctype html>")
    );
    house.broker.shutdown().await.unwrap();
}

/// On a log that takes transactions on the calls' topics, as Apache Kafka does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_of_another_client_keeps_no_call_out_of_the_report() {
    let mut house = House101::with_topics().await;
    let mut another = client(&house.broker);
    another
        .set("linger.ms", "0")
        .set("transactional.id", "another");
    let another: FutureProducer = another.create().unwrap();
    tokio::task::block_in_place(|| {
        another.init_transactions(Duration::from_secs(20)).unwrap();
        another.begin_transaction().unwrap();
    });
    let ours = std::mem::replace(&mut house.producer, another);
    house.put_noise().await;
    house.producer = ours;

    house.put_noise().await;

    assert_eq!(house.report().await.records, 2);
    house.broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_same_offsets_and_moment_give_the_same_bytes() {
    let house = House101::with_topics().await;
    house
        .put(&encode(&alert(1), SpringTypes::Written, None), &line())
        .await;
    let bytes = |written: &WrittenReport| {
        ["report.html", "stats.json", "manifest.json", "alerts.csv"]
            .map(|name| fs::read(written.folder.join("total").join(name)).unwrap())
    };
    let first = bytes(&house.report().await);
    assert!(first == bytes(&house.report().await));
    house.broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_at_once_with_one_moment_publish_one_report_without_holes() {
    let house = House101::with_topics().await;
    house
        .put(&encode(&alert(1), SpringTypes::Written, None), &line())
        .await;
    let (first, second, third) = tokio::join!(house.report(), house.report(), house.report());

    assert!(first.folder == second.folder && second.folder == third.folder);
    let lines = fs::read_dir(first.folder.join("lines")).unwrap();
    let mut parts: Vec<_> = lines.map(|line| line.unwrap().path()).collect();
    assert_eq!(parts.len(), 1);
    parts.push(first.folder.join("total"));
    for part in parts {
        let listed = read(&part, "manifest.json")["files"].clone();
        for (name, file) in listed.as_object().unwrap() {
            let bytes = fs::metadata(part.join(name)).unwrap().len();
            assert_eq!(Some(bytes), file["bytes"].as_u64(), "{name}");
        }
    }
    let left = fs::read_dir(house.config().folder).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
    left.retain(|path| !path.ends_with(".lock"));
    assert_eq!(left, [first.folder]);
    house.broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_that_does_not_answer_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens on the discard port of this machine.
    let mut config = Config::new("127.0.0.1:9", folder.path().join("reports"));
    config.log_deadline = Duration::from_millis(300);
    let error = report(&config, CancellationToken::new()).await.unwrap_err();
    assert!(
        chain(&error).contains("the log at 127.0.0.1:9 does not answer"),
        "{}",
        chain(&error)
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_log_without_the_topics_is_waited_for_and_then_named() {
    let house = House101::build().await;
    let mut config = house.config();
    config.log_deadline = Duration::from_millis(500);
    let error = report(&config, CancellationToken::new()).await.unwrap_err();
    assert!(
        chain(&error).contains("has no topic an-alert"),
        "{}",
        chain(&error)
    );
    house.broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_scheduled_batch_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new("127.0.0.1:9", folder.path());
    config.schedule = Some("0 0 1 1 *".parse().unwrap());
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    run(config, shutdown).await.unwrap();
}

#[tokio::test]
async fn a_schedule_that_never_comes_is_an_error_at_the_start() {
    let mut config = Config::new("127.0.0.1:9", "never-written");
    config.schedule = Some("0 0 30 2 *".parse().unwrap());
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(chain(&error).contains("0 0 30 2 *"), "{}", chain(&error));
}
