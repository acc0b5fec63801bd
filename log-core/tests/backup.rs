//! Backups and what is restored from them: the real binary, and clients that were there before.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use kafka_protocol::messages::MetadataRequest;
use log_core::ids::{ProducerEpoch, ProducerId, Sequence};
use log_core::record::ProducerStamp;
use log_core::{Broker, Config};
use serde_json::Value;
use tempfile::TempDir;

use support::TestBroker;
use support::clients::python;
use support::records::{batch_by, batch_of};
use support::wire_client::{WireClient, create_topic, latest_offset, new_producer_id, produce};

const TOPIC: &str = "an-alert";

#[tokio::test]
async fn clients_that_were_connected_go_on_with_the_restored_log() {
    let said = python("restored.py", &[env!("CARGO_BIN_EXE_log-core")]).await;
    let said = said.expect_success("restored");
    assert!(said.contains("clients go on"), "{said}");
}

fn log_core(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_log-core"))
        .args(arguments)
        .output()
        .expect("runs")
}

/// What the binary complains of; it must.
fn refusal(arguments: &[&str]) -> String {
    let output = log_core(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn success(arguments: &[&str]) -> String {
    let output = log_core(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A stopped log with two records, and its backup.
struct BackedUpLog {
    parent: TempDir,
    /// Who wrote the records.
    producer: ProducerId,
    _stopped: TempDir,
}

/// Two records, and the very same batch each time.
fn first_batch_of(id: ProducerId) -> Bytes {
    let stamp = ProducerStamp {
        id,
        epoch: ProducerEpoch(0),
        base_sequence: Some(Sequence(0)),
    };
    batch_by(stamp, &["fire", "flood"])
}

impl BackedUpLog {
    async fn with_a_backup() -> Self {
        let TestBroker { broker, folder } = TestBroker::start().await;
        let mut client = WireClient::connect(&broker.address().to_string()).await;
        create_topic(&mut client, TOPIC, 1).await;
        let id = ProducerId(new_producer_id(&mut client).await);
        let stored = produce(&mut client, TOPIC, first_batch_of(id)).await;
        assert_eq!(stored, Ok(0));
        drop(client);
        broker.shutdown().await.expect("ends cleanly");
        let log = Self {
            parent: tempfile::tempdir().expect("a folder"),
            producer: id,
            _stopped: folder,
        };
        let data = log._stopped.path().to_str().expect("UTF-8");
        success(&["backup", "--data", data, "--to", &log.path("backup")]);
        log
    }

    fn path(&self, name: &str) -> String {
        let path = self.parent.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The command line that restores the backup.
    fn restore(&self, more: &[&str]) -> Vec<String> {
        let (backup, data) = (self.path("backup"), self.path("data"));
        let begin = ["restore", "--from", &backup, "--data", &data];
        begin.iter().chain(more).map(ToString::to_string).collect()
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

async fn broker_on(folder: &str, node: u32) -> Broker {
    let mut config = Config::on(folder);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.node_id = log_core::ids::NodeId(node);
    Broker::start(config).await.expect("starts")
}

#[tokio::test]
async fn a_restored_log_has_the_records_and_begins_far_above_the_old_epoch() {
    let log = BackedUpLog::with_a_backup().await;
    let restore = log.restore(&[]);
    let said = success(&borrowed(&restore));
    assert!(said.contains("restored with 1 topics"), "{said}");
    assert!(said.contains("its epochs go on from 100000"), "{said}");

    let broker = broker_on(&log.path("data"), 1).await;
    let mut client = WireClient::connect(&broker.address().to_string()).await;
    assert_eq!(latest_offset(&mut client, TOPIC).await, 2);
    produce(&mut client, TOPIC, batch_of(&["again"]))
        .await
        .expect("stored");
    let metadata = client
        .ask(9, MetadataRequest::default().with_topics(None))
        .await;
    let epoch = metadata.topics[0].partitions[0].leader_epoch;
    assert!(1_000_000 < epoch, "{epoch}");
    drop(client);
    broker.shutdown().await.expect("ends cleanly");
    success(&["verify", "--data", &log.path("data")]);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_with_the_old_log_is_stored_once_and_no_id_is_given_out_twice()
 {
    let log = BackedUpLog::with_a_backup().await;
    success(&borrowed(&log.restore(&[])));
    let broker = broker_on(&log.path("data"), 1).await;
    let mut client = WireClient::connect(&broker.address().to_string()).await;

    let again = produce(&mut client, TOPIC, first_batch_of(log.producer)).await;

    assert_eq!(again, Ok(0), "recognised");
    assert_eq!(latest_offset(&mut client, TOPIC).await, 2);
    assert!(log.producer.0 + 1_000_000 <= new_producer_id(&mut client).await);
    broker.shutdown().await.expect("ends cleanly");
}

#[tokio::test]
async fn a_log_can_be_restored_under_another_node_id_and_with_an_epoch_of_ones_own() {
    let log = BackedUpLog::with_a_backup().await;
    success(&borrowed(&log.restore(&[
        "--node-id",
        "5",
        "--epoch",
        "77",
    ])));
    let broker = broker_on(&log.path("data"), 5).await;
    broker.shutdown().await.expect("ends cleanly");
    let identity = fs::read(Path::new(&log.path("data")).join("identity.json")).expect("read");
    let identity: Value = serde_json::from_slice(&identity).expect("JSON");
    assert_eq!(identity["node"], 5);
}

#[tokio::test]
async fn a_restore_that_cannot_be_right_is_refused_in_a_sentence() {
    let log = BackedUpLog::with_a_backup().await;

    let low = refusal(&borrowed(&log.restore(&["--epoch", "1"])));
    assert!(low.contains("epoch 1: needs more than"), "{low}");
    assert!(!Path::new(&log.path("data")).exists());

    let elsewhere = log.path("nothing");
    let none = refusal(&["restore", "--from", &elsewhere, "--data", &log.path("data")]);
    assert!(
        none.contains("is no backup: it has no backup.json"),
        "{none}"
    );

    let full = refusal(&[
        "restore",
        "--from",
        &log.path("backup"),
        "--data",
        &log.path("backup"),
    ]);
    assert!(full.contains("is not empty"), "{full}");

    let checkpoint = Path::new(&log.path("backup")).join("checkpoint");
    let mut bytes = fs::read(&checkpoint).expect("read");
    bytes[30] ^= 1;
    fs::write(&checkpoint, bytes).expect("written");
    let damaged = refusal(&borrowed(&log.restore(&[])));
    assert!(
        damaged.contains("is damaged, restore another one"),
        "{damaged}"
    );
    assert!(!Path::new(&log.path("data")).exists());
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_says_why() {
    let log = BackedUpLog::with_a_backup().await;
    let again = refusal(&[
        "backup",
        "--data",
        &log.path("backup"),
        "--to",
        &log.path("x"),
    ]);
    assert!(again.contains("this folder is a backup"), "{again}");
    let missing = refusal(&[
        "backup",
        "--data",
        &log.path("missing"),
        "--to",
        &log.path("x"),
    ]);
    assert!(missing.contains("holds no log"), "{missing}");
}
