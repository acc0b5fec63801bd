//! The operator's tools against a broker of the test's own: each command as a table and as JSON, and what they say to
//! nonsense.

mod support;

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ConsumerProtocolAssignment, EndTxnRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::record::{Attributes, BatchBuilder, NewRecord, ProducerStamp};
use log_core::tools::{Command, ToolError, run};
use log_core::{Broker, Config};
use serde_json::{Value, json};

use tokio::sync::Notify;

use support::TestBroker;
use support::loopback::own_address;
use support::records::{AT, batch_of};
use support::wire_client::{WireClient, create_topic, produce, produce_request, text};

/// A program that has the tools as its subcommands, as `log-core` and `mayday log` have.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What the tools answer to a command line.
async fn ask(broker: &TestBroker, line: &[&str]) -> Result<String, ToolError> {
    let arguments = ["log"].iter().chain(line);
    let line = Line::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    run(line.command, Some(broker.address()), &mut out).await?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

async fn table(broker: &TestBroker, line: &[&str]) -> String {
    ask(broker, line)
        .await
        .unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

async fn json_of(broker: &TestBroker, line: &[&str]) -> Value {
    let line = [line, &["--json"]].concat();
    serde_json::from_str(&table(broker, &line).await).expect("one JSON value")
}

/// The sentence that a command ends with.
async fn refusal(broker: &TestBroker, line: &[&str]) -> String {
    let error = ask(broker, line).await.expect_err("refused");
    error.to_string()
}

/// The cells of a table's line that begins so.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split_whitespace().collect::<Vec<_>>();
    let found = table
        .lines()
        .map(cells)
        .find(|cells| cells.first() == Some(&first));
    found.unwrap_or_else(|| panic!("no line {first} in\n{table}"))
}

async fn client(broker: &TestBroker) -> WireClient {
    WireClient::connect(&broker.address()).await
}

/// `an-alert` with two partitions and these records in the first.
async fn topic_with(broker: &TestBroker, values: &[&str]) {
    let mut client = client(broker).await;
    create_topic(&mut client, "an-alert", 2).await;
    if !values.is_empty() {
        produce(&mut client, "an-alert", batch_of(values))
            .await
            .expect("stored");
    }
}

#[tokio::test]
async fn a_topic_is_made_shown_changed_and_deleted() {
    let broker = TestBroker::start().await;
    assert_eq!(table(&broker, &["topics", "list"]).await, "no topics\n");

    let created = table(
        &broker,
        &[
            "topics",
            "create",
            "an-alert",
            "--partitions",
            "3",
            "--config",
            "retention.ms=86400000",
        ],
    )
    .await;
    assert_eq!(created, "topic an-alert created, partitions: 3\n");
    produce(
        &mut client(&broker).await,
        "an-alert",
        batch_of(&["a", "b"]),
    )
    .await
    .expect("stored");

    let listed = table(&broker, &["topics", "list"]).await;
    assert_eq!(row(&listed, "an-alert")[..3], ["an-alert", "3", "2"]);
    let described = table(&broker, &["topics", "describe", "an-alert"]).await;
    assert_eq!(row(&described, "0")[..4], ["0", "1", "0", "2"]);
    assert_eq!(row(&described, "2"), ["2", "1", "0", "0", "0"]);
    assert_eq!(
        row(&described, "retention.ms"),
        ["retention.ms", "86400000", "topic"]
    );
    assert!(!described.contains("cleanup.policy"), "{described}");

    let alter = ["topics", "alter", "an-alert", "--set"];
    let changes = ["max.message.bytes=5000", "--delete", "retention.ms"];
    let altered = table(&broker, &[&alter[..], &changes[..]].concat()).await;
    assert_eq!(altered, "topic an-alert changed\n");
    let described = table(&broker, &["topics", "describe", "an-alert", "--all"]).await;
    assert_eq!(
        row(&described, "max.message.bytes"),
        ["max.message.bytes", "5000", "topic"]
    );
    assert_eq!(row(&described, "retention.ms")[2], "default");

    let deleted = table(&broker, &["topics", "delete", "an-alert"]).await;
    assert_eq!(deleted, "deleted: an-alert\n");
    assert_eq!(table(&broker, &["topics", "list"]).await, "no topics\n");
    broker.stop().await;
}

#[tokio::test]
async fn topics_come_as_json_too() {
    let broker = TestBroker::start().await;
    let create = ["topics", "create", "an-alert", "--partitions", "2"];
    let created = json_of(&broker, &create).await;
    assert_eq!(created["done"], "topic an-alert created, partitions: 2");
    let alter = ["topics", "alter", "an-alert", "--set", "retention.ms=7"];
    json_of(&broker, &alter).await;

    let listed = json_of(&broker, &["topics", "list"]).await;
    assert_eq!(
        listed,
        json!({"topics": [{"topic": "an-alert", "partitions": 2, "records": 0, "bytes": 0}]})
    );
    let described = json_of(&broker, &["topics", "describe", "an-alert"]).await;
    assert_eq!(
        described["partitions"][1],
        json!({"partition": 1, "leader": 1, "start": 0, "end": 0, "bytes": 0})
    );
    assert_eq!(
        described["configs"],
        json!([{"name": "retention.ms", "value": "7", "default": false}])
    );
    let all = json_of(&broker, &["topics", "describe", "an-alert", "--all"]).await;
    assert!(10 < all["configs"].as_array().expect("a list").len());

    let deleted = json_of(&broker, &["topics", "delete", "an-alert"]).await;
    assert_eq!(deleted["done"], "deleted: an-alert");
    broker.stop().await;
}

/// The one member of a group, with partition 0 of `an-alert`.
async fn join(client: &mut WireClient, group: &str) -> StrBytes {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
    let request = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let joined = client.ask(2, request).await;
    assert_eq!(joined.error_code, 0);
    let topic = TopicPartition::default()
        .with_topic(text("an-alert").into())
        .with_partitions(vec![0]);
    let mut assignment = BytesMut::new();
    assignment.put_i16(0);
    ConsumerProtocolAssignment::default()
        .with_assigned_partitions(vec![topic])
        .encode(&mut assignment, 0)
        .expect("encodes");
    let assigned = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(assignment.freeze());
    let request = SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assigned]);
    assert_eq!(client.ask(2, request).await.error_code, 0);
    joined.member_id
}

async fn leave(client: &mut WireClient, group: &str, member: StrBytes) {
    let request = LeaveGroupRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(member);
    assert_eq!(client.ask(2, request).await.error_code, 0);
}

/// A commit without being a member, as tools make it.
async fn commit(client: &mut WireClient, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text("an-alert").into())
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.ask(7, request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn a_group_is_shown_with_its_members_and_how_far_behind_they_are() {
    let broker = TestBroker::start().await;
    assert_eq!(table(&broker, &["groups", "list"]).await, "no groups\n");
    topic_with(&broker, &["a", "b", "c"]).await;
    let mut client = client(&broker).await;
    commit(&mut client, "gateway", 1).await;
    let member = join(&mut client, "gateway").await;

    let listed = table(&broker, &["groups", "list"]).await;
    assert_eq!(row(&listed, "gateway"), ["gateway", "Stable", "consumer"]);
    let listed = json_of(&broker, &["groups", "list"]).await;
    assert_eq!(
        listed,
        json!({"groups": [{"group": "gateway", "state": "Stable", "protocol_type": "consumer"}]})
    );

    let described = table(&broker, &["groups", "describe", "gateway"]).await;
    assert!(
        described.starts_with("group gateway  state Stable  assignor range\n"),
        "{described}"
    );
    assert_eq!(row(&described, &member).last(), Some(&"an-alert-0"));
    let progress = row(&described, "an-alert");
    assert_eq!(progress, ["an-alert", "0", "1", "3", "2", &member]);
    let described = json_of(&broker, &["groups", "describe", "gateway"]).await;
    assert_eq!(
        described["members"][0]["assigned"],
        json!([{"topic": "an-alert", "partition": 0}])
    );
    assert_eq!(
        described["partitions"],
        json!([{"topic": "an-alert", "partition": 0, "committed": 1, "end": 3, "lag": 2,
                "member": member.as_str()}])
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_group_is_moved_and_deleted_only_when_nobody_is_in_it() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &["a", "b", "c"]).await;
    let mut client = client(&broker).await;
    commit(&mut client, "gateway", 1).await;
    let member = join(&mut client, "gateway").await;
    let seek = ["groups", "seek", "gateway", "--topic", "an-alert", "--to"];
    let to = |position| [&seek[..], &[position]].concat();

    let in_use = "group gateway is in use: stop its members first";
    assert_eq!(refusal(&broker, &to("earliest")).await, in_use);
    assert_eq!(
        refusal(&broker, &["groups", "delete", "gateway"]).await,
        in_use
    );

    leave(&mut client, "gateway", member).await;
    let moved = table(&broker, &to("latest")).await;
    assert_eq!(moved.lines().count(), 3, "{moved}");
    assert_eq!(row(&moved, "an-alert"), ["an-alert", "0", "1", "3"]);
    let moved = json_of(&broker, &[&to("2")[..], &["--partition", "0"]].concat()).await;
    assert_eq!(
        moved["partitions"],
        json!([{"partition": 0, "before": 3, "now": 2}])
    );
    // Every record is of 2026-11-20T00:00:00Z, nine o'clock in Seoul.
    let moved = json_of(&broker, &to("2026-11-20T09:00:00+09:00")).await;
    assert_eq!(moved["partitions"][0]["now"], 0);
    let moved = json_of(&broker, &to("2026-11-20T09:00:01+09:00")).await;
    assert_eq!(moved["partitions"][0]["now"], 3);
    let described = json_of(&broker, &["groups", "describe", "gateway"]).await;
    assert_eq!(described["state"], "Empty");
    assert_eq!(described["partitions"][0]["committed"], 3);

    let deleted = table(&broker, &["groups", "delete", "gateway"]).await;
    assert_eq!(deleted, "group gateway deleted\n");
    assert_eq!(table(&broker, &["groups", "list"]).await, "no groups\n");
    broker.stop().await;
}

#[tokio::test]
async fn records_are_shown_with_everything_they_carry_and_command_no_terminal() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &[]).await;
    let mut batch = BatchBuilder::plain();
    let header = ("trace".to_owned(), Some(Bytes::from_static(b"7f")));
    batch.push(NewRecord {
        timestamp: AT,
        key: Some(Bytes::from_static("101동".as_bytes())),
        value: Some(Bytes::from_static(b"fire\n\x1b[2J\xff")),
        headers: vec![header],
    });
    batch.push(NewRecord {
        timestamp: TimestampMs(AT.0 + 1),
        key: None,
        value: None,
        headers: Vec::new(),
    });
    let request = produce_request("an-alert", 1, -1, batch.build());
    client(&broker).await.ask(9, request).await;

    let tail = ["records", "tail", "--topic", "an-alert"];
    let shown = table(&broker, &tail).await;
    assert_eq!(
        shown,
        "1  0  2026-11-20T00:00:00.000Z  key=101동  headers=[trace=7f]  fire\\n\\u{1b}[2J\u{fffd}\n\
         1  1  2026-11-20T00:00:00.001Z  key=-  headers=[]  -\n"
    );
    let first = json_of(&broker, &[&tail[..], &["--max", "1"]].concat()).await;
    assert_eq!(
        first,
        json!({
            "topic": "an-alert", "partition": 1, "offset": 0, "time": "2026-11-20T00:00:00.000Z",
            "key": "101동", "headers": [{"name": "trace", "value": "7f"}],
            "value": {"hex": "666972650a1b5b324aff"}
        })
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_tail_begins_where_it_is_told_keeps_what_is_asked_for_and_ends_where_the_topic_does() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &["fire", "flood", "fire again"]).await;
    let values = async |more: &[&str]| {
        let tail = ["records", "tail", "--topic", "an-alert", "--json"];
        let shown = table(&broker, &[&tail[..], more].concat()).await;
        let value =
            |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["value"].clone();
        shown.lines().map(value).collect::<Vec<_>>()
    };

    assert_eq!(values(&[]).await, ["fire", "flood", "fire again"]);
    assert_eq!(values(&["--filter", "fire"]).await, ["fire", "fire again"]);
    assert_eq!(values(&["--max", "2"]).await, ["fire", "flood"]);
    let from_one = ["--partition", "0", "--from", "1"];
    assert_eq!(values(&from_one).await, ["flood", "fire again"]);
    assert!(values(&["--from", "latest"]).await.is_empty());
    assert_eq!(values(&["--from", "2026-11-20T00:00:00Z"]).await.len(), 3);
    assert!(values(&["--from", "2026-11-20T00:00:01Z"]).await.is_empty());
    assert!(values(&["--partition", "1"]).await.is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn a_tail_that_follows_shows_what_comes_later() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &["before"]).await;
    let mut client = client(&broker).await;
    let tail = ["records", "tail", "--topic", "an-alert", "--follow"];
    let following = [&tail[..], &["--from", "earliest", "--max", "2"]].concat();

    let produced = async { produce(&mut client, "an-alert", batch_of(&["after"])).await };
    let (shown, stored) = tokio::join!(table(&broker, &following), produced);

    stored.expect("stored");
    let values: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split("  ").last())
        .collect();
    assert_eq!(values, ["before", "after"]);
    broker.stop().await;
}

/// Keeps what is written, and tells when something was.
#[derive(Default)]
struct Screen {
    bytes: Vec<u8>,
    written: Arc<Notify>,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.notify_one();
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_tail_that_follows_goes_on_when_the_log_comes_back() {
    let address = own_address();
    let started = TestBroker::start_with(|config| config.listen = address).await;
    let TestBroker { broker, folder } = started;
    let mut client = WireClient::connect(&address.to_string()).await;
    create_topic(&mut client, "an-alert", 1).await;
    produce(&mut client, "an-alert", batch_of(&["before"]))
        .await
        .expect("stored");
    let line = "log records tail --topic an-alert --follow --from earliest --max 2";
    let line = Line::try_parse_from(line.split(' ')).expect("sound");
    let mut screen = Screen::default();
    let written = Arc::clone(&screen.written);
    let following = run(line.command, Some(address.to_string()), &mut screen);

    let restarted = async {
        written.notified().await;
        broker.shutdown().await.expect("ends cleanly");
        let mut config = Config::on(folder.path());
        config.listen = address;
        let broker = Broker::start(config).await.expect("starts again");
        let mut client = WireClient::connect(&address.to_string()).await;
        produce(&mut client, "an-alert", batch_of(&["after"]))
            .await
            .expect("stored");
        broker
    };
    let (followed, broker) = tokio::join!(following, restarted);

    followed.expect("two records");
    let shown = String::from_utf8(screen.bytes).expect("UTF-8");
    let values: Vec<_> = shown
        .lines()
        .filter_map(|line| line.rsplit("  ").next())
        .collect();
    assert_eq!(values, ["before", "after"]);
    broker.shutdown().await.expect("ends cleanly");
}

/// One record in a transaction, which then ends or stays open.
async fn transaction(client: &mut WireClient, id: &str, value: &str, commit: Option<bool>) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(id).into()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let producer = client.ask(4, request).await;
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(text("an-alert").into())
        .with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(id).into())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![topic]);
    client.ask(3, request).await;
    let stamp = ProducerStamp {
        id: ProducerId(u64::try_from(producer.producer_id.0).expect("an id")),
        epoch: ProducerEpoch(u16::try_from(producer.producer_epoch).expect("an epoch")),
        base_sequence: Some(Sequence(0)),
    };
    let attributes = Attributes {
        transactional: true,
        ..Attributes::PLAIN
    };
    let mut batch = BatchBuilder::new(attributes).producer(stamp);
    batch.push(NewRecord {
        timestamp: AT,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    });
    let request = produce_request("an-alert", 0, -1, batch.build())
        .with_transactional_id(Some(text(id).into()));
    let stored = client.ask(9, request).await;
    assert_eq!(stored.responses[0].partition_responses[0].error_code, 0);
    if let Some(committed) = commit {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(id).into())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_committed(committed);
        assert_eq!(client.ask(3, request).await.error_code, 0);
    }
}

#[tokio::test]
async fn a_tail_shows_no_aborted_and_no_open_transaction_unless_it_is_told_to() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &["plain"]).await;
    let mut client = client(&broker).await;
    transaction(&mut client, "first", "aborted", Some(false)).await;
    transaction(&mut client, "second", "committed", Some(true)).await;
    transaction(&mut client, "third", "open", None).await;
    let tail = ["records", "tail", "--topic", "an-alert"];
    let values = |shown: String| {
        let value = |line: &str| line.rsplit("  ").next().map(str::to_owned);
        shown.lines().filter_map(value).collect::<Vec<_>>()
    };

    let committed = table(&broker, &tail).await;
    assert_eq!(values(committed), ["plain", "committed"]);
    let all = table(&broker, &[&tail[..], &["--uncommitted"]].concat()).await;
    assert_eq!(values(all), ["plain", "aborted", "committed", "open"]);
    broker.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_sentence() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &["a"]).await;
    commit(&mut client(&broker).await, "gateway", 0).await;
    for (line, sentence) in [
        ("topics describe flood", "there is no topic flood"),
        ("topics delete flood", "there is no topic flood"),
        (
            "topics alter flood --set retention.ms=1",
            "there is no topic flood",
        ),
        ("records tail --topic flood", "there is no topic flood"),
        ("groups describe nobody", "there is no group nobody"),
        ("groups delete nobody", "there is no group nobody"),
        (
            "groups seek nobody --topic an-alert --to latest",
            "there is no group nobody",
        ),
        (
            "groups seek gateway --topic an-alert --partition 0 --to 9",
            "an-alert-0 holds the offsets from 0 up to 1 (exclusive), not 9",
        ),
        (
            "records tail --topic an-alert --partition 0 --from 2",
            "an-alert-0 holds the offsets from 0 up to 1 (exclusive), not 2",
        ),
        (
            "records tail --topic an-alert --partition 2",
            "topic an-alert has no partition 2: it has 2, from 0",
        ),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(refusal(&broker, &words).await, sentence, "{line}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_the_log_refuses_is_said_in_the_logs_words() {
    let broker = TestBroker::start().await;
    topic_with(&broker, &[]).await;
    for (line, code, word) in [
        ("topics create an-alert", "TopicAlreadyExists", "an-alert"),
        ("topics create a/b", "InvalidTopicException", "a/b"),
        (
            "topics create b --config retention=1",
            "InvalidConfig",
            "retention",
        ),
        (
            "topics alter an-alert --set retention.ms=soon",
            "InvalidConfig",
            "soon",
        ),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let sentence = refusal(&broker, &words).await;
        assert!(sentence.contains(code), "{line}: {sentence}");
        assert!(sentence.contains(word), "{line}: {sentence}");
    }
    broker.stop().await;
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_what_would() {
    for (line, hint) in [
        ("topics create a --partitions 0", "0 is not in 1.."),
        ("topics create a --config retention", "name=value"),
        ("topics alter a", "--set"),
        ("groups seek g --topic t --to newest", "earliest, latest"),
        ("groups seek g --topic t", "--to"),
        ("records tail", "--topic"),
        ("records tail --topic t --max 0", "0 is not in 1.."),
        ("records tail --topic t --partition -1", "-1"),
        ("records tail --topic t --from 2026-11-20", "a position is"),
        ("topics list --server localhost", "a host and a port"),
        ("topics list --server :9092", "a host and a port"),
    ] {
        let words = ["log"].into_iter().chain(line.split(' '));
        let Err(error) = Line::try_parse_from(words) else {
            panic!("{line} was understood")
        };
        assert!(error.to_string().contains(hint), "{line}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_no_log_is_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let line = Line::try_parse_from(["log", "topics", "list", "--server", &address]);
    let error = run(line.expect("sound").command, None, &mut Vec::new())
        .await
        .expect_err("nobody there");
    assert!(error.is_unreachable());
    assert!(error.to_string().starts_with(&address), "{error}");

    let other = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = other.local_addr().expect("bound").to_string();
    let web_server = async {
        let (mut stream, _) = other.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n").await
    };
    let line = Line::try_parse_from(["log", "topics", "list", "--server", &address]);
    let mut out = Vec::new();
    let (asked, answered) = tokio::join!(
        run(line.expect("sound").command, None, &mut out),
        web_server
    );
    answered.expect("written");
    let error = asked.expect_err("no log");
    assert!(!error.is_unreachable(), "{error}");
    assert!(error.to_string().contains("another service"), "{error}");
}

#[tokio::test]
async fn the_clock_is_shown_and_an_operator_may_judge_its_jumps() {
    let broker = TestBroker::start().await;
    // A new log raises its level by itself, and then takes a word on its clock.
    while ask(&broker, &["clock", "was-wrong"]).await.is_err() {
        tokio::task::yield_now().await;
    }
    let shown = table(&broker, &["clock", "list"]).await;
    assert!(shown.starts_with("command time 20"), "{shown}");
    assert!(
        shown.contains("no jumps of the clock wait for a word"),
        "{shown}"
    );
    assert_eq!(
        json_of(&broker, &["clock", "list"]).await["jumps"],
        json!([])
    );
    for (word, says) in [("time-passed", "counts now"), ("was-wrong", "never counts")] {
        let done = table(&broker, &["clock", word]).await;
        assert!(done.starts_with("0 jumps of the clock judged"), "{done}");
        assert!(done.contains(says), "{done}");
    }
    broker.stop().await;
}
