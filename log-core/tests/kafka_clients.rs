//! Kafka clients that others wrote, against a broker of ours.

mod support;

use log_core::Config;
use log_core::ids::{ProducerEpoch, ProducerId, Sequence};
use log_core::record::ProducerStamp;
use support::TestBroker;
use support::clients::{java, kcat, node, python};
use support::records::batch_by;
use support::wire_client::{WireClient, create_topic, latest_offset, new_producer_id, produce};

fn with_auto_create(config: &mut Config) {
    config.auto_create_topics_enable = true;
}

#[tokio::test]
async fn kcat_lists_topics() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "an-alert", 2).await;

    let listed = kcat(&["-L", "-b", &broker.address()], "")
        .await
        .expect_success("kcat lists");

    assert!(listed.contains("1 brokers:"), "{listed}");
    assert!(
        listed.contains(&format!("broker 1 at {}", broker.address())),
        "{listed}"
    );
    assert!(
        listed.contains("topic \"an-alert\" with 2 partitions"),
        "{listed}"
    );
    broker.stop().await;
}

#[tokio::test]
async fn kcat_produces_with_every_codec_and_reads_it_back() {
    let broker = TestBroker::start().await;
    let address = broker.address();
    let mut client = WireClient::connect(&address).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        create_topic(&mut client, &topic, 1).await;
        let lines: String = (0..100)
            .map(|number| format!("line {number} of {codec}, long enough to pack\n"))
            .collect();

        let produce = [
            "-P", "-b", &address, "-t", &topic, "-z", codec, "-X", "acks=all",
        ];
        kcat(&produce, &lines).await.expect_success(codec);
        let consume = [
            "-C",
            "-b",
            &address,
            "-t",
            &topic,
            "-p",
            "0",
            "-o",
            "beginning",
            "-e",
            "-q",
        ];
        let read = kcat(&consume, "").await.expect_success(codec);

        assert_eq!(read, lines, "{codec}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_kcat_compressed_is_compressed_in_the_log() {
    let broker = TestBroker::start().await;
    let address = broker.address();
    let mut client = WireClient::connect(&address).await;
    for (codec, number) in [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)] {
        let topic = format!("packed-{codec}");
        create_topic(&mut client, &topic, 1).await;
        let produce = [
            "-P",
            "-b",
            &address,
            "-t",
            &topic,
            "-z",
            codec,
            "-X",
            "acks=all",
            "-X",
            "linger.ms=200",
        ];
        kcat(&produce, &"the same words again and again\n".repeat(200))
            .await
            .expect_success(codec);

        let batch = client.fetch_from(&topic, 0).await;
        assert_eq!(
            i16::from_be_bytes([batch[21], batch[22]]) & 7,
            number,
            "{codec}: the codec in the attributes"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_librdkafka_producer_whose_answers_are_lost_sends_again_and_each_record_is_stored_once() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "idempotent", 2).await;

    let said = python(
        "confluent_idempotent.py",
        &[&broker.address(), "idempotent"],
    )
    .await;

    assert!(
        said.expect_success("confluent-kafka")
            .contains("stored once")
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_batch_sent_twice_by_one_producer_is_stored_once_under_its_first_offset() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "twice", 1).await;
    let id = new_producer_id(&mut client).await;
    let stamp = |sequence| ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        base_sequence: Some(Sequence(sequence)),
    };
    let first = batch_by(stamp(0), &["a", "b"]);
    let second = batch_by(stamp(2), &["c"]);

    assert_eq!(produce(&mut client, "twice", first.clone()).await, Ok(0));
    assert_eq!(produce(&mut client, "twice", second).await, Ok(2));
    assert_eq!(
        produce(&mut client, "twice", first).await,
        Ok(0),
        "the same again"
    );

    assert_eq!(latest_offset(&mut client, "twice").await, 3);
    let gap = batch_by(stamp(7), &["d"]);
    assert_eq!(
        produce(&mut client, "twice", gap).await,
        Err(45),
        "OUT_OF_ORDER_SEQUENCE_NUMBER"
    );
    broker.stop().await;
}

#[tokio::test]
async fn kafka_python_is_at_home() {
    let broker = TestBroker::start().await;
    python("kafka_python_smoke.py", &[&broker.address()])
        .await
        .expect_success("kafka-python");
    broker.stop().await;
}

#[tokio::test]
async fn aiokafka_is_at_home() {
    let broker = TestBroker::start().await;
    python("aiokafka_smoke.py", &[&broker.address()])
        .await
        .expect_success("aiokafka");
    broker.stop().await;
}

#[tokio::test]
async fn kafkajs_is_at_home() {
    let broker = TestBroker::start().await;
    node("kafkajs_smoke.js", &[&broker.address()])
        .await
        .expect_success("kafkajs");
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_is_made_by_asking_for_it_only_where_that_is_switched_on() {
    let off = TestBroker::start().await;
    let address = off.address();
    let refused = [
        "-P",
        "-b",
        &address,
        "-t",
        "new",
        "-X",
        "message.timeout.ms=3000",
        "-X",
        "acks=all",
    ];
    assert!(!kcat(&refused, "x\n").await.succeeded);
    off.stop().await;

    let on = TestBroker::start_with(with_auto_create).await;
    let address = on.address();
    let made = ["-P", "-b", &address, "-t", "new", "-X", "acks=all"];
    kcat(&made, "x\n").await.expect_success("auto-create");
    let listed = kcat(&["-L", "-b", &address], "")
        .await
        .expect_success("kcat lists");
    assert!(
        listed.contains("topic \"new\" with 2 partitions"),
        "{listed}"
    );
    on.stop().await;
}

/// Apache Kafka's own client, where this machine has a Java.
#[tokio::test]
async fn the_java_client_is_at_home_where_there_is_a_java() {
    let broker = TestBroker::start().await;
    match java("JavaSmoke.java", &[&broker.address()]).await {
        Some(said) => drop(said.expect_success("the Java client")),
        None => println!("no java and mvn here: not tried"),
    }
    broker.stop().await;
}
