//! Nonsense at the Kafka door costs its sender the connection, and nobody else anything.

mod support;

use std::time::Duration;

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, MetadataRequest, ResponseHeader,
};
use kafka_protocol::protocol::Decodable;
use log_core::testing::wire::SERVED;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, fetch_request, frame, produce};

/// Resident bytes of this process, from `/proc/self/statm`.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let resident: u64 = pages
        .split(' ')
        .nth(1)
        .expect("the second number")
        .parse()
        .expect("a number");
    resident * 4096
}

fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 7, 0xff, 0xff]);
    bytes
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len())
        .expect("small")
        .to_be_bytes()
        .to_vec();
    bytes.extend(body);
    bytes
}

/// Each costs its sender the connection.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let five_bytes_that_claim_a_hundred_million_topics =
        [&header(3, 1)[..], &0x05f5_e100_i32.to_be_bytes()].concat();
    vec![
        ("a negative length", (-1_i32).to_be_bytes().to_vec()),
        ("the largest length", i32::MAX.to_be_bytes().to_vec()),
        (
            "a length above the limit",
            (101_i32 << 20).to_be_bytes().to_vec(),
        ),
        ("a length of nothing", 0_i32.to_be_bytes().to_vec()),
        (
            "another protocol",
            b"GET / HTTP/1.1\r\nHost: log\r\n\r\n".to_vec(),
        ),
        ("an unknown api", framed(&header(4_242, 0))),
        ("a removed api", framed(&header(4, 0))),
        ("a version of long ago", framed(&header(0, 2))),
        ("a version to come", framed(&header(1, 99))),
        ("a negative version", framed(&header(3, -1))),
        (
            "an array that is not there",
            framed(&five_bytes_that_claim_a_hundred_million_topics),
        ),
        ("a body that is cut", framed(&header(3, 12))),
    ]
}

#[tokio::test]
async fn nonsense_costs_its_sender_the_connection_and_a_neighbour_nothing() {
    let broker = TestBroker::start().await;
    let mut neighbour = WireClient::connect(&broker.address()).await;
    for (what, bytes) in nonsense() {
        let mut sender = WireClient::connect(&broker.address()).await;
        sender.send_raw(&bytes).await;
        assert!(sender.frame().await.is_none(), "{what} was answered");

        let answer = neighbour
            .ask(1, MetadataRequest::default().with_topics(None))
            .await;
        assert_eq!(answer.brokers.len(), 1, "after {what}");
    }
    broker.stop().await;
}

#[tokio::test]

async fn a_frame_that_is_cut_ends_its_connection_only() {
    let broker = TestBroker::start().await;
    let mut neighbour = WireClient::connect(&broker.address()).await;
    let whole = frame(
        ApiKey::Metadata as i16,
        1,
        7,
        &MetadataRequest::default().with_topics(None),
    );
    for cut in 1..whole.len() {
        let mut sender = WireClient::connect(&broker.address()).await;
        sender.send_raw(&whole[..cut]).await;
        sender.finish_sending().await;
        assert!(sender.frame().await.is_none(), "cut at {cut}");
    }
    neighbour
        .ask(1, MetadataRequest::default().with_topics(None))
        .await;
    broker.stop().await;
}

#[tokio::test]
async fn api_versions_of_a_version_to_come_is_answered_with_our_ranges_in_version_0() {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    client.send_raw(&framed(&header(18, 77))).await;

    let mut answer = client.frame().await.expect("an answer");
    let header = ResponseHeader::decode(&mut answer, 0).expect("header");
    let body = ApiVersionsResponse::decode(&mut answer, 0).expect("version 0");

    assert_eq!((header.correlation_id, body.error_code), (7, 35));
    assert_eq!(body.api_keys.len(), SERVED.len());
    let again = ApiVersionsRequest::default();
    assert_eq!(
        client.ask(0, again).await.error_code,
        0,
        "the connection is still of use"
    );
    broker.stop().await;
}

/// `HOSTILE_FRAMES=1000000 cargo test ..` sends more.
fn frames_to_send() -> usize {
    let asked = std::env::var("HOSTILE_FRAMES").ok();
    asked.map_or(20_000, |frames| frames.parse().expect("a number of frames"))
}

#[tokio::test]
async fn thousands_of_random_frames_neither_stop_the_broker_nor_make_it_grow() {
    const GROWTH_MAX: u64 = 64 << 20;
    let broker = TestBroker::start().await;
    let frames = frames_to_send();
    let mut dice = StdRng::seed_from_u64(7);
    let mut client = WireClient::connect(&broker.address()).await;
    let before = resident_bytes();
    for number in 0..frames {
        let api = &SERVED[dice.random_range(0..SERVED.len())];
        let version = dice.random_range(api.advertised.first..=api.advertised.last);
        let mut body = header(api.key as i16, version);
        let mut noise = vec![0; dice.random_range(0..120)];
        dice.fill_bytes(&mut noise);
        body.extend(noise);
        client.send_raw(&framed(&body)).await;
        if number % 8 == 0 {
            client = WireClient::connect(&broker.address()).await;
        }
    }
    let mut neighbour = WireClient::connect(&broker.address()).await;
    neighbour
        .ask(1, MetadataRequest::default().with_topics(None))
        .await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < GROWTH_MAX,
        "grew by {grown} bytes over {frames} random frames"
    );
    broker.stop().await;
}

#[tokio::test]
async fn connections_that_claim_much_and_send_little_take_no_memory() {
    const CLAIMED: u32 = 100 << 20;
    const GROWTH_MAX: u64 = 64 << 20;
    let broker = TestBroker::start().await;
    let before = resident_bytes();
    let mut senders = Vec::new();
    for _ in 0..200 {
        let mut sender = WireClient::connect(&broker.address()).await;
        sender.send_raw(&CLAIMED.to_be_bytes()).await;
        sender.send_raw(&header(0, 9)).await;
        senders.push(sender);
    }
    let mut neighbour = WireClient::connect(&broker.address()).await;
    neighbour
        .ask(1, MetadataRequest::default().with_topics(None))
        .await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < GROWTH_MAX,
        "grew by {grown} bytes for {} bytes claimed",
        200 * u64::from(CLAIMED)
    );
    drop(senders);
    broker.stop().await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_make_room_and_a_reader_that_waits_does_not() {
    let broker = TestBroker::start_with(|config| config.max_connections = 4).await;
    let mut reader = WireClient::connect(&broker.address()).await;
    create_topic(&mut reader, "t", 1).await;
    reader.send(12, &fetch_request("t", 0)).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(WireClient::connect(&broker.address()).await);
    }
    // A connection that has waited less makes no room.
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    let mut newcomers = Vec::new();
    for idle in &mut idle {
        let mut newcomer = WireClient::connect(&broker.address()).await;
        let metadata = MetadataRequest::default().with_topics(None);
        assert_eq!(newcomer.ask(1, metadata).await.brokers.len(), 1);
        assert!(
            idle.frame().await.is_none(),
            "the one that was idle longest has gone"
        );
        newcomers.push(newcomer);
    }
    let written = produce(&mut newcomers[0], "t", batch_of(&["heard"])).await;

    assert_eq!(written, Ok(0));
    let read = reader.answer::<FetchRequest>(12).await;
    assert!(read.responses[0].partitions[0].records.is_some());
    broker.stop().await;
}
