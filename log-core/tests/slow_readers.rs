//! Clients that ask for much and take little of it.

mod support;

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, FetchRequest};
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, fetch_request, frame, produce};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const BATCHES: i64 = 24;
/// Each has at least one batch: more than a socket's buffers hold.
const ANSWERS: i32 = 10;
const MUCH: i32 = 55 << 20;

fn fetch_much(offset: i64) -> FetchRequest {
    let mut request = fetch_request("a", offset).with_max_bytes(MUCH);
    request.topics[0].partitions[0].partition_max_bytes = MUCH;
    request
}

/// Asks for everything, more often than the system takes answers for it, and takes nothing.
async fn slow_reader(broker: &TestBroker) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("small");
    let mut stream = socket
        .connect(broker.broker.address())
        .await
        .expect("taken");
    for correlation_id in 0..ANSWERS {
        let asked = frame(ApiKey::Fetch as i16, 12, correlation_id, &fetch_much(0));
        stream.write_all(&asked).await.expect("sent");
    }
    stream
}

/// Whether all answers come to their end.
async fn is_answered(mut stream: TcpStream) -> bool {
    for _ in 0..ANSWERS {
        let Ok(length) = stream.read_u32().await else {
            return false;
        };
        let mut answer = vec![0; length as usize];
        if stream.read_exact(&mut answer).await.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn readers_that_take_nothing_are_closed_for_one_that_reads() {
    let broker = TestBroker::start_with(|config| config.queued_max_answer_bytes = 8 << 20).await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "a", 1).await;
    let large: Bytes = batch_of(&[&"x".repeat(900 << 10)]);
    for offset in 0..BATCHES {
        assert_eq!(produce(&mut client, "a", large.clone()).await, Ok(offset));
    }
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(slow_reader(&broker).await);
    }
    // Until they hold what there is: each of them has at least one batch.
    tokio::time::sleep(Duration::from_millis(300)).await;

    let mut offset = 0;
    while offset < BATCHES {
        let answer = client.ask(12, fetch_much(offset)).await;
        let read = &answer.responses[0].partitions[0];
        assert_eq!(read.error_code, 0);
        let records = read.records.as_ref().expect("records").len();
        let batches = records / large.len();
        assert!(1 <= batches, "at least one batch, however little is left");
        offset += i64::try_from(batches).expect("few");
    }

    let mut closed = 0;
    for stream in slow {
        closed += usize::from(!is_answered(stream).await);
    }
    assert!(0 < closed, "others needed what they held");
    broker.stop().await;
}
