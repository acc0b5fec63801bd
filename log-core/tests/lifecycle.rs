//! Starting, stopping and starting again.

mod support;

use std::net::SocketAddr;

use journal::FolderLock;
use kafka_protocol::messages::{ApiKey, FetchRequest, MetadataRequest};
use log_core::ids::TimestampMs;
use log_core::record::{BatchBuilder, NewRecord};
use log_core::{Broker, Config, StartError};
use support::TestBroker;
use support::records::{AT, batch_of};
use support::wire_client::{
    WireClient, create_topic, create_topic_with, fetch_request, frame, latest_offset,
    new_producer_id, produce,
};

fn on(folder: &std::path::Path) -> Config {
    let mut config = Config::on(folder);
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Broker::start(on(folder.path())).await.expect("starts");
    let mut client = WireClient::connect(&first.address().to_string()).await;
    create_topic(&mut client, "a", 2).await;
    for offset in 0..10 {
        assert_eq!(
            produce(&mut client, "a", batch_of(&[&format!("record {offset}")])).await,
            Ok(offset)
        );
    }
    let before = client.fetch_from("a", 0).await;
    let (id, epoch) = (
        new_producer_id(&mut client).await,
        leader_epoch(&mut client).await,
    );
    first.shutdown().await.expect("ends cleanly");

    let second = Broker::start(on(folder.path()))
        .await
        .expect("starts again");
    let mut client = WireClient::connect(&second.address().to_string()).await;
    assert_eq!(client.fetch_from("a", 0).await, before, "byte for byte");
    assert_eq!(latest_offset(&mut client, "a").await, 10);
    assert!(
        id < new_producer_id(&mut client).await,
        "a producer id is given out once"
    );
    assert!(
        epoch < leader_epoch(&mut client).await,
        "clients ignore a leader whose epoch falls"
    );
    assert_eq!(
        produce(&mut client, "a", batch_of(&["after"])).await,
        Ok(10)
    );
    second.shutdown().await.expect("ends cleanly");
}

async fn leader_epoch(client: &mut WireClient) -> i32 {
    let response = client
        .ask(9, MetadataRequest::default().with_topics(None))
        .await;
    response.topics[0].partitions[0].leader_epoch
}

#[tokio::test]
async fn a_broker_that_cannot_start_says_why_in_one_sentence() {
    let running = TestBroker::start().await;
    let folder = tempfile::tempdir().expect("a folder");

    let mut taken = on(folder.path());
    taken.listen = running.broker.address();
    let sentence = Broker::start(taken)
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(sentence.contains("the port is taken"), "{sentence}");

    let sentence = Broker::start(on(running.folder.path()))
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(sentence.contains("in use"), "{sentence}");

    let mut open_to_all = on(folder.path());
    open_to_all.listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Broker::start(open_to_all.clone()).await;
    assert!(matches!(refused, Err(StartError::InsecureAddress { .. })));
    open_to_all.insecure_log = true;
    Broker::start(open_to_all)
        .await
        .expect("told that it is wanted")
        .shutdown()
        .await
        .expect("ends cleanly");

    let file = folder.path().join("a-file");
    std::fs::write(&file, b"").expect("written");
    let sentence = Broker::start(on(&file.join("data")))
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(sentence.contains("cannot be"), "{sentence}");
    running.stop().await;
}

#[tokio::test]
async fn the_operator_sees_health_readiness_and_figures() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .expect("the first");
    let broker = TestBroker::start_with(|config| {
        config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.metrics = Some(recorder);
    })
    .await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "a", 1).await;
    assert_eq!(produce(&mut client, "a", batch_of(&["x"])).await, Ok(0));

    let admin = broker.broker.admin_address().expect("asked for");
    assert!(get(admin, "/healthz").await.ends_with("\r\n\r\nok\n"));
    let ready = get(admin, "/readyz").await;
    let well = r#"{"ready":true,"status":"leader","reasons":[]}"#;
    assert!(ready.ends_with(well), "{ready}");
    let nowhere = ask(admin, "/nowhere").await;
    assert!(nowhere.starts_with("HTTP/1.1 404"), "{nowhere}");
    assert!(nowhere.contains(r#""code":"not_found""#), "{nowhere}");
    let figures = get(admin, "/metrics").await;
    // How many is not asked: the recorder is the process's, and the brokers of the other tests count too.
    for name in [
        "log_requests_total{api=\"Produce\"}",
        "log_applied_index",
        "log_request_bytes_total",
    ] {
        assert!(figures.contains(name), "{name} in\n{figures}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_record_stamped_ten_years_ahead_is_stored_and_the_clocks_are_a_reason_in_readiness() {
    let broker = TestBroker::start_with(|config| {
        config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let admin = broker.broker.admin_address().expect("asked for");
    let mut client = WireClient::connect(&broker.address()).await;
    let calls = [
        ("mayday.acks.min", "all"),
        ("message.timestamp.after.max.ms", "5000"),
    ];
    create_topic(&mut client, "plain", 1).await;
    create_topic_with(&mut client, "calls", 1, &calls).await;
    let judged = [("message.timestamp.after.max.ms", "60000")];
    create_topic_with(&mut client, "judged", 1, &judged).await;
    assert!(get(admin, "/readyz").await.contains(r#""reasons":[]"#));

    let mut batch = BatchBuilder::plain();
    batch.push(NewRecord {
        timestamp: TimestampMs(AT.0 + 10 * 365 * 86_400_000),
        value: Some("fire".into()),
        ..NewRecord::default()
    });
    let batch = batch.build();
    for topic in ["plain", "calls"] {
        assert_eq!(produce(&mut client, topic, batch.clone()).await, Ok(0));
    }
    let refused = produce(&mut client, "judged", batch).await;
    assert_eq!(
        refused,
        Err(32),
        "INVALID_TIMESTAMP, where somebody wants it"
    );

    let ready = get(admin, "/readyz").await;
    assert!(ready.contains(r#""code":"records_ahead""#), "{ready}");
    let well = r#""ready":true,"status":"leader""#;
    assert!(ready.contains(well), "{ready}");
    broker.stop().await;
}

async fn get(admin: SocketAddr, path: &str) -> String {
    let answer = ask(admin, path).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

async fn ask(admin: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(admin)
        .await
        .expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn a_shutdown_answers_a_fetch_that_waits() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "a", 1).await;
    let metadata = frame(
        ApiKey::Metadata as i16,
        9,
        1,
        &MetadataRequest::default().with_topics(None),
    );
    let fetch = frame(
        ApiKey::Fetch as i16,
        12,
        2,
        &fetch_request("a", 0).with_max_wait_ms(20_000),
    );
    client.send_raw(&[metadata, fetch].concat()).await;
    client.answer::<MetadataRequest>(9).await;

    broker.stop().await;

    let answered = client.answer::<FetchRequest>(12).await;
    assert_eq!(answered.responses[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn a_broker_that_is_dropped_lets_go_of_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(Broker::start(on(folder.path())).await.expect("starts"));

    let started_again = async {
        loop {
            if let Ok(broker) = Broker::start(on(folder.path())).await {
                break broker;
            }
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(20);
    let again = tokio::time::timeout(deadline, started_again)
        .await
        .expect("the folder is free");
    again.shutdown().await.expect("ends cleanly");
}

/// Its clean end takes a moment after the drop: a checkpoint is its last work, and the folder is free only then.
#[tokio::test]
async fn a_broker_that_is_dropped_keeps_its_folder_until_its_last_thread_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(Broker::start(on(folder.path())).await.expect("starts"));

    let free = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            match FolderLock::acquire(folder.path()) {
                Ok(lock) => return lock,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    });
    let _lock = free.await.expect("the folder is free in the end");
    assert!(folder.path().join("checkpoint").exists());
}

/// The system chose the port; the next start asks for it by number, as whoever restarts a node does.
#[tokio::test]
async fn a_broker_starts_again_at_once_on_the_port_that_it_had() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Broker::start(on(folder.path())).await.expect("starts");
    let address = first.address();
    let mut client = WireClient::connect(&address.to_string()).await;
    client.ask(9, MetadataRequest::default()).await;
    // The broker hangs up first: the connection's end lingers on its port.
    first.shutdown().await.expect("ends cleanly");
    client.wait_for_close().await;
    drop(client);

    let mut same = on(folder.path());
    same.listen = address;
    let second = Broker::start(same).await.expect("starts again");
    assert_eq!(second.address(), address);
    second.shutdown().await.expect("ends cleanly");
}
