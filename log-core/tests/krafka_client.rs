//! krafka, a client that shares no code with librdkafka or the Java one, against a broker of ours.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use krafka::admin::{AdminClient, ListOffsetsOptions, NewTopic, OffsetSpec};
use krafka::consumer::{
    AutoOffsetReset, Consumer, GroupProtocol, IsolationLevel, OffsetAndMetadata, TopicPartition,
};
use krafka::producer::TopicPartitionOffset;
use krafka::{Compression, ConsumerRecord, Kafka, Record};
use log_core::Advertised;
use support::TestBroker;
use support::lossy_proxy::LossyProxy;
use support::wire_client::WireClient;
use tokio::time::timeout;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const RECORDS_PER_CODEC: usize = 10;

/// Longer than any answer takes on a busy machine; a client that waits for ever fails the test.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a reader that should get nothing is listened to. Both records are in the log before its first fetch: one that
/// came too early is in the client's buffer by then.
const QUIET: Duration = Duration::from_millis(500);

/// Until the flush sends it, so that the records go out in one batch worth packing.
const LINGER: Duration = Duration::from_secs(5);

async fn connected(broker: &TestBroker) -> Kafka {
    let kafka = Kafka::builder(broker.address()).client_id("krafka-test");
    kafka.connect().await.expect("connects")
}

async fn create(admin: &AdminClient, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, 1).expect("a topic");
    let created = admin.create_topics([topic], Default::default()).await;
    only(created.expect("answered")).expect("created");
}

/// The one answer of a call that asked for one thing.
fn only<K, V>(answers: HashMap<K, V>) -> V {
    assert_eq!(answers.len(), 1);
    answers.into_values().next().expect("just counted")
}

/// The next records, as many as asked for.
async fn read(consumer: &Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = timeout(DEADLINE, consumer.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} records came", records.len()));
        records.push(next.expect("read").expect("the consumer is open"));
    }
    records
}

fn values(records: &[ConsumerRecord]) -> Vec<&str> {
    let mut values = Vec::new();
    for record in records {
        values.push(record.value_str().expect("text"));
    }
    values
}

/// A reader of partition 0 from its beginning, without a group.
async fn reader_of(kafka: &Kafka, topic: &str, level: IsolationLevel) -> Consumer {
    let reader = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(level);
    let reader = reader.build().await.expect("builds");
    reader.assign(topic, vec![0]).await.expect("assigned");
    reader
}

/// A member of a group that commits only when told to.
async fn member_of(kafka: &Kafka, group: &str, topic: &str) -> Consumer {
    let member = kafka
        .consumer(group)
        .group_protocol(GroupProtocol::Classic)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false);
    let member = member.build().await.expect("builds");
    member.subscribe([topic]).await.expect("subscribed");
    member
}

fn line(codec: Compression, number: usize) -> String {
    format!("{codec:?} {number} ").repeat(20)
}

/// Sends the codec's lines to partition 0 in one batch.
async fn send_lines(kafka: &Kafka, topic: &str, codec: Compression) {
    let producer = kafka.producer().compression(codec).linger(LINGER);
    let producer = producer.build().await.expect("builds");
    for number in 0..RECORDS_PER_CODEC {
        let record = Record::new(topic, line(codec, number))
            .key("key")
            .header("number", number.to_string());
        let _acknowledged_by_flush = producer.enqueue(record.partition(0)).await.expect("queued");
    }
    producer.flush().await.expect("acknowledged");
    producer.close().await.expect("closed");
}

async fn send(kafka: &Kafka, topic: &str, value: &str) {
    let producer = kafka.producer().build().await.expect("builds");
    let sent = producer
        .send(Record::new(topic, value.to_owned()).partition(0))
        .await;
    assert!(sent.expect("sent").is_success());
    producer.close().await.expect("closed");
}

#[tokio::test]
async fn krafka_creates_describes_and_deletes_a_topic() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    let admin = kafka.admin();

    create(&admin, "an-alert", 2).await;
    let listed = admin.list_topics(Default::default()).await.expect("listed");
    let described = admin
        .describe_topics(["an-alert"], Default::default())
        .await;
    let described = only(described.expect("answered")).expect("described");
    let cluster = admin
        .describe_cluster(Default::default())
        .await
        .expect("described");
    let deleted = admin.delete_topics(["an-alert"], Default::default()).await;

    assert_eq!(listed, ["an-alert"]);
    let leaders: Vec<_> = described
        .partitions
        .iter()
        .map(|it| (it.partition, it.leader))
        .collect();
    assert_eq!(leaders, [(0, Some(1)), (1, Some(1))]);
    assert_eq!(cluster.brokers.len(), 1);
    only(deleted.expect("answered")).expect("deleted");
    let left = admin.list_topics(Default::default()).await.expect("listed");
    assert_eq!(left, [""; 0]);
    broker.stop().await;
}

#[tokio::test]
async fn krafka_reads_back_what_it_packed_with_every_codec() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    create(&kafka.admin(), "packed", 1).await;
    let mut wire = WireClient::connect(&broker.address()).await;

    for (codec, ordinal) in CODECS.into_iter().zip(0..) {
        send_lines(&kafka, "packed", codec).await;
        let base_offset = i64::from(ordinal) * RECORDS_PER_CODEC as i64;
        let batch = wire.fetch_from("packed", base_offset).await;
        let attributes = i16::from_be_bytes([batch[21], batch[22]]);
        assert_eq!(
            attributes & 7,
            ordinal,
            "{codec:?}: the codec in the attributes"
        );
    }
    let reader = reader_of(&kafka, "packed", IsolationLevel::ReadUncommitted).await;
    let records = read(&reader, CODECS.len() * RECORDS_PER_CODEC).await;

    let lines = CODECS
        .into_iter()
        .flat_map(|codec| (0..RECORDS_PER_CODEC).map(move |number| line(codec, number)));
    assert_eq!(values(&records), lines.collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.key_str() == Some("key")));
    assert_eq!(records[13].header_str("number"), Some("3"));
    assert!(records.iter().map(|record| record.offset).eq(0..50));
    broker.stop().await;
}

#[tokio::test]
async fn krafka_finds_records_by_offset_and_by_time() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    let admin = kafka.admin();
    create(&admin, "timed", 1).await;
    let producer = kafka.producer().build().await.expect("builds");
    for (value, at) in [("early", 1_000), ("noon", 2_000), ("late", 3_000)] {
        let record = Record::new("timed", value).partition(0).timestamp(at);
        assert!(producer.send(record).await.expect("sent").is_success());
    }
    let reader = reader_of(&kafka, "timed", IsolationLevel::ReadUncommitted).await;

    reader.seek("timed", 0, 2).await.expect("moved");
    assert_eq!(values(&read(&reader, 1).await), ["late"]);
    reader
        .seek_to_timestamp("timed", 0, 1_001)
        .await
        .expect("moved");
    assert_eq!(values(&read(&reader, 2).await), ["noon", "late"]);
    reader.seek_to_beginning("timed", 0).await.expect("moved");
    assert_eq!(values(&read(&reader, 1).await), ["early"]);

    assert_eq!(
        reader.fetch_watermarks("timed", 0).await.expect("asked"),
        (0, 3)
    );
    let after_all = reader.offsets_for_times(&[("timed", 0)], 3_001).await;
    assert_eq!(
        only(after_all).expect("answered"),
        -1,
        "no record is that new"
    );
    let newest = [(TopicPartition::new("timed", 0), OffsetSpec::MaxTimestamp)];
    let newest = admin.list_offsets(newest, Default::default()).await;
    let newest = only(newest.expect("answered")).expect("found");
    assert_eq!((newest.offset, newest.timestamp), (2, Some(3_000)));
    broker.stop().await;
}

#[tokio::test]
async fn a_krafka_member_goes_on_where_its_group_committed() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    let admin = kafka.admin();
    create(&admin, "work", 1).await;
    for value in ["one", "two", "three"] {
        send(&kafka, "work", value).await;
    }

    let first = member_of(&kafka, "workers", "work").await;
    assert_eq!(values(&read(&first, 3).await), ["one", "two", "three"]);
    let described = admin
        .describe_consumer_groups(["workers"], Default::default())
        .await;
    let described = only(described.expect("answered")).expect("described");
    let done = OffsetAndMetadata::with_metadata(2, "two are done");
    let done = [(TopicPartition::new("work", 0), done)];
    first.commit_offsets(done).await.expect("committed");
    let committed = first.committed(&[("work", 0)]).await.expect("asked");
    first.close().await.expect("left");

    assert_eq!(
        (described.state.as_str(), described.members.len()),
        ("Stable", 1)
    );
    assert_eq!(only(committed).offset, 2);
    let second = member_of(&kafka, "workers", "work").await;
    assert_eq!(values(&read(&second, 1).await), ["three"]);
    second.commit().await.expect("committed");
    second.close().await.expect("left");
    let offsets = admin
        .list_consumer_group_offsets("workers", Default::default())
        .await;
    let offset = only(offsets.expect("answered")).expect("found");
    assert_eq!(offset.offset, Some(3));
    let deleted = admin
        .delete_consumer_groups(["workers"], Default::default())
        .await;
    only(deleted.expect("answered")).expect("an empty group goes");
    broker.stop().await;
}

#[tokio::test]
async fn an_idempotent_krafka_producer_whose_answer_is_lost_sends_again_and_each_record_is_stored_once()
 {
    let proxy = LossyProxy::bind().await;
    let advertised = Advertised {
        host: proxy.address().ip().to_string(),
        port: proxy.address().port(),
    };
    let broker = TestBroker::start_with(|config| config.advertised = Some(advertised)).await;
    let address = proxy.address().to_string();
    let proxy = proxy.pass_to(broker.address());
    let kafka = Kafka::builder(address).connect().await.expect("connects");
    let admin = kafka.admin();
    create(&admin, "counted", 1).await;
    let producer = kafka.producer().idempotent(true);
    // Every record in a batch of its own: several are on their way when the answer to the first is lost.
    let producer = producer.linger(Duration::ZERO).batch_size(1);
    let producer = producer.build().await.expect("builds");

    let mut handles = Vec::new();
    for number in 0..20 {
        let record = Record::new("counted", number.to_string()).partition(0);
        handles.push(producer.enqueue(record).await.expect("queued"));
    }
    for (handle, offset) in handles.into_iter().zip(0..) {
        let stored = timeout(DEADLINE, handle)
            .await
            .expect("in time")
            .expect("stored");
        assert_eq!((stored.is_success(), stored.offset), (true, offset));
    }

    assert!(proxy.has_lost_an_answer());
    let reader = reader_of(&kafka, "counted", IsolationLevel::ReadUncommitted).await;
    assert_eq!(
        reader.fetch_watermarks("counted", 0).await.expect("asked"),
        (0, 20)
    );
    let numbers: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(values(&read(&reader, 20).await), numbers);
    let partition = TopicPartition::new("counted", 0);
    let states = admin
        .describe_producers([partition], Default::default())
        .await;
    let states = only(states.expect("answered")).expect("described");
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].producer_epoch, states[0].last_sequence), (0, 19));
    producer.close().await.expect("closed");
    broker.stop().await;
}

#[tokio::test]
async fn what_krafka_aborts_is_hidden_from_a_reader_of_committed_records() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    create(&kafka.admin(), "paid", 1).await;
    let writer = kafka
        .producer()
        .build_transactional("writer")
        .await
        .expect("builds");

    for (value, commits) in [("first", true), ("aborted", false), ("last", true)] {
        writer.begin().expect("begun");
        let record = Record::new("paid", value).partition(0);
        assert!(writer.send(record).await.expect("sent").is_success());
        let ended = if commits {
            writer.commit().await
        } else {
            writer.abort().await
        };
        ended.expect("ended");
    }

    let committed = reader_of(&kafka, "paid", IsolationLevel::ReadCommitted).await;
    assert_eq!(values(&read(&committed, 2).await), ["first", "last"]);
    let everything = reader_of(&kafka, "paid", IsolationLevel::ReadUncommitted).await;
    assert_eq!(
        values(&read(&everything, 3).await),
        ["first", "aborted", "last"]
    );
    writer.close().await.expect("closed");
    broker.stop().await;
}

#[tokio::test]
async fn a_reader_of_committed_records_stops_before_an_open_krafka_transaction() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    let admin = kafka.admin();
    create(&admin, "pending", 1).await;
    send(&kafka, "pending", "plain").await;
    let writer = kafka
        .producer()
        .build_transactional("writer")
        .await
        .expect("builds");
    writer.begin().expect("begun");
    let record = Record::new("pending", "open").partition(0);
    assert!(writer.send(record).await.expect("sent").is_success());

    let end = [(TopicPartition::new("pending", 0), OffsetSpec::Latest)];
    let end = admin
        .list_offsets(end, ListOffsetsOptions::default().read_committed(true))
        .await;
    assert_eq!(
        only(end.expect("answered")).expect("found").offset,
        1,
        "the last stable offset"
    );
    let reader = reader_of(&kafka, "pending", IsolationLevel::ReadCommitted).await;
    assert_eq!(values(&read(&reader, 1).await), ["plain"]);
    assert!(reader.poll(QUIET).await.expect("read").is_empty());
    writer.commit().await.expect("committed");
    assert_eq!(values(&read(&reader, 1).await), ["open"]);

    writer.close().await.expect("closed");
    broker.stop().await;
}

#[tokio::test]
async fn the_offsets_of_a_krafka_transaction_count_only_with_its_commit() {
    let broker = TestBroker::start().await;
    let kafka = connected(&broker).await;
    let admin = kafka.admin();
    create(&admin, "orders", 1).await;
    send(&kafka, "orders", "order").await;
    let member = member_of(&kafka, "cashiers", "orders").await;
    assert_eq!(values(&read(&member, 1).await), ["order"]);
    let writer = kafka
        .producer()
        .build_transactional("cashier")
        .await
        .expect("builds");
    let done = [TopicPartitionOffset::new("orders", 0, 1)];

    for commits in [false, true] {
        writer.begin().expect("begun");
        let stamp = member.group_metadata().await.expect("a member");
        writer.send_offsets(&done, &stamp).await.expect("taken");
        let ended = if commits {
            writer.commit().await
        } else {
            writer.abort().await
        };
        ended.expect("ended");
        let committed = member.committed(&[("orders", 0)]).await.expect("asked");
        let offset = committed.into_values().next().map(|found| found.offset);
        assert_eq!(offset, commits.then_some(1));
    }

    member.close().await.expect("left");
    writer.close().await.expect("closed");
    broker.stop().await;
}
